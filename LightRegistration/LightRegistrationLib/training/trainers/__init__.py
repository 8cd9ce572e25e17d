"""The three kinds of training runs: a student alone, a teacher, and a student taught by a teacher.

In: the configuration of the run and the data folder. Out: a state file with the trained networks, from which
`training.export` makes a model folder.
"""
