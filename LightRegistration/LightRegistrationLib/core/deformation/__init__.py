"""Properties and repair of a displacement field.

In: a displacement field fixed -> moving in RAS mm. Out: its Jacobian determinants, the field without folded cells, the
field that falls to an affine transform beyond the fixed volume, and its inverse.
"""
