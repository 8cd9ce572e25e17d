"""Images and segmentations pulled onto the fixed grid by a displacement field, a few rows at a time on all cores."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..geometry.geometry import Geometry
from ..geometry.transforms import DisplacementField
from ..geometry.volume import Segmentation, Volume
from ..threads import run_in_threads, split_range
from .coordinates import iterate_moving_rows
from .label_box import BoxSlices, find_labeled_box
from .trilinear import corner_views, find_cells, find_nearest_voxels, interpolate

_GATHERED = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
"""Types that torch gathers as they are."""


def warp_volume(moving: Volume, field: DisplacementField | None, geometry: Geometry) -> Volume:
    """Sample the moving volume (trilinear) on `geometry` where the field (None: identity) takes its voxels.

    The result has the moving volume's type; outside the moving field of view it has the moving volume's least value.
    """
    result = np.empty(geometry.shape, dtype=moving.array.dtype)
    _in_threads([_volume_filler(moving.array, result)], geometry, moving.geometry, field)
    return Volume(result, geometry.affine, moving.name)


def warp_segmentation(segmentation: Segmentation, field: DisplacementField | None, geometry: Geometry) -> Segmentation:
    """Sample the label layers (nearest neighbor) on `geometry` where the field (None: identity) takes its voxels."""
    places = _places_along_axes(geometry, segmentation.geometry) if field is None else None
    if places is not None:
        results = [_picked(layer, places) for layer in segmentation.layers]
    else:
        results = [np.zeros(geometry.shape, dtype=layer.dtype) for layer in segmentation.layers]
        _in_threads([_label_filler(segmentation.layers, results)], geometry, segmentation.geometry, field)
    return Segmentation(tuple(results), geometry.affine, segmentation.segments, segmentation.name)


def warp_volume_and_segmentation(
    moving: Volume, segmentation: Segmentation | None, field: DisplacementField, geometry: Geometry
) -> tuple[Volume, Segmentation | None]:
    """`warp_volume` and `warp_segmentation`; where both lie on one grid, each place is looked up only once."""
    if segmentation is None:
        return warp_volume(moving, field, geometry), None
    if not segmentation.geometry.matches(moving.geometry):
        return warp_volume(moving, field, geometry), warp_segmentation(segmentation, field, geometry)
    values = np.empty(geometry.shape, dtype=moving.array.dtype)
    labels = [np.zeros(geometry.shape, dtype=layer.dtype) for layer in segmentation.layers]
    fillers = [_volume_filler(moving.array, values), _label_filler(segmentation.layers, labels)]
    _in_threads(fillers, geometry, moving.geometry, field)
    return (
        Volume(values, geometry.affine, moving.name),
        Segmentation(tuple(labels), geometry.affine, segmentation.segments, segmentation.name),
    )


_Filler = Callable[[int, slice, Tensor], None]
"""Fills some rows of a slice k of a result, told where they lie in the moving grid (3, n)."""


def _volume_filler(array: NDArray, result: NDArray) -> _Filler:
    shape, background = array.shape, _least(array)
    box = tuple(slice(0, n) for n in shape)
    views = corner_views(_flat_tensor(array), shape)

    def fill(k: int, rows: slice, coordinates: Tensor) -> None:
        outside = _outside(coordinates, box)
        if outside is True:
            result[k, rows] = background
            return
        values = _rounded(interpolate(views, find_cells(list(coordinates), shape)).numpy(), array.dtype)
        if outside is not False:
            values[outside] = background
        result[k, rows] = values.reshape(-1, result.shape[2])

    return fill


def _label_filler(layers: Sequence[NDArray], results: Sequence[NDArray]) -> _Filler:
    shape, flat = layers[0].shape, [layer.ravel() for layer in layers]
    box = find_labeled_box(layers)  # beyond it all is 0 anyway

    def fill(k: int, rows: slice, coordinates: Tensor) -> None:
        outside = _outside(coordinates, box)
        if outside is True:
            return
        nearest = find_nearest_voxels(list(coordinates), shape).numpy()
        for layer, result in zip(flat, results, strict=True):
            values = layer.take(nearest, mode="clip")
            if outside is not False:
                values[outside] = 0
            result[k, rows] = values.reshape(-1, result.shape[2])

    return fill


def _places_along_axes(geometry: Geometry, source: Geometry) -> list[NDArray[np.int64]] | None:
    """Where the axes of two grids run alike: for each of k, j, i the source's nearest index at each of the grid's.

    -1 outside the source. None where they do not run alike.
    """
    matrix = source.inverse_affine @ geometry.affine
    steps = np.diag(matrix[:3, :3])
    crooked = np.abs(matrix[:3, :3] - np.diag(steps)).max() * max(geometry.shape)
    if crooked > 1e-3:
        return None
    found = []
    for axis, size in enumerate(geometry.shape):
        index = matrix[2 - axis, 3] + steps[2 - axis] * np.arange(size)
        nearest = np.floor(index + 0.5).astype(np.int64)
        found.append(np.where((index >= -0.5) & (nearest < source.shape[axis]), nearest, -1))
    return found


def _picked(layer: NDArray, places: list[NDArray[np.int64]]) -> NDArray:
    """The labels at places along each axis; 0 where one of them is -1."""
    result = np.zeros([len(along) for along in places], layer.dtype)
    inside = [np.flatnonzero(along >= 0) for along in places]
    box = tuple(slice(int(n[0]), int(n[-1]) + 1) if len(n) else slice(0, 0) for n in inside)
    slices, rows, columns = (along[part] for along, part in zip(places, box, strict=True))
    picked = result[box]

    def work(number: int) -> None:
        for k in parts[number]:
            picked[k] = layer[slices[k]][rows][:, columns]

    parts = split_range(len(slices), min(torch.get_num_threads(), len(slices)))
    if parts:
        run_in_threads(work, len(parts))
    return result


def compute_moving_coordinates(geometry: Geometry, moving: Geometry, field: DisplacementField | None) -> Tensor:
    """Voxel coordinates (1, 3, D, H, W), components i, j, k, in the moving grid of each voxel of `geometry`."""
    result = torch.empty(1, 3, *geometry.shape)

    def fill(k: int, rows: slice, coordinates: Tensor) -> None:
        result[0, :, k, rows] = coordinates.view(3, -1, geometry.shape[2])

    _in_threads([fill], geometry, moving, field)
    return result


def _in_threads(
    fillers: Sequence[_Filler], geometry: Geometry, moving: Geometry, field: DisplacementField | None
) -> None:
    """Call the fillers with all stretches of the grid (see `core.sampling.coordinates`), each thread with slices of its own."""
    threads = min(torch.get_num_threads(), geometry.shape[0])
    parts = split_range(geometry.shape[0], threads)

    def work(number: int) -> None:
        for stretch in iterate_moving_rows(geometry, moving, field, parts[number]):
            for fill in fillers:
                fill(*stretch)

    run_in_threads(work, threads)


def _outside(coordinates: Tensor, box: BoxSlices) -> NDArray[np.bool_] | bool:
    """Which coordinates (3, n) lie outside a box of voxels (k, j, i): True for all, False for none, else a mask (n)."""
    mask: Tensor | bool = False
    bounds = coordinates.amin(1).tolist(), coordinates.amax(1).tolist()
    for position, part, least, largest in zip(coordinates, reversed(box), *bounds, strict=True):
        low, high = part.start - 0.5, part.stop - 0.5
        if largest < low or least > high:
            return True
        if least < low or largest > high:
            mask = mask | (position < low) | (position > high)
    return mask.numpy() if isinstance(mask, Tensor) else mask


def _least(array: NDArray) -> float:
    """The least finite value."""
    least = array.min()
    return float(least if np.isfinite(least) else array[np.isfinite(array)].min())


def _flat_tensor(array: NDArray) -> Tensor:
    """The voxels in a row, without a copy where torch can gather their type."""
    if array.dtype == np.uint16 and array.max() <= np.iinfo(np.int16).max:
        array = array.view(np.int16)
    if array.dtype.name not in _GATHERED or not array.dtype.isnative:
        array = array.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch knows no arrays that are read-only; this one is only read
        return torch.from_numpy(array.ravel())


def _rounded(values: NDArray[np.float32], dtype: np.dtype) -> NDArray:
    if dtype.kind == "b":
        return values >= 0.5
    if dtype.kind in "iu":
        np.rint(values, out=values)
        if dtype.itemsize >= 4:  # beyond 24 bits the nearest 32-bit number may lie outside the type's range
            limits = np.iinfo(dtype)
            return np.asarray(np.clip(values.astype(np.float64), limits.min, limits.max).astype(dtype))
    return values.astype(dtype, copy=False)
