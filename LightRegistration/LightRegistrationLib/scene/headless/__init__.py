"""Nothing in, a Slicer application without windows out: a scene, its logics, and slice views drawn off screen.

For the command line and the tests; pictures of a registration are made here.
"""
