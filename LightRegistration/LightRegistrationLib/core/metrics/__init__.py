"""Metrics: how well two segmentations, and corresponding landmarks, agree.

In: the fixed, the moving and the warped moving segmentation. Out: for each common structure Dice, Jaccard, HD95 and
volume change, before and after registration. From landmarks: their distances (target registration error).
"""
