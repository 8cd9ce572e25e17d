"""Where a structure of a segmentation lies."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.geometry.geometry import apply_affine
from ...core.geometry.volume import Segment, Segmentation
from .probe import Point
from .segmentations import segmentation_from_node


def find_structure_center(node: Any, name: str, value: int) -> Point | None:
    """Return the center, RAS mm, of the voxel of a structure that is nearest to the mean of all its voxels.

    It lies inside the structure also where that is bent or in several parts. node: vtkMRMLSegmentationNode or
    vtkMRMLLabelMapVolumeNode. name, value: as the report has them; the value counts only if no structure has the name.
    Returns None for a structure that is not there or has no voxel. Raises InputError for labels that cannot be read.
    """
    segmentation = segmentation_from_node(node)
    segment = _find_segment(segmentation, name, value)
    if segment is None:
        return None
    k, j, i = np.nonzero(segmentation.layers[segment.layer] == segment.value)
    if not len(k):
        return None
    indices = np.stack([i, j, k], axis=-1)
    offsets = (indices - indices.mean(axis=0)) * segmentation.geometry.spacing_mm
    nearest = indices[np.einsum("nc,nc->n", offsets, offsets).argmin()]
    right, anterior, superior = (float(x) for x in apply_affine(segmentation.affine, nearest))
    return right, anterior, superior


def _find_segment(segmentation: Segmentation, name: str, value: int) -> Segment | None:
    for matches in (lambda segment: segment.name == name, lambda segment: segment.value == value):
        found = next(filter(matches, segmentation.segments), None)
        if found is not None:
            return found
    return None
