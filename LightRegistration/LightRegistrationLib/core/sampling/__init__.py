"""Sampling of arrays: trilinear interpolation, warping, averages over blocks and filters.

In: volumes, segmentations or tensors, and a displacement field fixed -> moving in RAS mm or coordinates in voxels.
Out: their values on another grid.
"""
