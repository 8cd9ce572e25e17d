"""Images and segmentations pulled onto the fixed grid by a displacement field, a few rows at a time on all cores."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .coordinates import moving_stretches
from .field import DisplacementField
from .geometry import Geometry
from .threads import in_threads, shares
from .trilinear import corner_views, find_cells, interpolate, nearest_voxels
from .volume import Segmentation, Volume

_GATHERED = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
"""Types that torch gathers as they are."""


def warp_volume(moving: Volume, field: DisplacementField | None, geometry: Geometry) -> Volume:
    """Sample the moving volume (trilinear) on `geometry` where the field (None: identity) takes its voxels.

    The result has the moving volume's type; outside the moving field of view it has the moving volume's least value.
    """
    shape, array = moving.array.shape, moving.array
    background = _least(array)
    views = corner_views(_flat_tensor(array), shape)
    result = np.empty(geometry.shape, dtype=array.dtype)

    def fill(k: int, rows: slice, coordinates: Tensor) -> None:
        outside = _outside(coordinates, shape)
        if outside is True:
            result[k, rows] = background
            return
        values = _rounded(interpolate(views, find_cells(list(coordinates), shape)).numpy(), array.dtype)
        if outside is not False:
            values[outside] = background
        result[k, rows] = values.reshape(-1, geometry.shape[2])

    _in_threads(fill, geometry, moving.geometry, field)
    return Volume(result, geometry.affine, moving.name)


def warp_segmentation(segmentation: Segmentation, field: DisplacementField | None, geometry: Geometry) -> Segmentation:
    """Sample the label layers (nearest neighbor) on `geometry` where the field (None: identity) takes its voxels."""
    shape = segmentation.layers[0].shape
    flat = [layer.ravel() for layer in segmentation.layers]
    results = [np.zeros(geometry.shape, dtype=layer.dtype) for layer in segmentation.layers]

    def fill(k: int, rows: slice, coordinates: Tensor) -> None:
        outside = _outside(coordinates, shape)
        if outside is True:
            return
        nearest = nearest_voxels(list(coordinates), shape).numpy()
        for layer, result in zip(flat, results, strict=True):
            values = layer.take(nearest, mode="clip")
            if outside is not False:
                values[outside] = 0
            result[k, rows] = values.reshape(-1, geometry.shape[2])

    _in_threads(fill, geometry, segmentation.geometry, field)
    return Segmentation(tuple(results), geometry.affine, segmentation.segments, segmentation.name)


def moving_coordinates(geometry: Geometry, moving: Geometry, field: DisplacementField | None) -> Tensor:
    """Voxel coordinates (1, 3, D, H, W), components i, j, k, in the moving grid of each voxel of `geometry`."""
    result = torch.empty(1, 3, *geometry.shape)

    def fill(k: int, rows: slice, coordinates: Tensor) -> None:
        result[0, :, k, rows] = coordinates.view(3, -1, geometry.shape[2])

    _in_threads(fill, geometry, moving, field)
    return result


def _in_threads(
    fill: Callable[[int, slice, Tensor], None], geometry: Geometry, moving: Geometry, field: DisplacementField | None
) -> None:
    """Call `fill` with all stretches of the grid (see `core.coordinates`), each thread with slices of its own."""
    threads = min(torch.get_num_threads(), geometry.shape[0])
    parts = shares(geometry.shape[0], threads)

    def work(number: int) -> None:
        for stretch in moving_stretches(geometry, moving, field, parts[number]):
            fill(*stretch)

    in_threads(work, threads)


def _outside(coordinates: Tensor, shape: tuple[int, ...]) -> NDArray[np.bool_] | bool:
    """Which coordinates (3, n) lie outside an image: True for all, False for none, else a mask (n)."""
    mask: Tensor | bool = False
    bounds = coordinates.amin(1).tolist(), coordinates.amax(1).tolist()
    for position, size, least, largest in zip(coordinates, reversed(shape), *bounds, strict=True):
        if largest < -0.5 or least > size - 0.5:
            return True
        if least < -0.5 or largest > size - 0.5:
            mask = mask | (position < -0.5) | (position > size - 0.5)
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
