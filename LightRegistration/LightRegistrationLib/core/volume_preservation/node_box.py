"""Blocks of nodes of a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry.geometry import FloatArray, Geometry, apply_affine, homogeneous
from ..geometry.transforms import DisplacementField


@dataclass(frozen=True)
class NodeBox:
    """A block of the nodes (or voxels) of a grid: first and stop index along k, j, i."""

    first: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def slices(self) -> tuple[slice, ...]:
        """The block as an index into an array (k, j, i, ...)."""
        return tuple(slice(a, b) for a, b in zip(self.first, self.stop, strict=True))

    def grow(self, nodes: FloatArray, shape: tuple[int, ...]) -> NodeBox:
        """Add nodes (k, j, i) on each side, up to the edges of a grid of this shape."""
        more = np.ceil(nodes).astype(int)
        first = np.maximum(np.array(self.first) - more, 0)
        stop = np.minimum(np.array(self.stop) + more, shape)
        return NodeBox(tuple(map(int, first)), tuple(map(int, stop)))

    def refine(self, factors: tuple[int, ...]) -> NodeBox:
        """Return the same block of the grid refined by `factors` (k, j, i)."""
        first = tuple(a * f for a, f in zip(self.first, factors, strict=True))
        return NodeBox(first, tuple((b - 1) * f + 1 for b, f in zip(self.stop, factors, strict=True)))

    def crop_geometry(self, geometry: Geometry) -> Geometry:
        """Return the geometry of the block of a grid."""
        shape = tuple(b - a for a, b in zip(self.first, self.stop, strict=True))
        return Geometry(shape, geometry.affine @ homogeneous(np.eye(3), self.first[::-1]))

    def crop_field(self, field: DisplacementField) -> DisplacementField:
        """Return the block of a field."""
        return DisplacementField(field.array[self.slices], self.crop_geometry(field.geometry).affine)

    def shift_into(self, other: NodeBox) -> NodeBox:
        """Return the same block, counted from the first node of another block."""
        first, stop = (tuple(a - b for a, b in zip(ends, other.first, strict=True)) for ends in (self.first, self.stop))
        return NodeBox(first, stop)


def find_spanned_voxels(nodes: Geometry, view: Geometry) -> NodeBox | None:
    """Find the voxels of the fixed volume `view` that a block of the field's nodes spans; None if it lies outside."""
    corners = apply_affine(view.inverse_affine, nodes.corners_mm)
    first = np.maximum(np.floor(corners.min(0) + 0.5), 0).astype(int)[::-1]
    stop = np.minimum(np.ceil(corners.max(0) + 0.5), view.size_ijk).astype(int)[::-1]
    if (first >= stop).any():
        return None
    return NodeBox(tuple(map(int, first)), tuple(map(int, stop)))
