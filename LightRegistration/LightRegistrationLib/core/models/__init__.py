"""Models: their cards, their weights, the user's own models, and the choice of a model for two volumes.

In: model folders, and image statistics measured on the volumes. Out: the chosen card with a reason, and a `Student`.
"""
