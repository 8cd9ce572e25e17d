"""Structures that lie near each other, and the cells of a displacement field that reach them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from ..errors import InputError
from ..geometry.geometry import FloatArray, Geometry, apply_affine
from ..geometry.transforms import DisplacementField
from ..geometry.volume import Segment, Segmentation
from ..network.grid import compute_affine_coordinates
from .node_box import NodeBox
from .settings import VOLUME_PRESERVATION


def group_structures(structures: Segmentation) -> list[Segmentation]:
    """Group the structures, or pieces of them, that lie near each other; each group has one layer for each segment.

    The layers of a group hold 1 in the structure; its segments have their names and the index of their layer. Raises
    InputError for a segment without voxels.
    """
    box, masks = _crop_masks(structures)
    cropped = box.crop_geometry(structures.geometry)
    factors = np.maximum(1, np.rint(VOLUME_PRESERVATION.block_mm / cropped.spacing_mm[::-1])).astype(int)
    blocks = np.logical_or.reduce([_reduce_to_blocks(mask, factors) for mask in masks])
    labels, count = _label_connected(blocks, factors * cropped.spacing_mm[::-1])
    labels = np.where(blocks, labels, 0)
    groups = []
    for label, where in enumerate(ndimage.find_objects(labels, count), start=1):
        voxels = NodeBox(
            tuple(int(s.start * f) for s, f in zip(where, factors, strict=True)),
            tuple(min(int(s.stop * f), n) for s, f, n in zip(where, factors, cropped.shape, strict=True)),
        )
        indices = np.ix_(*(np.arange(s.start, s.stop) // f for s, f in zip(voxels.slices, factors, strict=True)))
        in_group = labels[indices] == label
        layers = [(s.name, mask[voxels.slices] & in_group) for s, mask in zip(structures.segments, masks, strict=True)]
        layers = [(name, layer) for name, layer in layers if layer.any()]
        segments = tuple(Segment(name, 1, index) for index, (name, _) in enumerate(layers))
        arrays = tuple(layer.astype(np.uint8) for _, layer in layers)
        groups.append(Segmentation(arrays, voxels.crop_geometry(cropped).affine, segments, structures.name))
    return groups


def _crop_masks(structures: Segmentation) -> tuple[NodeBox, list[NDArray[np.bool_]]]:
    """Return the smallest box of the moving grid that holds all structures, and their masks in it."""
    masks = [structures.mask(segment) for segment in structures.segments]
    firsts, stops = [], []
    for segment, mask in zip(structures.segments, masks, strict=True):
        ranges = [np.flatnonzero(mask.any(axes)) for axes in ((1, 2), (0, 2), (0, 1))]
        if ranges[0].size == 0:
            raise InputError(f"{structures.name}: segment '{segment.name}' is empty; its volume cannot be preserved.")
        firsts.append([int(r[0]) for r in ranges])
        stops.append([int(r[-1]) + 1 for r in ranges])
    box = NodeBox(tuple(map(int, np.min(firsts, axis=0))), tuple(map(int, np.max(stops, axis=0))))
    return box, [mask[box.slices] for mask in masks]


def _reduce_to_blocks(mask: NDArray[np.bool_], factors: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Find the blocks of voxels that hold at least one voxel of the mask."""
    for axis, factor in enumerate(factors):
        mask = np.logical_or.reduceat(mask, np.arange(0, mask.shape[axis], factor), axis=axis)
    return mask


def _label_connected(blocks: NDArray[np.bool_], spacing_mm: FloatArray) -> tuple[NDArray[np.int_], int]:
    """Label the blocks that are connected over gaps; wider gaps are bridged if there are too many groups."""
    distance = ndimage.distance_transform_edt(~blocks, sampling=spacing_mm)
    gap = VOLUME_PRESERVATION.max_gap_mm
    while True:
        labels, count = ndimage.label(distance <= gap / 2, structure=np.ones((3, 3, 3)))
        if count <= VOLUME_PRESERVATION.max_groups:
            return labels, count
        gap *= VOLUME_PRESERVATION.gap_growth


def split_structures(group: Segmentation) -> list[Segmentation]:
    """Return each structure of a group in a segmentation of its own, cropped to it."""
    found = []
    for segment, layer in zip(group.segments, group.layers, strict=True):
        ranges = [np.flatnonzero(layer.any(axes)) for axes in ((1, 2), (0, 2), (0, 1))]
        box = NodeBox(tuple(int(r[0]) for r in ranges), tuple(int(r[-1]) + 1 for r in ranges))
        segments = (Segment(segment.name, 1),)
        affine = box.crop_geometry(group.geometry).affine
        found.append(Segmentation((layer[box.slices],), affine, segments, group.name))
    return found


@dataclass(frozen=True)
class CellRanges:
    """The range of moving voxel coordinates (3, k - 1, j - 1, i - 1), components i, j, k, of each cell of a field."""

    low: Tensor
    high: Tensor
    moving: Geometry

    @classmethod
    def from_field(cls, field: DisplacementField, moving: Geometry) -> CellRanges:
        """Compute the ranges of all cells; a trilinear cell lies within the range of its corners."""
        to_moving = torch.from_numpy(moving.inverse_affine[:3, :3].astype(np.float32))
        displacements = torch.einsum("ab,dhwb->adhw", to_moving, torch.from_numpy(np.array(field.array)))
        positions = compute_affine_coordinates(field.geometry, moving, np.eye(4)) + displacements
        high = F.max_pool3d(positions, 2, stride=1)[0]
        return cls(-F.max_pool3d(-positions, 2, stride=1)[0], high, moving)

    def find_box(self, group: Segmentation) -> NodeBox | None:
        """Find the nodes of all cells that may reach into the group's grid; None if there are none."""
        first = apply_affine(self.moving.inverse_affine, group.affine[:3, 3]).astype(np.float32) - 0.5
        start = torch.from_numpy(first.astype(np.float32)).view(3, 1, 1, 1)
        stop = start + torch.tensor(group.layers[0].shape[::-1], dtype=torch.float32).view(3, 1, 1, 1)
        reaches = ((self.low <= stop) & (self.high >= start)).all(0)
        ranges = [np.flatnonzero(reaches.any(a).any(b).numpy()) for a, b in ((2, 1), (2, 0), (1, 0))]
        if ranges[0].size == 0:
            return None
        return NodeBox(tuple(int(r[0]) for r in ranges), tuple(int(r[-1]) + 2 for r in ranges))
