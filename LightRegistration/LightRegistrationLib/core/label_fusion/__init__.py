"""Label fusion: warped atlases with labels go in; one label map, weights and probability maps come out.

In: a target image, and per atlas its warped image and labels on the target's grid, as arrays that may be memory-mapped.
Out: for each voxel the label with the greatest sum of weights: equal ones (majority), or those of joint label fusion.
"""
