"""Where the voxels of a grid lie in a moving volume under a displacement field, a few rows at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..geometry.geometry import FloatArray, Geometry
from ..geometry.transforms import DisplacementField
from ..threads import split_range
from .trilinear import CHUNK_VOXELS, corner_views, find_cells, interpolate

Stretch = tuple[int, slice, Tensor]
"""Slice k, rows j, and the coordinates (3, n) along i, j, k in the moving grid of the n voxels in these rows."""

_PARALLEL = 1e-4
"""Voxels of the field that its axes may run away from the grid's over the whole volume, to count as parallel."""


def iterate_moving_rows(
    geometry: Geometry, moving: Geometry, field: DisplacementField | None, slices: range
) -> Iterator[Stretch]:
    """Coordinates in the moving grid, in voxels, of the voxels of some slices of `geometry`.

    field: fixed -> moving, None for the identity; outside its grid the displacement at its border holds.
    """
    to_moving = _Affine(moving.inverse_affine @ geometry.affine, geometry.shape)
    if field is None:
        yield from _undisplaced(to_moving, slices)
        return
    to_field = field.geometry.inverse_affine @ geometry.affine
    nodes = torch.from_numpy(np.moveaxis(field.array @ moving.inverse_affine[:3, :3].T, -1, 0).astype(np.float32))
    order = _parallel_axes(to_field, geometry)
    if order is None:
        yield from _anywhere(to_moving, _Affine(to_field, geometry.shape), nodes.contiguous(), slices)
    else:
        yield from _parallel(
            to_moving, to_field[order], nodes.permute(0, *(3 - order[2 - a] for a in range(3))), slices
        )


class _Affine:
    """An affine map of a grid's voxels (i, j, k), in parts that belong to one axis each."""

    def __init__(self, matrix: FloatArray, shape: tuple[int, ...]) -> None:
        self.shape = shape
        parts = [torch.from_numpy((matrix[:3, a, None] * np.arange(shape[2 - a])).astype(np.float32)) for a in range(3)]
        self.along_i, self.along_j = parts[0][:, None, :], parts[1][:, :, None]
        self.at_k = torch.from_numpy((matrix[:3, 2, None] * np.arange(shape[0]) + matrix[:3, 3:]).astype(np.float32))

    def rows(self, k: int, rows: slice) -> Tensor:
        """What the voxels of rows in slice k are mapped to: (3, rows, columns)."""
        return self.along_i + (self.along_j[:, rows] + self.at_k[:, k, None, None])


def _undisplaced(to_moving: _Affine, slices: range) -> Iterator[Stretch]:
    for k in slices:
        for rows in _row_groups(to_moving.shape):
            yield k, rows, to_moving.rows(k, rows).flatten(1)


def _anywhere(to_moving: _Affine, to_field: _Affine, nodes: Tensor, slices: range) -> Iterator[Stretch]:
    """For a field whose axes are oblique to the grid's."""
    shape = nodes.shape[1:]
    views = [corner_views(component.flatten(), shape) for component in nodes]
    for k in slices:
        for rows in _row_groups(to_moving.shape):
            coordinates = to_moving.rows(k, rows).flatten(1)
            cells = find_cells(list(to_field.rows(k, rows).flatten(1)), shape)
            for component, source in zip(coordinates, views, strict=True):
                component += interpolate(source, cells)
            yield k, rows, coordinates


def _parallel(to_moving: _Affine, to_field: FloatArray, nodes: Tensor, slices: range) -> Iterator[Stretch]:
    """For a field whose axes are those of the grid: interpolated along one axis after the other.

    nodes: (3, k, j, i) in the order of the grid's axes. Whole columns and rows are interpolated at once.
    """
    along = [_Line.of(to_field[a, a], to_field[a, 3], to_moving.shape[2 - a], nodes.shape[3 - a]) for a in range(3)]
    flat_rows = along[0].first + nodes.shape[3] * torch.arange(3 * nodes.shape[2])[:, None]
    widened: dict[int, Tensor] = {}

    def widen(number: int) -> Tensor:
        """The nodes of one slice of the field, interpolated along i: (3, j, columns)."""
        if number not in widened:
            for old in [n for n in widened if n < number - 1]:
                del widened[old]
            plane, index = nodes[:, number].flatten(), flat_rows.flatten()
            near, far = (torch.index_select(plane[step:], 0, index).view(flat_rows.shape) for step in along[0].corners)
            widened[number] = (near + (far - near) * along[0].place).view(3, nodes.shape[2], -1)
        return widened[number]

    for k in slices:
        first, place = int(along[2].first[k]), float(along[2].place[k])
        near, far = (widen(first + step) for step in along[2].corners)
        plane = torch.lerp(near, far, place) + (to_moving.along_i + to_moving.at_k[:, k, None, None])
        slopes = plane[:, along[1].corners[1] :] - plane[:, : plane.shape[1] - along[1].corners[1]]
        for rows in _row_groups(to_moving.shape):
            change = torch.index_select(slopes, 1, along[1].first[rows]).mul_(along[1].place[rows, None])
            change += torch.index_select(plane, 1, along[1].first[rows])
            change += to_moving.along_j[:, rows]
            yield k, rows, change.flatten(1)


@dataclass(frozen=True)
class _Line:
    """Where the voxels of one axis lie on the field's axis: number of the node before, place between it and the next.

    corners: how far the two nodes are, (0, 1); (0, 0) on an axis of one node.
    """

    first: Tensor
    place: Tensor
    corners: tuple[int, int]

    @classmethod
    def of(cls, scale: float, start: float, voxels: int, nodes: int) -> _Line:
        positions = np.clip(start + scale * np.arange(voxels), 0, nodes - 1)
        first = np.minimum(np.floor(positions), max(nodes - 2, 0))
        place = torch.from_numpy((positions - first).astype(np.float32))
        return cls(torch.from_numpy(first.astype(np.int64)), place, (0, int(nodes > 1)))


def _row_groups(shape: tuple[int, ...]) -> list[slice]:
    _, rows, columns = shape
    return [
        slice(part.start, part.stop) for part in split_range(rows, min(rows, math.ceil(rows * columns / CHUNK_VOXELS)))
    ]


def _parallel_axes(to_field: FloatArray, geometry: Geometry) -> list[int] | None:
    """Which axis of the field runs along i, j and k of the grid; None if one runs across them."""
    reach = np.abs(to_field[:3, :3]) * (geometry.size_ijk - 1)
    order = [int(np.argmax(reach[:, axis])) for axis in range(3)]
    across = reach.copy()
    across[order, range(3)] = 0
    return order if sorted(order) == [0, 1, 2] and across.sum(axis=1).max() < _PARALLEL else None
