"""Warping of volumes and segmentations to the fixed grid by a displacement field, a few rows at a time on all cores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..geometry.geometry import Geometry
from ..geometry.transforms import DisplacementField
from ..geometry.volume import Segmentation, Volume
from ..threads import run_in_threads, split_range
from .coordinates import PointMap, iterate_moving_rows
from .fillers import Filler, make_label_filler, make_volume_filler
from .settings import SAMPLING


def warp_volume(moving: Volume, field: DisplacementField | None, geometry: Geometry) -> Volume:
    """Sample the moving volume (trilinear) at the voxels of `geometry`, mapped by the field (None: identity).

    The result has the moving volume's type. Outside the moving field of view it has the moving volume's smallest value.
    """
    result = np.empty(geometry.shape, dtype=moving.array.dtype)
    fill_in_threads([make_volume_filler(moving.array, result)], geometry, moving.geometry, field)
    return Volume(result, geometry.affine, moving.name)


def warp_segmentation(segmentation: Segmentation, field: DisplacementField | None, geometry: Geometry) -> Segmentation:
    """Sample the label layers (nearest neighbor) at the voxels of `geometry`, mapped by the field (None: identity)."""
    indices = _find_indices_along_axes(geometry, segmentation.geometry) if field is None else None
    if indices is not None:
        results = [_take_along_axes(layer, indices) for layer in segmentation.layers]
    else:
        results = [np.zeros(geometry.shape, dtype=layer.dtype) for layer in segmentation.layers]
        fill_in_threads([make_label_filler(segmentation.layers, results)], geometry, segmentation.geometry, field)
    return Segmentation(tuple(results), geometry.affine, segmentation.segments, segmentation.name)


def warp_volume_and_segmentation(
    moving: Volume, segmentation: Segmentation | None, field: DisplacementField, geometry: Geometry
) -> tuple[Volume, Segmentation | None]:
    """Do `warp_volume` and `warp_segmentation`; if both lie on one grid, the coordinates are computed only once."""
    if segmentation is None:
        return warp_volume(moving, field, geometry), None
    if not segmentation.geometry.matches(moving.geometry):
        return warp_volume(moving, field, geometry), warp_segmentation(segmentation, field, geometry)
    values = np.empty(geometry.shape, dtype=moving.array.dtype)
    labels = [np.zeros(geometry.shape, dtype=layer.dtype) for layer in segmentation.layers]
    fillers = [make_volume_filler(moving.array, values), make_label_filler(segmentation.layers, labels)]
    fill_in_threads(fillers, geometry, moving.geometry, field)
    return (
        Volume(values, geometry.affine, moving.name),
        Segmentation(tuple(labels), geometry.affine, segmentation.segments, segmentation.name),
    )


def _find_indices_along_axes(geometry: Geometry, source: Geometry) -> list[NDArray[np.int64]] | None:
    """Find, for each of k, j, i, the nearest source index for each index of a grid with parallel axes.

    -1 outside the source. None if the axes are not parallel.
    """
    matrix = source.inverse_affine @ geometry.affine
    steps = np.diag(matrix[:3, :3])
    deviation = np.abs(matrix[:3, :3] - np.diag(steps)).max() * max(geometry.shape)
    if deviation > SAMPLING.max_axis_deviation_label_voxels:
        return None
    found = []
    for axis, size in enumerate(geometry.shape):
        index = matrix[2 - axis, 3] + steps[2 - axis] * np.arange(size)
        nearest = np.floor(index + 0.5).astype(np.int64)
        found.append(np.where((index >= -0.5) & (nearest < source.shape[axis]), nearest, -1))
    return found


def _take_along_axes(layer: NDArray, indices: list[NDArray[np.int64]]) -> NDArray:
    """Take the labels at the indices along each axis; 0 where one of them is -1."""
    result = np.zeros([len(along) for along in indices], layer.dtype)
    inside = [np.flatnonzero(along >= 0) for along in indices]
    box = tuple(slice(int(n[0]), int(n[-1]) + 1) if len(n) else slice(0, 0) for n in inside)
    slices, rows, columns = (along[part] for along, part in zip(indices, box, strict=True))
    target = result[box]

    def work(number: int) -> None:
        for k in parts[number]:
            target[k] = layer[slices[k]][rows][:, columns]

    parts = split_range(len(slices), min(torch.get_num_threads(), len(slices)))
    if parts:
        run_in_threads(work, len(parts))
    return result


def compute_moving_coordinates(geometry: Geometry, moving: Geometry, field: DisplacementField | None) -> Tensor:
    """Compute voxel coordinates (1, 3, D, H, W), components i, j, k, in the moving grid of the voxels of `geometry`."""
    result = torch.empty(1, 3, *geometry.shape)

    def fill(k: int, rows: slice, coordinates: Tensor) -> None:
        result[0, :, k, rows] = coordinates.view(3, -1, geometry.shape[2])

    fill_in_threads([fill], geometry, moving, field)
    return result


def fill_in_threads(
    fillers: Sequence[Filler], geometry: Geometry, moving: Geometry, field: DisplacementField | PointMap | None
) -> None:
    """Call the fillers with all rows of the grid (see `core.sampling.coordinates`); threads share the slices."""
    threads = min(torch.get_num_threads(), geometry.shape[0])
    parts = split_range(geometry.shape[0], threads)

    def work(number: int) -> None:
        for block in iterate_moving_rows(geometry, moving, field, parts[number]):
            for fill in fillers:
                fill(*block)

    run_in_threads(work, threads)
