"""Shows and records the progress of a training run.

In: the events of a run (steps, validations, checkpoints). Out: progress lines, TensorBoard events, validation numbers
and pictures, and requests to stop.
"""
