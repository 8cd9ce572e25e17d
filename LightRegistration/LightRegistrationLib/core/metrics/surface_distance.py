"""Distances between the surfaces of structures in two segmentations: their mean, and the 95th percentile (HD95)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..geometry.geometry import Geometry
from ..sampling.label_box import BoxSlices
from ..threads import run_in_threads, split_range
from .label_counts import LabelLookup
from .settings import METRICS

_QUANTILE = 0.95
_ROUNDING_MM = 1e-6


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between two surfaces, both directions pooled: their mean (to agreement) and 95th percentile, mm."""

    mean_mm: float
    hd95_mm: float


UNDEFINED_DISTANCES = SurfaceDistances(float("nan"), float("nan"))
"""Of surfaces of which one is empty, or that were not measured."""


@dataclass(frozen=True, eq=False)
class _Neighborhood:
    """The nearest neighbors of a voxel.

    offsets: (n, 3) along k, j, i. distances_mm: (n). reach: largest offset along k, j, i.
    """

    offsets: NDArray[np.int64]
    distances_mm: NDArray[np.float64]
    reach: tuple[int, int, int]


@lru_cache(maxsize=8)
def _find_neighborhood(axes: bytes) -> _Neighborhood:
    matrix = np.frombuffer(axes).reshape(3, 3)
    radius = np.cbrt(METRICS.neighborhood_voxels * abs(np.linalg.det(matrix)) * 3 / (4 * np.pi))
    reach = np.ceil(radius * np.linalg.norm(np.linalg.inv(matrix), axis=1)).astype(int)[::-1]
    offsets = np.indices(2 * reach + 1).reshape(3, -1).T - reach
    distances = np.linalg.norm(offsets[:, ::-1] @ matrix.T, axis=1)
    order = np.argsort(distances, kind="stable")
    order = order[distances[order] <= radius]
    return _Neighborhood(offsets[order], distances[order], (int(reach[0]), int(reach[1]), int(reach[2])))


class LabelSurfaces:
    """The surfaces of all structures of one label layer: voxels that share a face with a voxel of another value.

    To compare two of them, geometry and box must be the same.
    """

    def __init__(self, layer: NDArray, box: BoxSlices, lookup: LabelLookup, geometry: Geometry) -> None:
        self.matrix = geometry.affine[:3, :3]
        self.neighborhood = _find_neighborhood(np.ascontiguousarray(self.matrix).tobytes())
        cropped, margin = layer[box], np.maximum(self.neighborhood.reach, 1)
        self.shape = tuple(int(n) for n in np.add(cropped.shape, 2 * margin))
        inner = tuple(slice(m, m + n) for m, n in zip(margin, cropped.shape, strict=True))
        self._numbers = np.zeros(self.shape, lookup.dtype)
        self._points = self._extract_surfaces(self._number_voxels(inner, cropped, lookup), inner, lookup.count)

    def _number_voxels(self, inner: BoxSlices, cropped: NDArray, lookup: LabelLookup) -> NDArray:
        """Return the structure number of every voxel, with a margin of 0."""
        numbers = np.zeros_like(self._numbers)

        def fill(part: range) -> None:
            for k in part:
                numbers[inner][k] = lookup(cropped[k])

        _share_slices(fill, len(cropped))
        return numbers

    def _extract_surfaces(self, all_numbers: NDArray, inner: BoxSlices, count: int) -> list[NDArray[np.int64]]:
        """Fill in the numbers on the surfaces; return the flat indices of the surface voxels of each structure."""
        slices = range(inner[0].start, inner[0].stop)
        found: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(slices)

        def work(part: range) -> None:
            for index in part:
                k = slices[index]
                self._numbers[k][inner[1:]] = _keep_surface(all_numbers[k - 1 : k + 2], inner)
                found[index] = np.flatnonzero(self._numbers[k]) + k * self.shape[1] * self.shape[2]

        _share_slices(work, len(slices))
        points = np.concatenate([np.zeros(0, np.int64), *found])
        numbers = self._numbers.ravel()[points]
        ends = np.cumsum(np.bincount(numbers, minlength=count + 1))
        ordered = points[np.argsort(numbers, kind="stable")]
        return np.split(ordered, ends[:-1])[1:]

    def measure_distances(self, other: LabelSurfaces, number: int) -> SurfaceDistances:
        """Measure the distances between the surfaces of structure `number` here and in `other`.

        Of a surface with more than `max_surface_voxels`, that number, evenly spread, is measured, and of the other
        surface the same share. The percentile of these is exact. In the mean, distances beyond the neighborhood that
        is looked up count as the mean of up to `max_far_voxels` of them, evenly spread.
        """
        points = [surfaces._points[number] for surfaces in (self, other)]
        largest, smallest = max(map(len, points)), min(map(len, points))
        if smallest == 0:
            return UNDEFINED_DISTANCES
        step = max(1.0, largest / METRICS.max_surface_voxels)
        measured = [p[np.arange(0, len(p), step).astype(int)] for p in points]
        directions = ((other, measured[0]), (self, measured[1]))
        distances = [surfaces._look_up_distances(start, number) for surfaces, start in directions]
        pooled = np.concatenate(distances)
        known = pooled[np.isfinite(pooled)]
        searches = [
            surfaces._prepare_search(start[~np.isfinite(own)], number)
            for (surfaces, start), own in zip(directions, distances, strict=True)
            if not np.isfinite(own).all()
        ]
        is_enough = len(known) >= np.ceil(_QUANTILE * (len(pooled) - 1)) + 1
        percentile = np.percentile(pooled, 100 * _QUANTILE) if is_enough else _search_percentile(known, searches)
        return SurfaceDistances(_estimate_mean(known, searches), float(percentile))

    def _look_up_distances(self, start: NDArray[np.int64], number: int) -> NDArray[np.float64]:
        """Look up the distances of points (flat indices) to a surface, mm; infinite beyond the neighborhood."""
        flat = self._numbers.ravel()
        steps = self.neighborhood.offsets @ (self.shape[1] * self.shape[2], self.shape[2], 1)
        distances, waiting = np.full(len(start), np.inf), np.arange(len(start))
        first = 0
        for group, last in enumerate((*METRICS.neighborhood_groups, METRICS.neighborhood_voxels)):
            hits = flat.take(start[waiting, None] + steps[first:last]) == number + 1
            is_found = hits.any(axis=1)
            distances[waiting[is_found]] = self.neighborhood.distances_mm[first + hits[is_found].argmax(axis=1)]
            waiting, first = waiting[~is_found], last
            if not len(waiting) or (group > 0 and len(waiting) > (1 - METRICS.min_found_fraction) * len(start)):
                break
        return distances

    def _prepare_search(self, start: NDArray[np.int64], number: int) -> _Search:
        """Prepare the search of the distances of points (flat indices) to a surface."""
        blocks = [index // METRICS.block_voxels for index in np.unravel_index(start, self.shape)]
        _, first, block_of = np.unique(np.ravel_multi_index(blocks, self.shape), return_index=True, return_inverse=True)
        surface_mm = self._compute_positions_mm(self._points[number])
        tree = cKDTree(surface_mm, METRICS.tree_leaf_points, compact_nodes=False, balanced_tree=False)
        return _Search(tree, self._compute_positions_mm(start), first, block_of)

    def _compute_positions_mm(self, points: NDArray[np.int64]) -> NDArray[np.float64]:
        """Compute the positions (n, 3) of voxels, mm, up to a constant."""
        return np.asarray(np.stack(np.unravel_index(points, self.shape)[::-1], axis=-1) @ self.matrix.T)


@dataclass(frozen=True, eq=False)
class _Search:
    """Points (n, 3) mm whose distances to the surface in a tree are searched.

    first: one point of each block of neighboring points. block_of: the block of each point.
    """

    tree: cKDTree
    points_mm: NDArray[np.float64]
    first: NDArray[np.int64]
    block_of: NDArray[np.int64]

    def bound_distances(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Bound the distances from below and above: those of two points differ at most by the way between them."""
        found = self.tree.query(self.points_mm[self.first])[0][self.block_of]
        way = np.linalg.norm(self.points_mm - self.points_mm[self.first][self.block_of], axis=1) + _ROUNDING_MM
        return np.maximum(found - way, 0), found + way


def _search_percentile(known: NDArray[np.float64], searches: Sequence[_Search]) -> float:
    """Compute the percentile of known distances and those of searches; searches only those that can change it."""
    bounds = [search.bound_distances() for search in searches]
    lower, upper = (np.concatenate([known, *parts]) for parts in zip(*bounds, strict=True))
    rank = _QUANTILE * (len(lower) - 1)
    least = np.partition(lower, int(np.floor(rank)))[int(np.floor(rank))]
    greatest = np.partition(upper, int(np.ceil(rank)))[int(np.ceil(rank))]
    distances = [known]
    for search, (low, high) in zip(searches, bounds, strict=True):
        # Below or above both values that the percentile lies between, only the side of a distance counts.
        own = np.where(high < least, high, low)
        is_needed = (high >= least) & (low <= greatest)
        own[is_needed] = search.tree.query(search.points_mm[is_needed])[0]
        distances.append(own)
    return float(np.percentile(np.concatenate(distances), 100 * _QUANTILE))


def _estimate_mean(known: NDArray[np.float64], searches: Sequence[_Search]) -> float:
    """Estimate the mean of known distances and those of searches, of which up to `max_far_voxels` are searched."""
    total, count = float(known.sum()), len(known)
    for search in searches:
        chosen = search.points_mm[:: -(-len(search.points_mm) // METRICS.max_far_voxels)]
        total += len(search.points_mm) * float(search.tree.query(chosen)[0].mean())
        count += len(search.points_mm)
    return total / count


def measure_surface_distances(
    first: NDArray[np.bool_], second: NDArray[np.bool_], geometry: Geometry
) -> SurfaceDistances:
    """Measure the distances between the surfaces of two masks (k, j, i) on one grid."""
    box = (slice(None),) * 3
    surfaces = [LabelSurfaces(mask, box, LabelLookup([1]), geometry) for mask in (first, second)]
    return surfaces[0].measure_distances(surfaces[1], 0)


def _keep_surface(slices: NDArray, inner: BoxSlices) -> NDArray:
    """Return the middle one of three slices, with 0 where all six neighbors have the same number."""
    rows, columns = inner[1], inner[2]
    middle = slices[1][rows, columns]
    same = (middle == slices[0][rows, columns]) & (middle == slices[2][rows, columns])
    for shift in (-1, 1):
        same &= middle == slices[1][rows.start + shift : rows.stop + shift, columns]
        same &= middle == slices[1][rows, columns.start + shift : columns.stop + shift]
    return np.where(same, 0, middle)


def _share_slices(work: Callable[[range], None], count: int) -> None:
    parts = split_range(count, max(1, min(torch.get_num_threads(), count)))
    run_in_threads(lambda number: work(parts[number]), len(parts))
