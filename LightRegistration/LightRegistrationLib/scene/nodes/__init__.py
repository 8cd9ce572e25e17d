"""Volumes, segmentations, displacement fields and registration results in, nodes of the scene out.

Nodes are also read back, as they lie in the world, into the same typed values.
"""
