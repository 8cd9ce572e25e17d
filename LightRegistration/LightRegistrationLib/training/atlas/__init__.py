"""Makes labeled training pairs from one labeled atlas and unlabeled scans (Zhao et al., CVPR 2019).

In: an atlas image with its label map, and scans. Out: pairs of atlas images, deformed and restyled by transforms that
are learned from the scans, with labels.
"""
