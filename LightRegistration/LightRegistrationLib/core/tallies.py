"""Voxel counts and bounding boxes of many structures, and of what two segmentations have in common, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from .threads import in_threads, shares

Box = tuple[slice, ...]

_SLAB_VOXELS = 1 << 20
_TABLE = 1 << 20
"""Label values below this are looked up in a table; others are searched for, which takes longer."""


@dataclass(frozen=True, eq=False)
class Tally:
    """Of the structures in one label layer: voxels (n), and the first and the last but one index (n, 3) along k, j, i.

    A structure without voxels has a box from beyond the layer's end to 0.
    """

    voxels: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]

    def box(self, number: int, other: Tally) -> Box:
        """The box around structure `number` of both tallies; empty where neither has a voxel."""
        starts, stops = np.minimum(self.starts, other.starts)[number], np.maximum(self.stops, other.stops)[number]
        return tuple(slice(int(a), int(b)) if a < b else slice(0, 0) for a, b in zip(starts, stops, strict=True))


def tally(layers: Sequence[NDArray], values: Sequence[Sequence[int]]) -> tuple[list[Tally], NDArray[np.int64]]:
    """Count the structures of one or several label layers of one shape.

    values: for each layer the label values, no value twice, of the structures 0 to n - 1. Returns a tally for each
    layer and how many voxels each structure has in common in the first and every further layer (layers - 1, n).
    """
    shape, count = layers[0].shape, len(values[0])
    tallies = [Tally(np.zeros(count, int), np.full((count, 3), max(shape)), np.zeros((count, 3), int)) for _ in layers]
    common = np.zeros((len(layers) - 1, count), int)
    finders = [_Finder(wanted) for wanted in values]
    box = _labeled(layers)
    cropped = [layer[box] for layer in layers]
    origin = np.array([part.start for part in box])
    slab = max(1, _SLAB_VOXELS // max(1, cropped[0][:1].size))
    slabs = shares(len(cropped[0]), -(-len(cropped[0]) // slab))
    found: list[list[tuple[NDArray, NDArray, NDArray, NDArray]]] = [[] for _ in slabs]

    def work(number: int) -> None:
        for index in range(number, len(slabs), threads):
            found[index] = _slab(cropped, finders, slabs[index], count)

    threads = max(1, min(torch.get_num_threads(), len(slabs)))
    in_threads(work, threads)
    for part, slab_counts in zip(slabs, found, strict=True):
        for index, (voxels, starts, stops, shared) in enumerate(slab_counts):
            target = tallies[index]
            target.voxels[:] += voxels
            shift = origin + (part.start, 0, 0)
            np.minimum(target.starts, starts + shift, out=target.starts, where=voxels[:, None] > 0)
            np.maximum(target.stops, stops + shift, out=target.stops, where=voxels[:, None] > 0)
            if index:
                common[index - 1] += shared
    return tallies, common


def _slab(
    layers: Sequence[NDArray], finders: Sequence[_Finder], part: range, count: int
) -> list[tuple[NDArray, NDArray, NDArray, NDArray]]:
    """For each layer: voxels, box starts and stops in the slab, and voxels in common with the first layer."""
    numbers = [finder(layer[part.start : part.stop]) for finder, layer in zip(finders, layers, strict=True)]
    result = []
    for these in numbers:
        voxels = np.bincount(these.ravel(), minlength=count + 1)[1:]
        boxes = ndimage.find_objects(these, count)
        starts = np.array([[0] * 3 if box is None else [axis.start for axis in box] for box in boxes])
        stops = np.array([[0] * 3 if box is None else [axis.stop for axis in box] for box in boxes])
        shared = np.bincount(these[these == numbers[0]], minlength=count + 1)[1:]
        result.append((voxels, starts.reshape(-1, 3), stops.reshape(-1, 3), shared))
    return result


class _Finder:
    """Turns label values into the numbers 1 to n of the structures that have them; 0 for all others."""

    def __init__(self, values: Sequence[int]) -> None:
        self._order = np.argsort(values)
        self._sorted = np.asarray(values)[self._order]
        self._table: NDArray | None = None
        if len(values) and self._sorted[0] >= 0 and self._sorted[-1] < _TABLE:
            self._table = np.zeros(self._sorted[-1] + 2, np.int32)
            self._table[np.asarray(values)] = np.arange(1, len(values) + 1)

    def __call__(self, labels: NDArray) -> NDArray[np.int32]:
        if not len(self._sorted):
            return np.zeros(labels.shape, np.int32)
        labels = labels.view(np.uint8) if labels.dtype == bool else labels
        if self._table is not None and labels.min(initial=0) >= 0:
            return np.asarray(self._table.take(labels, mode="clip"))  # the last entry, 0, stands for all above
        places = np.clip(np.searchsorted(self._sorted, labels), 0, len(self._sorted) - 1)
        return np.where(self._sorted[places] == labels, self._order[places] + 1, 0).astype(np.int32)


def _labeled(layers: Sequence[NDArray]) -> Box:
    """The box around all that is not background."""
    box = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        shown = np.flatnonzero(np.any([layer.any(axis=others) for layer in layers], axis=0))
        box.append(slice(int(shown[0]), int(shown[-1]) + 1) if shown.size else slice(0, 0))
    return tuple(box)
