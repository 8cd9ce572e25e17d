"""From two volumes to the network's flow: network grid, intensity normalization, the network, its cascades.

In: volumes with their geometry and an initial alignment. Out: a `Deformation`, which converts to a displacement field.
"""
