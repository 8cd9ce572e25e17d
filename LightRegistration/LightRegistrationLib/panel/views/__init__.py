"""What the views show of a result.

In: the switches of the panel and the nodes of a result. Out: one picture, one overlay, the grid, and comparisons.
"""
