"""Image files.

In: paths of image files. Out: an error for a damaged NIfTI file, or a compressed file.
"""
