"""The bounding box of the labeled voxels of a segmentation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BoxSlices = tuple[slice, ...]
"""A block of voxels as an index into an array (k, j, i)."""


def find_labeled_box(layers: Sequence[NDArray]) -> BoxSlices:
    """Find the smallest box that holds all voxels other than background (0) in label layers (k, j, i) of one shape.

    The box is empty if all voxels are background.
    """
    box = []
    for axis in range(3):
        other_axes = tuple(a for a in range(3) if a != axis)
        labeled = np.flatnonzero(np.any([layer.any(axis=other_axes) for layer in layers], axis=0))
        box.append(slice(int(labeled[0]), int(labeled[-1]) + 1) if labeled.size else slice(0, 0))
    return tuple(box)
