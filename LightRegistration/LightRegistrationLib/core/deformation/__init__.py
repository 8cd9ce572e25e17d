"""Properties and repair of a displacement field.

In: a displacement field fixed -> moving in RAS mm. Out: its Jacobian determinants, the field without folded cells, and
its inverse.
"""
