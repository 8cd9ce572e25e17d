"""Voxel counts of many structures, and of what two segmentations have in common, in one pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..sampling.label_box import find_labeled_box
from ..threads import run_in_threads, split_range

_SLAB_VOXELS = 1 << 20
_TABLE = 1 << 20
"""Label values below this are looked up in a table; others are searched for, which takes longer."""


class LabelLookup:
    """Turns label values into the numbers 1 to n of the structures that have them; 0 for all others.

    kind: the type of the numbers, the smallest that holds them: what is small is counted and compared fast.
    """

    def __init__(self, values: Sequence[int]) -> None:
        self.count = len(values)
        self.kind = np.min_scalar_type(self.count)
        self._order = np.argsort(values)
        self._sorted = np.asarray(values)[self._order]
        self._table: NDArray | None = None
        if self.count and self._sorted[0] >= 0 and self._sorted[-1] < _TABLE:
            self._table = np.zeros(self._sorted[-1] + 2, self.kind)
            self._table[np.asarray(values)] = np.arange(1, len(values) + 1)

    def __call__(self, labels: NDArray) -> NDArray:
        """The numbers of an array of label values."""
        if not self.count:
            return np.zeros(labels.shape, self.kind)
        labels = labels.view(np.uint8) if labels.dtype == bool else labels
        if self._table is not None and (labels.dtype.kind == "u" or labels.min(initial=0) >= 0):
            return np.asarray(self._table.take(labels, mode="clip"))  # the last entry, 0, stands for all above
        places = np.clip(np.searchsorted(self._sorted, labels), 0, len(self._sorted) - 1)
        return np.where(self._sorted[places] == labels, self._order[places] + 1, 0).astype(self.kind)


def count_voxels(
    layers: Sequence[NDArray], numberings: Sequence[LabelLookup]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the structures 0 to n - 1 in label layers (k, j, i) of one shape, each with its numbering.

    Returns the voxels of each structure in each layer (layers, n), and those that each has in common in this layer and
    the first one (layers, n).
    """
    count = numberings[0].count
    box = find_labeled_box(layers)
    cropped = [layer[box] for layer in layers]
    slices = max(1, _SLAB_VOXELS // max(1, cropped[0][:1].size))
    slabs = split_range(len(cropped[0]), -(-len(cropped[0]) // slices))
    found = np.zeros((len(slabs), 2, len(layers), count), np.int64)
    threads = max(1, min(torch.get_num_threads(), len(slabs)))

    def work(number: int) -> None:
        for index in range(number, len(slabs), threads):
            part = slice(slabs[index].start, slabs[index].stop)
            numbers = [find(layer[part]) for find, layer in zip(numberings, cropped, strict=True)]
            for layer, these in enumerate(numbers):
                found[index, 0, layer] = _histogram(these, count)
                found[index, 1, layer] = _histogram(these * (these == numbers[0]), count) if layer else 0
            found[index, 1, 0] = found[index, 0, 0]

    run_in_threads(work, threads)
    voxels, common = found.sum(axis=0)
    return voxels, common


def _histogram(numbers: NDArray, count: int) -> NDArray[np.int64]:
    flat = numbers.ravel()
    if numbers.dtype == np.uint8:  # three times as fast as numpy, which turns them into 64-bit numbers first
        return np.asarray(torch.bincount(torch.from_numpy(flat), minlength=count + 1).numpy()[1:])
    return np.bincount(flat, minlength=count + 1)[1:]
