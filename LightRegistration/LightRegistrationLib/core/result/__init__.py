"""The values that go into a registration and come out of it: settings, guidance, stages, result, scores.

Plain typed values and enumerations, free of torch; the panel, the worker and the command line share them.
"""
