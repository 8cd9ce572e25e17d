"""Two scans of one person: what changed between them is kept, not erased.

In: the images of a pair after a rigid alignment. Out: a stiff deformation that only tissue with a counterpart drives,
and the list of the places without a counterpart and of those whose volume changed most.
"""
