"""Volume preservation: chosen structures (tumors) keep the volume that they have in the moving image.

In: a displacement field fixed -> moving in RAS mm, segments of the moving volume, and the fixed geometry. Out: the
corrected field, unchanged away from the segments, and for each segment its change of volume before and after.
"""
