"""Synthesizes training pairs from label maps and from random shapes.

In: label maps of several subjects and a table of their structures, or settings for random shapes. Out: pairs of images
with random anatomy, pose, contrast and scanner effects, with labels.
"""
