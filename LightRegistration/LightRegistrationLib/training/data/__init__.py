"""Training pairs and their raw material.

In: image files, CSV tables, manifests. Out: scans as volumes, random poses and deformations, and the type `Pair` with
the `Mixture` of sources that a training step draws from.
"""
