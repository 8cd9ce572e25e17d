"""A registration in the worker, of a pair or of a series, while Slicer's windows respond.

In: a request. Out: its progress in words, and the reply of the worker as nodes of the scene.
"""
