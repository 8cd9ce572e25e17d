"""Converts the label map of a subject to tissue fractions on the grid of the template."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...core.geometry.geometry import FloatArray, homogeneous
from ...core.network.light_network import STRIDE
from .anatomies import Anatomy
from .body import GENERATED_NAMES, UNKNOWN_CLASS, fill_body


@dataclass(frozen=True, eq=False)
class Subject:
    """A label map: labels (k, j, i), affine (i, j, k, 1) -> RAS mm, centers of its landmarks (n, 3) RAS mm."""

    path: Path
    labels: NDArray[np.int32]
    affine: FloatArray
    centers: FloatArray


@dataclass(frozen=True)
class TemplateGrid:
    """The grid of all subjects: its axes point to S, A and R of the template, its center is at shift_mm (k, j, i)."""

    shape: tuple[int, int, int]
    spacing_mm: float
    shift_mm: tuple[float, float, float]

    def affine(self, parts: int) -> FloatArray:
        """(i, j, k, 1) of the grid, each voxel split into `parts` along each axis, -> template RAS mm."""
        step = self.spacing_mm / parts
        size = np.array(self.shape[::-1]) * parts
        return homogeneous(step * np.eye(3), np.array(self.shift_mm[::-1]) - step * (size - 1) / 2)


def grid_shape(extent_mm: Sequence[float], spacing_mm: float) -> tuple[int, int, int]:
    """Voxels (D, H, W) of a field of view: the nearest multiples of STRIDE, the smaller one if there are two."""
    d, h, w = (max(STRIDE, int(np.ceil(n / spacing_mm / STRIDE - 0.5)) * STRIDE) for n in extent_mm)
    return d, h, w


def labeled_extent(subjects: Sequence[Subject], maps: Sequence[FloatArray], margin_mm: float = 20.0) -> list[float]:
    """Size (k, j, i) mm of a field of view around the template's origin that contains all labeled voxels."""
    largest = np.zeros(3)
    for subject, matrix in zip(subjects, maps, strict=True):
        voxels = np.argwhere(subject.labels)[:, ::-1]
        points = np.c_[voxels, np.ones(len(voxels))] @ (matrix @ subject.affine)[:3].T
        largest = np.maximum(largest, np.abs(points).max(0))
    return [float(n) for n in 2 * (largest + margin_mm)[::-1]]


def tissue_fractions(
    subject: Subject, to_template: FloatArray, anatomy: Anatomy, grid: TemplateGrid
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Fractions (0-255) of every class of the anatomy, (classes, D, H, W); first and one past the last known slice.

    to_template: 4x4 subject RAS mm -> template RAS mm.
    """
    finest = float(np.linalg.norm(subject.affine[:3, :3], axis=0).min())
    parts = max(1, round(grid.spacing_mm / finest))
    shape = tuple(n * parts for n in grid.shape)
    flip = np.eye(4)[[2, 1, 0, 3]]
    to_array = flip @ np.linalg.inv(to_template @ subject.affine) @ grid.affine(parts) @ flip
    classes = ndimage.affine_transform(
        _class_indices(subject.labels, anatomy),
        to_array[:3, :3],
        to_array[:3, 3],
        output_shape=shape,
        order=0,
        mode="constant",
        cval=UNKNOWN_CLASS,
    )
    known = (0, shape[0])
    if anatomy.body is not None:
        step = grid.spacing_mm / parts
        below, above = round(anatomy.body.below_mm / step), round(anatomy.body.above_mm / step)
        start, end = _covered_slices(to_array, subject.labels.shape, shape)
        known = (max(0, start - below), min(shape[0], end + above))
        first = len(anatomy.structures) - len(GENERATED_NAMES)
        classes = fill_body(classes, step, anatomy.body, first, known, zlib.crc32(subject.path.name.encode()))
    return _block_shares(classes, len(anatomy.structures), parts), (-(-known[0] // parts), known[1] // parts)


def _class_indices(labels: NDArray[np.int32], anatomy: Anatomy) -> NDArray[np.uint8]:
    table = np.full(max(int(labels.max()), *anatomy.values) + 1, UNKNOWN_CLASS, dtype=np.uint8)
    for index, structure in enumerate(anatomy.structures):
        table[list(structure.values)] = index
    return np.asarray(table[labels])


def _block_shares(classes: NDArray[np.uint8], count: int, parts: int) -> NDArray[np.uint8]:
    """Share (0-255) of each class in blocks of parts^3 voxels, (count, D, H, W)."""
    d, h, w = (n // parts for n in classes.shape)
    # histogram bin of each voxel: the blocks of one slab are counted at once
    offsets = (np.arange(h)[:, None] * w + np.arange(w)).repeat(parts, 0).repeat(parts, 1) * (UNKNOWN_CLASS + 1)
    shares = np.zeros((count, d, h, w), dtype=np.uint8)
    for k in range(d):
        voxels = offsets + classes[k * parts : (k + 1) * parts]
        counts = np.bincount(voxels.ravel(), minlength=h * w * (UNKNOWN_CLASS + 1)).reshape(h, w, UNKNOWN_CLASS + 1)
        shares[:, k] = np.round(counts[..., :count] * (255 / parts**3)).transpose(2, 0, 1)
    return shares


def _covered_slices(to_array: FloatArray, labels_shape: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, int]:
    """First and one past the last slice of the grid whose center the label map covers, along its nearest axis."""
    axis = int(np.abs(to_array[:3, 0]).argmax())
    center = np.array([0, (shape[1] - 1) / 2, (shape[2] - 1) / 2, 1])
    positions = to_array[axis] @ center + to_array[axis, 0] * np.arange(shape[0])
    inside = np.flatnonzero((positions > -0.5) & (positions < labels_shape[axis] - 0.5))
    return (int(inside[0]), int(inside[-1]) + 1) if inside.size else (0, 0)
