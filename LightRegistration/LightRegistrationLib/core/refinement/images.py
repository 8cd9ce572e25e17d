"""The images that a refinement compares: at several resolutions, with what is known of each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry.geometry import Geometry, homogeneous
from ..geometry.transforms import AffineTransform
from ..geometry.volume import Segmentation, Volume
from ..network.grid import GridSettings, ShrunkImage, compute_network_grid, resample_to_grid, shrink
from ..network.intensity import IntensityNormalization
from ..result.result import Guidance

MARGIN_VOXELS = 16
"""How far the moving image is kept beyond the edges of the fixed grid."""
MAXIMUM_VOXELS = 6_000_000
"""Of a grid finer than the network's; more would take too much memory and time."""


@dataclass(frozen=True, eq=False)
class LevelImages:
    """Both images at one resolution.

    geometry: of the fixed grid. fixed, weight: (1, 1, D, H, W); weight is 0 outside the fixed image's view or its mask,
    else 1. moving, view: (1, 1, D + 2 M, ...) with M = `margin` voxels more on every side, after the initial alignment;
    view is 0 where the moving image is not known or masked, else 1.
    """

    geometry: Geometry
    fixed: Tensor
    weight: Tensor
    moving: Tensor
    view: Tensor
    margin: int


class ShrunkPair:
    """Both volumes averaged over blocks for sampling at a spacing, each spacing made once."""

    def __init__(self, fixed: Volume, moving: Volume, intensity: IntensityNormalization) -> None:
        self.volumes = fixed, moving
        self._intensity = intensity
        self._made: dict[float, tuple[ShrunkImage, ShrunkImage]] = {}

    def __call__(self, spacing_mm: float) -> tuple[ShrunkImage, ShrunkImage]:
        """The fixed and the moving one."""
        if spacing_mm not in self._made:
            fixed, moving = (shrink(volume, spacing_mm, self._intensity) for volume in self.volumes)
            self._made[spacing_mm] = fixed, moving
        return self._made[spacing_mm]


class RefinementImages:
    """Makes the images of each level of one pair."""

    def __init__(self, pair: ShrunkPair, initial: AffineTransform, geometry: Geometry, guidance: Guidance) -> None:
        """geometry: the network grid. initial: fixed -> moving, RAS mm."""
        self._pair = pair
        self._matrix = initial.matrix
        self._geometry = geometry
        self._guidance = guidance
        self._made: dict[float, LevelImages] = {}

    def moved(self, initial: AffineTransform) -> RefinementImages:
        """The images of the same pair after another initial alignment."""
        return RefinementImages(self._pair, initial, self._geometry, self._guidance)

    def __call__(self, factor: float) -> LevelImages:
        """The images at a factor of the network grid's spacing: 2, 4 or 8, 1, or less than 1."""
        if factor not in self._made:
            if factor > 1:
                self._made[factor] = pooled(self(1), round(factor))
            else:
                fixed = self._pair.volumes[0].geometry
                self._made[factor] = self._on(finer(self._geometry, factor, fixed) if factor < 1 else self._geometry)
        return self._made[factor]

    def _on(self, geometry: Geometry) -> LevelImages:
        wide, matrix = _margined(geometry), self._matrix
        target, source = self._pair(float(geometry.spacing_mm[0]))
        return LevelImages(
            geometry,
            resample_to_grid(target, geometry, np.eye(4)).tensor,
            _known(target, geometry, np.eye(4), self._guidance.fixed_mask),
            resample_to_grid(source, wide, matrix).tensor,
            _known(source, wide, matrix, self._guidance.moving_mask),
            MARGIN_VOXELS,
        )


def pooled(images: LevelImages, factor: int) -> LevelImages:
    """The images at a multiple (2, 4, 8) of the spacing, by means over blocks."""
    geometry = images.geometry
    steps = homogeneous(np.eye(3) * factor, np.full(3, (factor - 1) / 2))
    shape = tuple(n // factor for n in geometry.shape)
    weight, view = ((F.avg_pool3d(t, factor) > 0.99).float() for t in (images.weight, images.view))
    return LevelImages(
        Geometry(shape, geometry.affine @ steps),
        F.avg_pool3d(images.fixed, factor),
        weight,
        F.avg_pool3d(images.moving, factor),
        view,
        images.margin // factor,
    )


def finer(geometry: Geometry, factor: float, volume: Geometry) -> Geometry:
    """A finer grid over the same volume: not finer than its voxels, nor of more than `MAXIMUM_VOXELS`."""
    spacing = float(geometry.spacing_mm[0])
    least = min(spacing, float(volume.spacing_mm.min()))
    rule = GridSettings(max(spacing * factor, least), min_voxels=1, max_voxels=MAXIMUM_VOXELS, multiple=4)
    found = compute_network_grid(volume, rule)
    return found if found.spacing_mm[0] < spacing else geometry


def _margined(geometry: Geometry) -> Geometry:
    shape = tuple(n + 2 * MARGIN_VOXELS for n in geometry.shape)
    return Geometry(shape, geometry.affine @ homogeneous(np.eye(3), np.full(3, -float(MARGIN_VOXELS))))


def _known(image: ShrunkImage, geometry: Geometry, matrix: np.ndarray, mask: Segmentation | None) -> Tensor:
    """Where an image is known on a grid and not masked: (1, 1, D, H, W), 0 or 1."""
    everywhere = ShrunkImage(torch.ones_like(image.tensor), image.geometry)
    known = resample_to_grid(everywhere, geometry, matrix).tensor > 0.99
    if mask is not None:
        inside = np.logical_or.reduce([mask.mask(segment) for segment in mask.segments])
        marked = ShrunkImage(torch.from_numpy(inside.astype(np.float32))[None, None], mask.geometry)
        known &= resample_to_grid(marked, geometry, matrix).tensor > 0.5
    return known.float()
