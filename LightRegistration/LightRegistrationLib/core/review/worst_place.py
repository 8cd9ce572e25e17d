"""Where the outlines of a structure in two segmentations are farthest apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from ..geometry.geometry import FloatArray, apply_affine
from ..geometry.volume import Segment, Segmentation, match_segments


@dataclass(frozen=True, eq=False)
class WorstPlace:
    """Where two outlines are farthest apart. position_mm: on one of them, RAS mm. distance_mm: to the other one."""

    position_mm: tuple[float, float, float]
    distance_mm: float


def find_worst_place(fixed: Segmentation, warped: Segmentation, name: str, value: int) -> WorstPlace | None:
    """Find the surface voxel of a structure that is farthest from the other surface, in either direction.

    Its distance is the Hausdorff distance. name, value: as the report has them; the value counts only if no
    structure has the name. None for a structure that one of the segmentations lacks.
    """
    pairs = match_segments(fixed, warped)
    named = [pair for pair in pairs if pair[0].name == name] or [pair for pair in pairs if pair[0].value == value]
    if not named:
        return None
    (first,), (second,) = _find_surfaces_mm(fixed, [named[0][0]]), _find_surfaces_mm(warped, [named[0][1]])
    if not len(first) or not len(second):
        return None
    places = []
    for points, others in ((second, first), (first, second)):
        distances = cKDTree(others, balanced_tree=False, compact_nodes=False).query(points)[0]
        right, anterior, superior = (float(x) for x in points[distances.argmax()])
        places.append(WorstPlace((right, anterior, superior), float(distances.max())))
    return max(places, key=lambda place: place.distance_mm)


def _find_surfaces_mm(segmentation: Segmentation, segments: Sequence[Segment]) -> list[FloatArray]:
    """Find for each segment the positions (n, 3), RAS mm, of its voxels with a face toward the outside."""
    voxels = [_sort_voxels(layer) for layer in segmentation.layers]
    result = []
    for segment in segments:
        values, indices = voxels[segment.layer]
        own = indices[slice(*np.searchsorted(values, [segment.value, segment.value + 1]))]
        surface = _keep_surface(np.stack(np.unravel_index(own, segmentation.geometry.shape), axis=-1))
        result.append(apply_affine(segmentation.affine, surface[:, ::-1]))
    return result


def _sort_voxels(layer: NDArray) -> tuple[NDArray, NDArray[np.int64]]:
    """Sort the labeled voxels by their label: labels, and flat indices."""
    indices = np.flatnonzero(layer)
    values = layer.ravel()[indices]
    order = np.argsort(values, kind="stable")
    return values[order], indices[order]


def _keep_surface(voxels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Keep of the voxels (n, 3) of a structure those with a face toward the outside."""
    if not len(voxels):
        return voxels
    first = voxels.min(axis=0) - 1
    mask = np.zeros(voxels.max(axis=0) - first + 2, dtype=bool)
    mask[tuple((voxels - first).T)] = True
    return np.argwhere(mask & ~binary_erosion(mask)) + first
