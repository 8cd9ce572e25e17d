"""Averages over blocks of voxels. The voxels are read once, in the order in which they are stored, on all cores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..threads import run_in_threads, split_range


def average_blocks(array: NDArray, factors: Sequence[int]) -> NDArray[np.float32]:
    """Average blocks of `factors` voxels along each axis of an array (of any real type, or any view of one).

    The blocks begin at the first voxel; beyond the last voxel, that one is repeated. NaN and infinity count as the
    smallest finite value.
    """
    order = np.argsort([-abs(stride) for stride in array.strides], kind="stable")
    stored = array.transpose(order)
    backward = [stride < 0 for stride in stored.strides]
    flips = tuple(slice(None, None, -1 if back else None) for back in backward)
    stored, sizes = stored[flips], [factors[axis] for axis in order]
    means = _average_stored(stored, sizes, backward)
    if array.dtype.kind == "f" and not np.isfinite(means).all():
        finite = np.isfinite(stored)
        means = _average_stored(np.where(finite, stored, stored[finite].min()), sizes, backward)
    return means[flips].transpose(np.argsort(order))


def _average_stored(array: NDArray, factors: Sequence[int], backward: Sequence[bool]) -> NDArray[np.float32]:
    """Average the blocks of a C-ordered array; backward: whether the blocks of an axis are counted from its end."""
    slices, rows, columns = factors
    shape = [-(-n // factor) for n, factor in zip(array.shape, factors, strict=True)]
    result = np.empty(shape, np.float32)
    start = len(array) - shape[0] * slices if backward[0] else 0
    parts = split_range(shape[0], min(shape[0], torch.get_num_threads()))

    def work(number: int) -> None:
        for block in parts[number]:
            first = start + block * slices
            total = _sum_slices(array, [min(max(k, 0), len(array) - 1) for k in range(first, first + slices)])
            total = _sum_axis_blocks(total, rows, backward[1])
            total = _sum_axis_blocks(total.T, columns, backward[2]).T
            np.multiply(total, 1 / (slices * rows * columns), out=result[block])

    run_in_threads(work, len(parts))
    return result


def _sum_slices(array: NDArray, indices: Sequence[int]) -> NDArray[np.float32]:
    total = array[indices[0]].astype(np.float32)
    for index in indices[1:]:
        np.add(total, array[index], out=total, casting="same_kind")
    return total


def _sum_axis_blocks(array: NDArray[np.float32], factor: int, backward: bool) -> NDArray[np.float32]:
    """Sum blocks along the first of two axes."""
    if factor == 1:
        return array
    missing = -len(array) % factor
    if missing:
        array = np.pad(array, ((missing, 0) if backward else (0, missing), (0, 0)), mode="edge")
    total = array[::factor] + array[1::factor]
    for offset in range(2, factor):
        total += array[offset::factor]
    return total
