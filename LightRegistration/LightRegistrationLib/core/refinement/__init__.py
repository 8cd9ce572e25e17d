"""Refinement of the network's deformation for one pair (instance optimization), and the choice of its similarity.

In: the network's `Deformation`, both volumes, masks. Out: a `Deformation` with a summary of the optimization.
"""
