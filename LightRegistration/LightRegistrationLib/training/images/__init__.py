"""Makes training pairs of real images.

In: image files with or without label maps. Out: pairs of two affinely aligned scans with random pose and variation.
"""
