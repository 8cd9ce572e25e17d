"""Geometry: the values that all steps pass on, without torch.

In: arrays and matrices. Out: checked, immutable values with their position in RAS mm: voxel grids, volumes,
segmentations, affine transforms and displacement fields.
"""
