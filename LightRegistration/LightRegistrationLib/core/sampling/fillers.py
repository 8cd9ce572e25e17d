"""Fill rows of a warped volume or of warped labels from their coordinates in the moving grid."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .label_box import BoxSlices, find_labeled_box
from .trilinear import Cells, find_cells, find_nearest_voxels, interpolate, make_corner_views

_GATHERED = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
"""Types that torch can gather without conversion."""


Filler = Callable[[int, slice, Tensor], None]
"""Fills some rows of slice k of a result from their coordinates in the moving grid (3, n)."""


def make_volume_filler(array: NDArray, result: NDArray) -> Filler:
    """Return a filler by trilinear interpolation; outside the array its smallest finite value is written."""
    shape, background = array.shape, _find_smallest(array)
    box = tuple(slice(0, n) for n in shape)
    views = make_corner_views(_flatten_to_tensor(array), shape)

    def fill(k: int, rows: slice, coordinates: Tensor) -> None:
        outside = _find_outside(coordinates, box)
        if outside is True:
            result[k, rows] = background
            return
        values = _convert_values(interpolate(views, find_cells(list(coordinates), shape)).numpy(), array.dtype)
        if outside is not False:
            values[outside] = background
        result[k, rows] = values.reshape(-1, result.shape[2])

    return fill


def make_label_filler(layers: Sequence[NDArray], results: Sequence[NDArray]) -> Filler:
    """Return a filler by the nearest voxel; the results, made of zeros, stay 0 outside the layers."""
    shape, flat = layers[0].shape, [layer.ravel() for layer in layers]
    box = find_labeled_box(layers)  # outside it all labels are 0

    def fill(k: int, rows: slice, coordinates: Tensor) -> None:
        outside = _find_outside(coordinates, box)
        if outside is True:
            return
        nearest = find_nearest_voxels(list(coordinates), shape).numpy()
        for layer, result in zip(flat, results, strict=True):
            values = layer.take(nearest, mode="clip")
            if outside is not False:
                values[outside] = 0
            result[k, rows] = values.reshape(-1, result.shape[2])

    return fill


def make_smooth_label_filler(layers: Sequence[NDArray], results: Sequence[NDArray]) -> Filler:
    """Return a filler by which each voxel gets the label of the greatest weight among the eight voxels around it.

    The weights are those of trilinear interpolation: the same as interpolating the mask of each label and taking the
    greatest, for any number of labels at once. Of labels of equal weight, the one first in memory is taken.
    """
    shape = layers[0].shape
    box = find_labeled_box(layers)  # more than half a voxel outside it, background has the greatest weight
    views = [make_corner_views(_flatten_labels(layer), shape) for layer in layers]

    def fill(k: int, rows: slice, coordinates: Tensor) -> None:
        outside = _find_outside(coordinates, box)
        if outside is True:
            return
        cells = find_cells(list(coordinates), shape)
        for corners, result in zip(views, results, strict=True):
            values = _choose_labels(corners, cells).numpy().astype(result.dtype, copy=False)
            if outside is not False:
                values[outside] = 0
            result[k, rows] = values.reshape(-1, result.shape[2])

    return fill


def _choose_labels(views: Sequence[Tensor], cells: Cells) -> Tensor:
    """Choose the label (n) with the greatest trilinear weight in each cell."""
    corners = torch.stack([torch.index_select(view, 0, cells.first) for view in views])
    chosen = corners[0].clone()
    mixed = (corners != corners[0]).any(0).nonzero()[:, 0]
    if not len(mixed):
        return chosen
    corners = corners[:, mixed]
    at_i, at_j, at_k = ((1 - fraction[mixed], fraction[mixed]) for fraction in cells.fractions)
    weights = torch.stack([at_k[c] * at_j[b] * at_i[a] for c, b, a in product((0, 1), repeat=3)])
    scores = torch.stack([(weights * (corners == corner)).sum(0) for corner in corners])
    chosen[mixed] = corners.gather(0, scores.argmax(0, keepdim=True))[0]
    return chosen


def _find_outside(coordinates: Tensor, box: BoxSlices) -> NDArray[np.bool_] | bool:
    """Find the coordinates (3, n) outside a box of voxels (k, j, i): True for all, False for none, else a mask (n)."""
    mask: Tensor | bool = False
    bounds = coordinates.amin(1).tolist(), coordinates.amax(1).tolist()
    for position, part, smallest, largest in zip(coordinates, reversed(box), *bounds, strict=True):
        low, high = part.start - 0.5, part.stop - 0.5
        if largest < low or smallest > high:
            return True
        if smallest < low or largest > high:
            mask = mask | (position < low) | (position > high)
    return mask.numpy() if isinstance(mask, Tensor) else mask


def _find_smallest(array: NDArray) -> float:
    """Find the smallest finite value."""
    smallest = array.min()
    return float(smallest if np.isfinite(smallest) else array[np.isfinite(array)].min())


def _flatten_to_tensor(array: NDArray) -> Tensor:
    """Return the voxels as a flat tensor, without a copy if torch can gather their type."""
    if array.dtype == np.uint16 and array.max() <= np.iinfo(np.int16).max:
        array = array.view(np.int16)
    if array.dtype.name not in _GATHERED or not array.dtype.isnative:
        array = array.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns of read-only arrays; this one is only read
        return torch.from_numpy(array.ravel())


def _flatten_labels(labels: NDArray) -> Tensor:
    """Return labels as a flat tensor of whole numbers; unsigned types that torch cannot gather become larger ones."""
    signed = {"uint16": np.int32, "uint32": np.int64, "uint64": np.int64}.get(labels.dtype.name)
    native = labels.astype(signed or labels.dtype.newbyteorder("="), copy=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns of read-only arrays; this one is only read
        return torch.from_numpy(native.ravel())


def _convert_values(values: NDArray[np.float32], dtype: np.dtype) -> NDArray:
    if dtype.kind == "b":
        return values >= 0.5
    if dtype.kind in "iu":
        np.rint(values, out=values)
        if dtype.itemsize >= 4:  # beyond 24 bits the nearest 32-bit number may lie outside the type's range
            limits = np.iinfo(dtype)
            return np.asarray(np.clip(values.astype(np.float64), limits.min, limits.max).astype(dtype))
    return values.astype(dtype, copy=False)
