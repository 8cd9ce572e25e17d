"""Where in a displacement field's grid the structures lie whose volume is kept, and how finely they are looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from ..errors import InputError
from ..geometry.geometry import FloatArray, Geometry, apply_affine, homogeneous
from ..geometry.transforms import DisplacementField
from ..geometry.volume import Segment, Segmentation
from ..network.grid import compute_affine_coordinates

GAP_MM = 30.0
"""Structures nearer to each other than this are treated together."""
MAX_GROUPS = 12
MAX_NODES = 8_000_000
NODES_ACROSS = 3.0
_BLOCK_MM = 5.0


@dataclass(frozen=True)
class Box:
    """A block of the nodes of a grid: first and stop index along k, j, i."""

    first: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def slices(self) -> tuple[slice, ...]:
        """The block as an index into an array (k, j, i, ...)."""
        return tuple(slice(a, b) for a, b in zip(self.first, self.stop, strict=True))

    def grown(self, nodes: FloatArray, shape: tuple[int, ...]) -> Box:
        """The block with so many more nodes (k, j, i) on each side, as far as the grid of this shape goes."""
        more = np.ceil(nodes).astype(int)
        first = np.maximum(np.array(self.first) - more, 0)
        stop = np.minimum(np.array(self.stop) + more, shape)
        return Box(tuple(map(int, first)), tuple(map(int, stop)))

    def refined(self, factors: tuple[int, ...]) -> Box:
        """The same block of a grid refined by `factors` (k, j, i)."""
        first = tuple(a * f for a, f in zip(self.first, factors, strict=True))
        return Box(first, tuple((b - 1) * f + 1 for b, f in zip(self.stop, factors, strict=True)))

    def part(self, geometry: Geometry) -> Geometry:
        """The geometry of the block of a grid."""
        shape = tuple(b - a for a, b in zip(self.first, self.stop, strict=True))
        return Geometry(shape, geometry.affine @ homogeneous(np.eye(3), self.first[::-1]))

    def cut(self, field: DisplacementField) -> DisplacementField:
        """The block of a field."""
        return DisplacementField(field.array[self.slices], self.part(field.geometry).affine)

    def within(self, other: Box) -> Box:
        """The same block, counted from the first node of another one."""
        first, stop = (tuple(a - b for a, b in zip(ends, other.first, strict=True)) for ends in (self.first, self.stop))
        return Box(first, stop)


def groups(keep: Segmentation) -> list[Segmentation]:
    """The structures, or pieces of them, that lie near each other, each group cut out with one layer for each segment.

    Layers of a group hold 1 in the structure; its segments have their names and the index of their layer. Raises
    InputError for a segment without voxels.
    """
    box, masks = _cut_out(keep)
    origin = box.part(keep.geometry)
    factors = np.maximum(1, np.rint(_BLOCK_MM / origin.spacing_mm[::-1])).astype(int)
    blocks = np.logical_or.reduce([_blocks(mask, factors) for mask in masks])
    labels, count = _linked(blocks, factors * origin.spacing_mm[::-1])
    wanted = np.where(blocks, labels, 0)
    found = []
    for label, where in enumerate(ndimage.find_objects(wanted, count), start=1):
        fine = Box(
            tuple(int(s.start * f) for s, f in zip(where, factors, strict=True)),
            tuple(min(int(s.stop * f), n) for s, f, n in zip(where, factors, origin.shape, strict=True)),
        )
        indices = np.ix_(*(np.arange(s.start, s.stop) // f for s, f in zip(fine.slices, factors, strict=True)))
        own = wanted[indices] == label
        layers = [(segment.name, mask[fine.slices] & own) for segment, mask in zip(keep.segments, masks, strict=True)]
        layers = [(name, layer) for name, layer in layers if layer.any()]
        segments = tuple(Segment(name, 1, index) for index, (name, _) in enumerate(layers))
        arrays = tuple(layer.astype(np.uint8) for _, layer in layers)
        found.append(Segmentation(arrays, fine.part(origin).affine, segments, keep.name))
    return found


def _cut_out(keep: Segmentation) -> tuple[Box, list[NDArray[np.bool_]]]:
    """The least box of the moving grid that holds all structures, and their masks in it."""
    masks = [keep.mask(segment) for segment in keep.segments]
    firsts, stops = [], []
    for segment, mask in zip(keep.segments, masks, strict=True):
        ranges = [np.flatnonzero(mask.any(axes)) for axes in ((1, 2), (0, 2), (0, 1))]
        if ranges[0].size == 0:
            raise InputError(f"{keep.name}: segment '{segment.name}' is empty; its volume cannot be kept.")
        firsts.append([int(r[0]) for r in ranges])
        stops.append([int(r[-1]) + 1 for r in ranges])
    box = Box(tuple(map(int, np.min(firsts, axis=0))), tuple(map(int, np.max(stops, axis=0))))
    return box, [mask[box.slices] for mask in masks]


def _blocks(mask: NDArray[np.bool_], factors: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Which blocks of voxels hold at least one of the mask."""
    for axis, factor in enumerate(factors):
        mask = np.logical_or.reduceat(mask, np.arange(0, mask.shape[axis], factor), axis=axis)
    return mask


def _linked(blocks: NDArray[np.bool_], spacing_mm: FloatArray) -> tuple[NDArray[np.int_], int]:
    """Label what is connected over gaps of `GAP_MM`, or wider ones where that leaves too many groups."""
    distance = ndimage.distance_transform_edt(~blocks, sampling=spacing_mm)
    gap = GAP_MM
    while True:
        labels, count = ndimage.label(distance <= gap / 2, structure=np.ones((3, 3, 3)))
        if count <= MAX_GROUPS:
            return labels, count
        gap *= 1.5


def pieces(group: Segmentation) -> list[Segmentation]:
    """The structures of a group one by one, each cut out alone."""
    found = []
    for segment, layer in zip(group.segments, group.layers, strict=True):
        ranges = [np.flatnonzero(layer.any(axes)) for axes in ((1, 2), (0, 2), (0, 1))]
        box = Box(tuple(int(r[0]) for r in ranges), tuple(int(r[-1]) + 1 for r in ranges))
        alone = (Segment(segment.name, 1),)
        found.append(Segmentation((layer[box.slices],), box.part(group.geometry).affine, alone, group.name))
    return found


@dataclass(frozen=True)
class CellRanges:
    """Between which moving voxel coordinates (3, k - 1, j - 1, i - 1) each cell of a field lies, components i, j, k."""

    low: Tensor
    high: Tensor
    moving: Geometry

    @classmethod
    def of(cls, field: DisplacementField, moving: Geometry) -> CellRanges:
        """The ranges of all cells; a trilinear cell lies within those of its corners."""
        to_moving = torch.from_numpy(moving.inverse_affine[:3, :3].astype(np.float32))
        turned = torch.einsum("ab,dhwb->adhw", to_moving, torch.from_numpy(np.array(field.array)))
        positions = compute_affine_coordinates(field.geometry, moving, np.eye(4)) + turned
        high = F.max_pool3d(positions, 2, stride=1)[0]
        return cls(-F.max_pool3d(-positions, 2, stride=1)[0], high, moving)

    def box(self, group: Segmentation) -> Box | None:
        """The nodes of all cells that may reach into the group's grid, None if there are none."""
        first = apply_affine(self.moving.inverse_affine, group.affine[:3, 3]).astype(np.float32) - 0.5
        start = torch.from_numpy(first.astype(np.float32)).view(3, 1, 1, 1)
        stop = start + torch.tensor(group.layers[0].shape[::-1], dtype=torch.float32).view(3, 1, 1, 1)
        hit = ((self.low <= stop) & (self.high >= start)).all(0)
        ranges = [np.flatnonzero(hit.any(a).any(b).numpy()) for a, b in ((2, 1), (2, 0), (1, 0))]
        if ranges[0].size == 0:
            return None
        return Box(tuple(int(r[0]) for r in ranges), tuple(int(r[-1]) + 2 for r in ranges))


def refinement(grid: Geometry, diameter_mm: float, finest_mm: float) -> tuple[int, ...]:
    """By how much (k, j, i) to refine a grid so that `NODES_ACROSS` cells fit into the diameter.

    The cells are not made smaller than `finest_mm`, and the nodes not more than `MAX_NODES`.
    """
    spacing = grid.spacing_mm[::-1]
    limits = np.maximum(1, (spacing / finest_mm + 1e-3).astype(int))
    wanted = diameter_mm / NODES_ACROSS
    while True:
        factors = np.minimum(limits, np.ceil(spacing / wanted - 1e-3).astype(int)).clip(1)
        if factors.max() == 1 or np.prod((np.array(grid.shape) - 1.0) * factors + 1) <= MAX_NODES:
            return tuple(map(int, factors))
        wanted *= 1.1


def refined(field: DisplacementField, factors: tuple[int, ...]) -> DisplacementField:
    """The same trilinear field on a grid with nodes between the old ones."""
    if max(factors) == 1:
        return field
    shape = tuple((n - 1) * f + 1 for n, f in zip(field.array.shape[:3], factors, strict=True))
    nodes = torch.from_numpy(np.array(field.array)).movedim(-1, 0)[None]
    array = F.interpolate(nodes, size=shape, mode="trilinear", align_corners=True)[0].movedim(0, -1)
    scale = np.diag(1 / np.array(factors[::-1], dtype=np.float64))
    return DisplacementField(array.numpy(), field.affine @ homogeneous(scale, np.zeros(3)))


def crop_to_view(nodes: Geometry, view: Geometry) -> Box | None:
    """The voxels of the fixed volume that a block of the field's nodes spans, None if it lies outside."""
    corners = apply_affine(view.inverse_affine, nodes.corners_mm)
    first = np.maximum(np.floor(corners.min(0) + 0.5), 0).astype(int)[::-1]
    stop = np.minimum(np.ceil(corners.max(0) + 0.5), view.size_ijk).astype(int)[::-1]
    if (first >= stop).any():
        return None
    return Box(tuple(map(int, first)), tuple(map(int, stop)))


def resampled(geometry: Geometry, samples: int) -> Geometry:
    """A grid with the same outer edges and about so many voxels, as nearly cubic as that lets them be."""
    extent = geometry.size_ijk * geometry.spacing_mm
    edge = (np.prod(extent) / samples) ** (1 / 3)
    size = np.maximum(1, np.rint(extent / edge)).astype(int)
    scale = geometry.size_ijk / size
    shape = (int(size[2]), int(size[1]), int(size[0]))
    return Geometry(shape, geometry.affine @ homogeneous(np.diag(scale), (scale - 1) / 2))
