"""Distances between the surfaces of structures in two segmentations."""

from __future__ import annotations

from collections.abc import Callable
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

_SHARE = 0.95
_MEASURED = 20_000
"""Surface voxels of a structure at most; the rank of the percentile is then certain to 0.2 %."""
_NEIGHBORS = 500
"""So many voxels around each one are looked at before all others are searched: about 5 voxels far."""
_GROUPS = (1, 18, 80, 200, 350, _NEIGHBORS)
"""The neighbors are looked at in groups that end here, the nearest first."""
_HOPELESS = 0.3
"""Where fewer surface voxels than this have met the other surface after two groups, the rest is searched at once."""


@dataclass(frozen=True, eq=False)
class _Neighborhood:
    """The nearest neighbors of a voxel: offsets (n, 3) along k, j, i, their distances in mm, and how far they reach."""

    offsets: NDArray[np.int64]
    distances_mm: NDArray[np.float64]
    reach: tuple[int, int, int]


@lru_cache(maxsize=8)
def _neighborhood(axes: bytes) -> _Neighborhood:
    matrix = np.frombuffer(axes).reshape(3, 3)
    radius = np.cbrt(_NEIGHBORS * abs(np.linalg.det(matrix)) * 3 / (4 * np.pi))
    reach = np.ceil(radius * np.linalg.norm(np.linalg.inv(matrix), axis=1)).astype(int)[::-1]
    offsets = np.indices(2 * reach + 1).reshape(3, -1).T - reach
    distances = np.linalg.norm(offsets[:, ::-1] @ matrix.T, axis=1)
    order = np.argsort(distances, kind="stable")
    order = order[distances[order] <= radius]
    return _Neighborhood(offsets[order], distances[order], (int(reach[0]), int(reach[1]), int(reach[2])))


class Surfaces:
    """The surfaces of all structures of one label layer: the voxels that share a face with something else.

    Surfaces that are to be compared need the same geometry and the same box.
    """

    def __init__(self, layer: NDArray, box: BoxSlices, find: LabelLookup, geometry: Geometry) -> None:
        self.matrix = geometry.affine[:3, :3]
        self.near = _neighborhood(np.ascontiguousarray(self.matrix).tobytes())
        cropped, margin = layer[box], np.maximum(self.near.reach, 1)
        self.shape = tuple(int(n) for n in np.add(cropped.shape, 2 * margin))
        inner = tuple(slice(m, m + n) for m, n in zip(margin, cropped.shape, strict=True))
        self._numbers = np.zeros(self.shape, find.kind)
        self._points = self._shells(self._filled(inner, cropped, find), inner, find.count)

    def _filled(self, inner: BoxSlices, cropped: NDArray, find: LabelLookup) -> NDArray:
        """The structures' numbers, whole, with a margin of 0."""
        whole = np.zeros_like(self._numbers)

        def fill(part: range) -> None:
            for k in part:
                whole[inner][k] = find(cropped[k])

        _share_out(fill, len(cropped))
        return whole

    def _shells(self, whole: NDArray, inner: BoxSlices, count: int) -> list[NDArray[np.int64]]:
        """Fill in the numbers on the surfaces; returns the flat indices of the surface voxels of each structure."""
        slices = range(inner[0].start, inner[0].stop)
        found: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(slices)

        def work(part: range) -> None:
            for index in part:
                k = slices[index]
                self._numbers[k][inner[1:]] = _shell(whole[k - 1 : k + 2], inner)
                found[index] = np.flatnonzero(self._numbers[k]) + k * self.shape[1] * self.shape[2]

        _share_out(work, len(slices))
        points = np.concatenate([np.zeros(0, np.int64), *found])
        numbers = self._numbers.ravel()[points]
        ends = np.cumsum(np.bincount(numbers, minlength=count + 1))
        ordered = points[np.argsort(numbers, kind="stable")]
        return np.split(ordered, ends[:-1])[1:]

    def hausdorff_95(self, other: Surfaces, number: int) -> float:
        """95th percentile of the distances between the surface voxels of structure `number` here and there, mm.

        Both directions pooled; NaN if one is empty. Of a surface of more than 20,000 voxels so many, evenly spread, are
        measured, each exactly, and of the other one the same share.
        """
        points = [surfaces._points[number] for surfaces in (self, other)]
        largest, smallest = max(map(len, points)), min(map(len, points))
        if smallest == 0:
            return float("nan")
        step = max(1.0, largest / _MEASURED)
        measured = [p[np.arange(0, len(p), step).astype(int)] for p in points]
        distances = [other._near(measured[0], number), self._near(measured[1], number)]
        total = sum(map(len, distances))
        known = sum(int(np.count_nonzero(np.isfinite(d))) for d in distances)
        if known < np.ceil(_SHARE * (total - 1)) + 1:
            other._search(measured[0], distances[0], number)
            self._search(measured[1], distances[1], number)
        return float(np.percentile(np.concatenate(distances), 100 * _SHARE))

    def _near(self, start: NDArray[np.int64], number: int) -> NDArray[np.float64]:
        """How far points (flat indices) are from a surface, mm; infinite where that is beyond the neighborhood."""
        flat = self._numbers.ravel()
        steps = self.near.offsets @ (self.shape[1] * self.shape[2], self.shape[2], 1)
        distances, waiting = np.full(len(start), np.inf), np.arange(len(start))
        first = 0
        for group, last in enumerate(_GROUPS):
            hits = flat.take(start[waiting, None] + steps[first:last]) == number + 1
            met = hits.any(axis=1)
            distances[waiting[met]] = self.near.distances_mm[first + hits[met].argmax(axis=1)]
            waiting, first = waiting[~met], last
            if not len(waiting) or (group > 0 and len(waiting) > (1 - _HOPELESS) * len(start)):
                break
        return distances

    def _search(self, start: NDArray[np.int64], distances: NDArray[np.float64], number: int) -> None:
        """Fill in the distances that are infinite."""
        far = ~np.isfinite(distances)
        if far.any():
            tree = cKDTree(self._places(self._points[number]), balanced_tree=False, compact_nodes=False)
            distances[far] = tree.query(self._places(start[far]))[0]

    def _places(self, points: NDArray[np.int64]) -> NDArray[np.float64]:
        """Positions (n, 3) of voxels, mm."""
        return np.asarray(np.stack(np.unravel_index(points, self.shape)[::-1], axis=-1) @ self.matrix.T)


def hausdorff_95(first: NDArray[np.bool_], second: NDArray[np.bool_], geometry: Geometry) -> float:
    """The same for two masks (k, j, i) on one grid."""
    box = (slice(None),) * 3
    surfaces = [Surfaces(mask, box, LabelLookup([1]), geometry) for mask in (first, second)]
    return surfaces[0].hausdorff_95(surfaces[1], 0)


def _shell(three: NDArray, inner: BoxSlices) -> NDArray:
    """The middle one of three slices without what has the same number on all six sides."""
    rows, columns = inner[1], inner[2]
    middle = three[1][rows, columns]
    same = (middle == three[0][rows, columns]) & (middle == three[2][rows, columns])
    for shift in (-1, 1):
        same &= middle == three[1][rows.start + shift : rows.stop + shift, columns]
        same &= middle == three[1][rows, columns.start + shift : columns.stop + shift]
    return np.where(same, 0, middle)


def _share_out(work: Callable[[range], None], count: int) -> None:
    parts = split_range(count, max(1, min(torch.get_num_threads(), count)))
    run_in_threads(lambda number: work(parts[number]), len(parts))
