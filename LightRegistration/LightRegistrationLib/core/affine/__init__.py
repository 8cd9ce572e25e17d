"""The affine stage: the initial alignment before the network.

In: the fixed and the moving volume, whose headers may be wrong, and optional masks. Out: an affine transform
fixed -> moving in RAS mm, and warnings about the headers.
"""
