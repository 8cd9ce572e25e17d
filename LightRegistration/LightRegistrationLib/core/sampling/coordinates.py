"""Coordinates in the moving grid of the voxels of the fixed grid under a displacement field, a few rows at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..geometry.geometry import FloatArray, Geometry, apply_affine
from ..geometry.transforms import DisplacementField
from ..threads import split_range
from .settings import SAMPLING
from .trilinear import find_cells, interpolate, make_corner_views

RowBlock = tuple[int, slice, Tensor]
"""Slice k, rows j, and the coordinates (3, n) along i, j, k in the moving grid of the n voxels in these rows."""


PointMap = Callable[[FloatArray], FloatArray]
"""Maps fixed points (n, 3) RAS mm to moving points RAS mm."""


def iterate_moving_rows(
    geometry: Geometry, moving: Geometry, field: DisplacementField | PointMap | None, slices: range
) -> Iterator[RowBlock]:
    """Yield the coordinates in the moving grid, in voxels, of the voxels in some slices of `geometry`.

    field: fixed -> moving, None for the identity; outside its grid its transform `outside` is used, or, if it has none,
    the displacement at its border. A map of points of another kind is called with the voxels.
    """
    if field is not None and not isinstance(field, DisplacementField):
        yield from _iterate_map(geometry, moving, field, slices)
        return
    to_moving = _AffineMap(moving.inverse_affine @ geometry.affine, geometry.shape)
    if field is None:
        yield from _iterate_affine(to_moving, slices)
        return
    rows = _iterate_field(geometry, moving, field, to_moving, slices)
    if field.outside is None or _covers(field.geometry, geometry):
        yield from rows
        return
    beyond = _AffineMap(moving.inverse_affine @ field.outside.matrix @ geometry.affine, geometry.shape)
    yield from _replace_outside(rows, beyond, field.geometry, geometry)


def _iterate_field(
    geometry: Geometry, moving: Geometry, field: DisplacementField, to_moving: _AffineMap, slices: range
) -> Iterator[RowBlock]:
    """Yield coordinates under a field, by the displacement at its border outside its grid."""
    to_field = field.geometry.inverse_affine @ geometry.affine
    nodes = torch.from_numpy(np.moveaxis(field.array @ moving.inverse_affine[:3, :3].T, -1, 0).astype(np.float32))
    order = _find_parallel_axes(to_field, geometry)
    if order is None:
        yield from _iterate_oblique(to_moving, _AffineMap(to_field, geometry.shape), nodes.contiguous(), slices)
    else:
        yield from _iterate_parallel(
            to_moving, to_field[order], nodes.permute(0, *(3 - order[2 - a] for a in range(3))), slices
        )


class _AffineMap:
    """An affine map of a grid's voxels (i, j, k), as a sum of one part for each axis."""

    def __init__(self, matrix: FloatArray, shape: tuple[int, ...]) -> None:
        self.shape = shape
        parts = [torch.from_numpy((matrix[:3, a, None] * np.arange(shape[2 - a])).astype(np.float32)) for a in range(3)]
        self.along_i, self.along_j = parts[0][:, None, :], parts[1][:, :, None]
        self.at_k = torch.from_numpy((matrix[:3, 2, None] * np.arange(shape[0]) + matrix[:3, 3:]).astype(np.float32))

    def map_rows(self, k: int, rows: slice) -> Tensor:
        """Map the voxels of some rows in slice k: (3, rows, columns)."""
        return self.along_i + (self.along_j[:, rows] + self.at_k[:, k, None, None])


def _iterate_affine(to_moving: _AffineMap, slices: range) -> Iterator[RowBlock]:
    for k in slices:
        for rows in _split_rows(to_moving.shape):
            yield k, rows, to_moving.map_rows(k, rows).flatten(1)


def _iterate_map(geometry: Geometry, moving: Geometry, point_map: PointMap, slices: range) -> Iterator[RowBlock]:
    columns = np.arange(geometry.shape[2])
    for k in slices:
        for rows in _split_rows(geometry.shape):
            j, i = np.meshgrid(np.arange(rows.start, rows.stop), columns, indexing="ij")
            voxels = np.stack([i.ravel(), j.ravel(), np.full(i.size, k)], axis=-1)
            mapped = apply_affine(moving.inverse_affine, point_map(apply_affine(geometry.affine, voxels)))
            yield k, rows, torch.from_numpy(np.ascontiguousarray(mapped.T, dtype=np.float32))


def _covers(grid: Geometry, geometry: Geometry) -> bool:
    """Tell whether all voxels of `geometry` lie between the nodes of a grid."""
    indices = apply_affine(grid.inverse_affine, geometry.corners_mm)
    return bool((indices >= 0).all() and (indices <= grid.size_ijk - 1).all())


def _replace_outside(
    blocks: Iterator[RowBlock], beyond: _AffineMap, grid: Geometry, geometry: Geometry
) -> Iterator[RowBlock]:
    """Replace the coordinates of the voxels outside a field's grid by those of an affine map."""
    to_grid = _AffineMap(grid.inverse_affine @ geometry.affine, geometry.shape)
    last = torch.from_numpy(grid.size_ijk.astype(np.float32))[:, None] - 1
    for k, rows, coordinates in blocks:
        indices = to_grid.map_rows(k, rows).flatten(1)
        is_outside = ((indices < 0) | (indices > last)).any(0)
        yield k, rows, torch.where(is_outside, beyond.map_rows(k, rows).flatten(1), coordinates)


def _iterate_oblique(to_moving: _AffineMap, to_field: _AffineMap, nodes: Tensor, slices: range) -> Iterator[RowBlock]:
    """Yield coordinates for a field whose axes are oblique to the grid's."""
    shape = nodes.shape[1:]
    views = [make_corner_views(component.flatten(), shape) for component in nodes]
    for k in slices:
        for rows in _split_rows(to_moving.shape):
            coordinates = to_moving.map_rows(k, rows).flatten(1)
            cells = find_cells(list(to_field.map_rows(k, rows).flatten(1)), shape)
            for component, source in zip(coordinates, views, strict=True):
                component += interpolate(source, cells)
            yield k, rows, coordinates


def _iterate_parallel(to_moving: _AffineMap, to_field: FloatArray, nodes: Tensor, slices: range) -> Iterator[RowBlock]:
    """Yield coordinates for a field with the grid's axes, interpolated along one axis after the other.

    nodes: (3, k, j, i) in the order of the grid's axes. Whole columns and rows are interpolated at once.
    """
    along = [
        _AxisPositions.compute(to_field[a, a], to_field[a, 3], to_moving.shape[2 - a], nodes.shape[3 - a])
        for a in range(3)
    ]
    flat_rows = along[0].first + nodes.shape[3] * torch.arange(3 * nodes.shape[2])[:, None]
    slices_along_i: dict[int, Tensor] = {}

    def interpolate_slice(number: int) -> Tensor:
        """Interpolate the nodes of one slice of the field along i: (3, j, columns)."""
        if number not in slices_along_i:
            for old in [n for n in slices_along_i if n < number - 1]:
                del slices_along_i[old]
            plane, index = nodes[:, number].flatten(), flat_rows.flatten()
            near, far = (torch.index_select(plane[step:], 0, index).view(flat_rows.shape) for step in along[0].corners)
            slices_along_i[number] = (near + (far - near) * along[0].fraction).view(3, nodes.shape[2], -1)
        return slices_along_i[number]

    for k in slices:
        first, fraction = int(along[2].first[k]), float(along[2].fraction[k])
        near, far = (interpolate_slice(first + step) for step in along[2].corners)
        plane = torch.lerp(near, far, fraction) + (to_moving.along_i + to_moving.at_k[:, k, None, None])
        slopes = plane[:, along[1].corners[1] :] - plane[:, : plane.shape[1] - along[1].corners[1]]
        for rows in _split_rows(to_moving.shape):
            change = torch.index_select(slopes, 1, along[1].first[rows]).mul_(along[1].fraction[rows, None])
            change += torch.index_select(plane, 1, along[1].first[rows])
            change += to_moving.along_j[:, rows]
            yield k, rows, change.flatten(1)


@dataclass(frozen=True)
class _AxisPositions:
    """Positions of the voxels of one axis on the field's axis.

    first: index of the node before; fraction: position between it and the next node. corners: index steps to the two
    nodes, (0, 1); (0, 0) on an axis of one node.
    """

    first: Tensor
    fraction: Tensor
    corners: tuple[int, int]

    @classmethod
    def compute(cls, scale: float, start: float, voxels: int, nodes: int) -> _AxisPositions:
        """Compute the positions start + scale * n of the voxels n among the nodes."""
        positions = np.clip(start + scale * np.arange(voxels), 0, nodes - 1)
        first = np.minimum(np.floor(positions), max(nodes - 2, 0))
        fraction = torch.from_numpy((positions - first).astype(np.float32))
        return cls(torch.from_numpy(first.astype(np.int64)), fraction, (0, int(nodes > 1)))


def _split_rows(shape: tuple[int, ...]) -> list[slice]:
    _, rows, columns = shape
    count = min(rows, math.ceil(rows * columns / SAMPLING.chunk_voxels))
    return [slice(part.start, part.stop) for part in split_range(rows, count)]


def _find_parallel_axes(to_field: FloatArray, geometry: Geometry) -> list[int] | None:
    """Find the axes of the field that are parallel to i, j and k of the grid; None if one is oblique."""
    reach = np.abs(to_field[:3, :3]) * (geometry.size_ijk - 1)
    order = [int(np.argmax(reach[:, axis])) for axis in range(3)]
    across = reach.copy()
    across[order, range(3)] = 0
    is_parallel = across.sum(axis=1).max() < SAMPLING.max_axis_deviation_field_voxels
    return order if sorted(order) == [0, 1, 2] and is_parallel else None
