"""Mean distance to agreement of the structures of two segmentations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from ..geometry.geometry import FloatArray, apply_affine
from ..geometry.volume import Segment, Segmentation, match_segments


def compute_mean_distances(fixed: Segmentation, warped: Segmentation) -> dict[int, float]:
    """Compute the mean distance to agreement of every structure, mm, by its label value in the fixed segmentation.

    The mean of the distances from each surface voxel to the nearest one of the other surface, both directions pooled;
    NaN if one is empty. Each segmentation may have a grid of its own.
    """
    pairs = match_segments(fixed, warped)
    surfaces = [
        _find_surfaces_mm(fixed, [one for one, _ in pairs]),
        _find_surfaces_mm(warped, [two for _, two in pairs]),
    ]
    return {
        one.value: _compute_mean_distance(surface, other)
        for (one, _), surface, other in zip(pairs, *surfaces, strict=True)
    }


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


def _compute_mean_distance(first_mm: FloatArray, second_mm: FloatArray) -> float:
    if not len(first_mm) or not len(second_mm):
        return float("nan")
    first, second = (cKDTree(p, balanced_tree=False, compact_nodes=False) for p in (first_mm, second_mm))
    return float(np.concatenate([second.query(first_mm)[0], first.query(second_mm)[0]]).mean())
