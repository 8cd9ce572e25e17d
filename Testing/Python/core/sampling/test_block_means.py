"""Averages of blocks compared with sums over all voxels, for every way in which an array may be stored."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from LightRegistrationLib.core.sampling.block_means import average_blocks

VIEWS = {
    "as stored": lambda a: a,
    "flipped": lambda a: a[::-1, :, ::-1],
    "permuted": lambda a: a.transpose(2, 0, 1),
    "permuted and flipped": lambda a: a.transpose(1, 2, 0)[::-1, ::-1, ::-1],
}


def expected_means(array: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """Average over every voxel of every block; beyond the last voxel, that one is repeated."""
    lines = [
        np.minimum(np.arange(-(-n // f) * f), n - 1).reshape(-1, f) for n, f in zip(array.shape, factors, strict=True)
    ]
    k, j, i = lines
    blocks = array[k[:, None, None, :, None, None], j[None, :, None, None, :, None], i[None, None, :, None, None, :]]
    return blocks.astype(np.float64).mean(axis=(3, 4, 5))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 3, 4), (5, 1, 2), (9, 50, 7)])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64", "bool"])
def test_averages_equal_those_of_the_voxels(view, factors, dtype):
    rng = np.random.default_rng(0)
    values = rng.random((19, 23, 31)) > 0.5 if dtype == "bool" else rng.uniform(0, 200, (19, 23, 31))
    array = VIEWS[view](values.astype(dtype))
    found = average_blocks(array, factors)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected_means(array, factors), rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_count_as_the_smallest_value(bad):
    array = np.random.default_rng(1).uniform(5, 9, (6, 8, 10)).astype(np.float32)
    array[3, 4, 5] = bad
    clean = np.where(np.isfinite(array), array, array[np.isfinite(array)].min())
    np.testing.assert_allclose(average_blocks(array, (2, 2, 5)), expected_means(clean, (2, 2, 5)), rtol=1e-5)


def test_threads_change_nothing():
    array = np.random.default_rng(2).integers(-1000, 1000, (40, 50, 60)).astype(np.int16)
    before = torch.get_num_threads()
    results = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        results.append(average_blocks(array, (3, 2, 4)))
    torch.set_num_threads(before)
    np.testing.assert_array_equal(*results)
