"""Voxel counts of many structures, and of their intersections in two segmentations, in one pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..sampling.label_box import find_labeled_box
from ..threads import run_in_threads, split_range
from .settings import METRICS


class LabelLookup:
    """Converts label values to the numbers 1 to n of their structures, and all other values to 0.

    dtype: the smallest type for the numbers; small types are counted and compared faster.
    """

    def __init__(self, values: Sequence[int]) -> None:
        self.count = len(values)
        self.dtype = np.min_scalar_type(self.count)
        self._order = np.argsort(values)
        self._sorted = np.asarray(values)[self._order]
        self._table: NDArray | None = None
        if self.count and self._sorted[0] >= 0 and self._sorted[-1] < METRICS.table_size:
            self._table = np.zeros(self._sorted[-1] + 2, self.dtype)
            self._table[np.asarray(values)] = np.arange(1, len(values) + 1)

    def __call__(self, labels: NDArray) -> NDArray:
        """Convert an array of label values to structure numbers."""
        if not self.count:
            return np.zeros(labels.shape, self.dtype)
        labels = labels.view(np.uint8) if labels.dtype == bool else labels
        if self._table is not None and (labels.dtype.kind == "u" or labels.min(initial=0) >= 0):
            return np.asarray(self._table.take(labels, mode="clip"))  # the last entry, 0, is for all larger values
        indices = np.clip(np.searchsorted(self._sorted, labels), 0, len(self._sorted) - 1)
        return np.where(self._sorted[indices] == labels, self._order[indices] + 1, 0).astype(self.dtype)


def count_voxels(
    layers: Sequence[NDArray], lookups: Sequence[LabelLookup]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the voxels of structures 0 to n - 1 in label layers (k, j, i) of one shape, each with its lookup.

    Returns the voxels of each structure in each layer (layers, n), and the voxels that each structure has in both that
    layer and the first one (layers, n).
    """
    count = lookups[0].count
    box = find_labeled_box(layers)
    cropped = [layer[box] for layer in layers]
    slices = max(1, METRICS.slab_voxels // max(1, cropped[0][:1].size))
    slabs = split_range(len(cropped[0]), -(-len(cropped[0]) // slices))
    found = np.zeros((len(slabs), 2, len(layers), count), np.int64)
    threads = max(1, min(torch.get_num_threads(), len(slabs)))

    def work(number: int) -> None:
        for index in range(number, len(slabs), threads):
            part = slice(slabs[index].start, slabs[index].stop)
            numbers = [lookup(layer[part]) for lookup, layer in zip(lookups, cropped, strict=True)]
            for layer, own in enumerate(numbers):
                found[index, 0, layer] = _count_numbers(own, count)
                found[index, 1, layer] = _count_numbers(own * (own == numbers[0]), count) if layer else 0
            found[index, 1, 0] = found[index, 0, 0]

    run_in_threads(work, threads)
    voxels, common = found.sum(axis=0)
    return voxels, common


def _count_numbers(numbers: NDArray, count: int) -> NDArray[np.int64]:
    flat = numbers.ravel()
    if numbers.dtype == np.uint8:  # three times as fast as numpy, which converts to 64 bits first
        return np.asarray(torch.bincount(torch.from_numpy(flat), minlength=count + 1).numpy()[1:])
    return np.bincount(flat, minlength=count + 1)[1:]
