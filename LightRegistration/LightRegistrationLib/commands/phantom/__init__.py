"""The built-in pair: a seed and a voxel size go in; two synthetic head scans with structures come out.

The deformation between the two is known exactly.
"""
