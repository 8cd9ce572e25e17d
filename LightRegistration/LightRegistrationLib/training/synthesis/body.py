"""Generates a plausible body around labeled organs: fat under the skin, a muscle wall, fat between the organs, lungs.

Label maps of the abdomen contain organs only. The generated tissues are not anatomically correct: they make the images
similar to CT, so that a network is trained with fat, air, bone and skin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# The names are keys of [source.means] in configurations.
GENERATED_NAMES = ("fat under the skin", "body wall", "fat inside", "unlabelled tissue", "lungs above", "built spine")
SKIN_FAT, WALL, INNER_FAT, FILLER, LUNGS, SPINE = range(len(GENERATED_NAMES))
UNKNOWN_CLASS = 255
"""Class index of a voxel whose tissue is unknown."""
_DIRECTIONS = 48
"""Number of directions in which the outline of a slice is measured."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Body:
    """Settings of a generated body.

    wall_mm, back_mm: thickness of the muscle wall in front and at the sides, and behind. fat_mm: smallest and largest
    thickness of the fat under the skin. above_mm, below_mm: length of the body beyond the label map. reach_mm: distance
    above and below a slice from which its outline is taken. filler: share of the space between the organs that is not
    fat. whole: whether to generate what makes the body symmetric and has no labels: a spine and the lungs.
    """

    wall_mm: float = 12.0
    back_mm: float = 5.0
    fat_mm: tuple[float, float] = (8.0, 28.0)
    above_mm: float = 0.0
    below_mm: float = 0.0
    reach_mm: float = 24.0
    filler: float = 0.15
    whole: bool = False


@dataclass(frozen=True, eq=False)
class _Outline:
    """The convex hull of the labeled voxels of each slice: its support in each direction, mm from row 0, column 0."""

    support: NDArray[np.float32]
    spacing_mm: float

    @property
    def directions(self) -> NDArray[np.float32]:
        """Unit vectors (n, 2) along i and j; the first one points right, the one at a quarter points anterior."""
        angles = 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
        return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)

    @property
    def center_mm(self) -> float:
        """Position of the center of the body along i."""
        return float(np.median(self.support[:, 0] - self.support[:, _DIRECTIONS // 2])) / 2

    @property
    def back_mm(self) -> NDArray[np.float32]:
        """Posterior end of the hull along j, for each slice."""
        return -self.support[:, 3 * _DIRECTIONS // 4]


def fill_body(
    classes: NDArray[np.uint8], spacing_mm: float, body: Body, first: int, known: tuple[int, int], seed: int
) -> NDArray[np.uint8]:
    """Fill the UNKNOWN_CLASS voxels of the body in a map of class indices (k, j, i), whose axes point to S, A and R.

    first: class index of the first of GENERATED_NAMES. known: first and one past the last slice (k) to fill; all other
    slices become UNKNOWN_CLASS. seed: of the random thicknesses and blobs.
    """
    random = np.random.default_rng(seed)
    filled = classes.copy()
    filled[: known[0]] = filled[known[1] :] = UNKNOWN_CLASS
    free = filled == UNKNOWN_CLASS
    if not free.all() and known[1] > known[0]:
        outline = _find_outline(~free, spacing_mm, body)
        depth = _depth_mm(outline, free.shape)
        wall = _wall_mm(free.shape[1], spacing_mm, body)
        inner = free & (depth > 0)
        filled[free & (depth > -wall - random.uniform(*body.fat_mm))] = first + SKIN_FAT
        filled[free & (depth > -wall)] = first + WALL
        filled[inner] = first + INNER_FAT
        filled[inner & _blobs(inner, spacing_mm, body.filler, random)] = first + FILLER
        if body.whole:
            lungs, mediastinum = _generate_chest(~free, outline)
            filled[inner & lungs] = first + LUNGS
            filled[inner & mediastinum] = first + FILLER
            spine, disks = _generate_spine(outline, free.shape)
            filled[free & spine] = first + SPINE
            filled[free & disks] = first + WALL
    filled[: known[0]] = filled[known[1] :] = UNKNOWN_CLASS
    return filled


def _wall_mm(rows: int, spacing_mm: float, body: Body) -> NDArray[np.float32]:
    """Thickness of the wall in each row (1, j, 1): from that of the back to that of the front over 80 mm."""
    front = np.clip((np.arange(rows) - rows / 2) * spacing_mm / 80 + 0.5, 0, 1)
    return (body.back_mm + (body.wall_mm - body.back_mm) * front).astype(np.float32)[None, :, None]


def _find_outline(labeled: Mask, spacing_mm: float, body: Body) -> _Outline:
    outline = _Outline(np.full((len(labeled), _DIRECTIONS), np.nan, dtype=np.float32), spacing_mm)
    present = np.flatnonzero(labeled.any((1, 2)))
    for k in present:
        points = np.argwhere(labeled[k])[:, ::-1].astype(np.float32) * np.float32(spacing_mm)
        outline.support[k] = (points @ outline.directions.T).max(0) + spacing_mm / 2
    nearest = present[np.abs(np.arange(len(labeled))[:, None] - present).argmin(1)]
    size = 2 * round(body.reach_mm / spacing_mm) + 1
    widest = ndimage.maximum_filter1d(outline.support[nearest], size, axis=0, mode="nearest")
    support = ndimage.gaussian_filter1d(widest, body.reach_mm / spacing_mm, axis=0, mode="nearest")
    smooth = _Outline(support, spacing_mm)
    return _symmetrize(smooth) if body.whole else smooth


def _symmetrize(outline: _Outline) -> _Outline:
    """The union of the outline and its mirror image, left to right."""
    shift = outline.center_mm * outline.directions[:, 0]
    centered = outline.support - shift
    mirror = (_DIRECTIONS // 2 - np.arange(_DIRECTIONS)) % _DIRECTIONS
    return _Outline(np.maximum(centered, centered[:, mirror]) + shift, outline.spacing_mm)


def _depth_mm(outline: _Outline, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Distance of voxels from the outline, mm; negative outside."""
    j, i = (np.arange(n, dtype=np.float32) * np.float32(outline.spacing_mm) for n in shape[1:])
    depth = np.full(shape, np.inf, dtype=np.float32)
    for n, (x, y) in enumerate(outline.directions):
        along = x * i[None, :] + y * j[:, None]
        np.minimum(depth, outline.support[:, n, None, None] - along, out=depth)
    return depth


def _blobs(where: Mask, spacing_mm: float, share: float, random: np.random.Generator) -> Mask:
    """Random blobs of some centimeters that cover a share of a mask."""
    noise = ndimage.gaussian_filter(random.standard_normal(where.shape, dtype=np.float32), 9 / spacing_mm)
    return np.asarray(noise > np.quantile(noise[where], 1 - share)) if where.any() else where


def _generate_chest(organs: Mask, outline: _Outline) -> tuple[Mask, Mask]:
    """The lungs, above a smooth dome over the organs, and the mediastinum between them, in front of the spine."""
    d, h, w = organs.shape
    spacing = outline.spacing_mm
    top = np.where(organs.any(0), d - np.argmax(organs[::-1], axis=0), -1)
    distance, nearest = ndimage.distance_transform_edt(top < 0, return_indices=True)
    closed = ndimage.grey_closing(top[tuple(nearest)] - 0.7 * distance, size=round(60 / spacing))
    dome = np.maximum(ndimage.gaussian_filter(closed, 12 / spacing), top)
    above = np.arange(d)[:, None, None] > dome[None] + 4 / spacing
    # The heart is to the left of the center.
    x = (np.arange(w) * spacing - outline.center_mm + 15)[None, None, :]
    y = (np.arange(h) * spacing)[None, :, None] - (outline.back_mm + 85)[:, None, None]
    mediastinum = np.square(x / 45) + np.square(y / 60) < 1
    return above & ~mediastinum, above & mediastinum


def _generate_spine(outline: _Outline, shape: tuple[int, ...]) -> tuple[Mask, Mask]:
    """Vertebral bodies with arches behind, and the disks between them."""
    d, h, w = shape
    spacing = outline.spacing_mm
    z = np.arange(d)[:, None, None] * spacing
    x = (np.arange(w) * spacing - outline.center_mm)[None, None, :]
    y = (np.arange(h) * spacing)[None, :, None] - outline.back_mm[:, None, None]
    front = np.square(x / 23) + np.square((y - 22) / 17) < 1
    arches = (np.abs(x) < 20 * np.exp(-np.square((y + 12) / 14)) - 4) & (y < 2) & (z % 34 < 24)
    disk = z % 34 < 7
    return (front & ~disk) | arches, front & disk
