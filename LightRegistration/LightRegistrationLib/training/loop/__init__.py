"""The training loop that all trainers share.

In: a run configuration, the data folder, the hardware, a monitor. Out: a resumable state file, a log, and a summary of
the run.
"""
