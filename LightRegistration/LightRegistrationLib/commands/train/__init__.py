"""The `train` and `distill` commands: a configuration and training data go in; a run folder and a model come out."""
