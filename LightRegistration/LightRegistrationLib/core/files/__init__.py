"""Image files.

In: paths of image files. Out: an error or warnings for a header, a file that ITK can read, or a compressed file.
"""
