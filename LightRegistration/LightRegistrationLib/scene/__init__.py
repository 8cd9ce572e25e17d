"""Typed values of `core` in, nodes of a Slicer scene and files out, and the way back.

Uses slicer and vtk only, no Qt: the scene is passed in, so the same code runs in Slicer and without windows.
"""
