"""The images that a refinement compares, at several resolutions, with the weights of their voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry.geometry import Geometry, homogeneous
from ..geometry.transforms import AffineTransform
from ..geometry.volume import Segmentation, Volume
from ..network.grid import (
    ShrunkImage,
    compute_affine_coordinates,
    compute_block_factors,
    compute_network_grid,
    resample_to_grid,
    shrink,
)
from ..network.intensity import IntensityNormalization
from ..network.settings import GridSettings
from ..result.settings import Guidance
from ..sampling.trilinear import compute_share_inside
from .settings import REFINEMENT, ImageSettings


@dataclass(frozen=True, eq=False)
class LevelImages:
    """Both images at one resolution.

    geometry: of the fixed grid. fixed, fixed_weight: (1, 1, D, H, W); the weight is 0 outside the field of view or the
    mask of the fixed image, else 1. moving, moving_weight: the same of the moving image after the initial alignment,
    with `margin` more voxels on every side.
    """

    geometry: Geometry
    fixed: Tensor
    fixed_weight: Tensor
    moving: Tensor
    moving_weight: Tensor
    margin: int


class ShrunkPair:
    """Both volumes, shrunk for sampling at a spacing; spacings that need the same blocks of voxels share one image."""

    def __init__(self, fixed: Volume, moving: Volume, intensity: IntensityNormalization) -> None:
        self.volumes = fixed, moving
        self._intensity = intensity
        self._cache: dict[tuple[int, ...], ShrunkImage] = {}

    def shrink_to(self, spacing_mm: float) -> tuple[ShrunkImage, ShrunkImage]:
        """Shrink the fixed and the moving volume for sampling at a spacing."""
        return self._shrink(0, spacing_mm), self._shrink(1, spacing_mm)

    def _shrink(self, index: int, spacing_mm: float) -> ShrunkImage:
        volume = self.volumes[index]
        key = (index, *compute_block_factors(volume, spacing_mm))
        if key not in self._cache:
            self._cache[key] = shrink(volume, spacing_mm, self._intensity)
        return self._cache[key]


class RefinementImages:
    """Makes the images of each level for one pair; each level is computed once."""

    def __init__(
        self,
        pair: ShrunkPair,
        initial: AffineTransform,
        geometry: Geometry,
        guidance: Guidance,
        settings: ImageSettings = REFINEMENT.images,
    ) -> None:
        """initial: fixed -> moving, RAS mm. geometry: the refinement grid."""
        self._pair = pair
        self._matrix = initial.matrix
        self._geometry = geometry
        self._guidance = guidance
        self._settings = settings
        self._cache: dict[float, LevelImages] = {}

    def replace_initial(self, initial: AffineTransform) -> RefinementImages:
        """Return the images of the same pair after another initial alignment."""
        return RefinementImages(self._pair, initial, self._geometry, self._guidance, self._settings)

    def __call__(self, factor: float) -> LevelImages:
        """Return the images at a factor of the refinement grid's spacing: 2, 4 or 8, 1, or less than 1."""
        if factor not in self._cache:
            if factor > 1:
                self._cache[factor] = pool_images(self(1), round(factor), self._settings.min_known_fraction)
            else:
                fixed = self._pair.volumes[0].geometry
                is_finer = factor < 1
                grid = compute_finer_grid(self._geometry, factor, fixed, self._settings) if is_finer else self._geometry
                self._cache[factor] = self._resample_to(grid)
        return self._cache[factor]

    def _resample_to(self, geometry: Geometry) -> LevelImages:
        settings, matrix = self._settings, self._matrix
        wide = _add_margin(geometry, settings.margin_voxels)
        target, source = self._pair.shrink_to(float(geometry.spacing_mm[0]))
        return LevelImages(
            geometry,
            resample_to_grid(target, geometry, np.eye(4)).tensor,
            _compute_weight(target, geometry, np.eye(4), self._guidance.fixed_mask, settings),
            resample_to_grid(source, wide, matrix).tensor,
            _compute_weight(source, wide, matrix, self._guidance.moving_mask, settings),
            settings.margin_voxels,
        )


def pool_images(images: LevelImages, factor: int, min_known_fraction: float) -> LevelImages:
    """Average the images over blocks, to a multiple (2, 4, 8) of the spacing."""
    geometry = images.geometry
    steps = homogeneous(np.eye(3) * factor, np.full(3, (factor - 1) / 2))
    shape = tuple(n // factor for n in geometry.shape)
    weights = (images.fixed_weight, images.moving_weight)
    fixed_weight, moving_weight = ((F.avg_pool3d(t, factor) > min_known_fraction).float() for t in weights)
    return LevelImages(
        Geometry(shape, geometry.affine @ steps),
        F.avg_pool3d(images.fixed, factor),
        fixed_weight,
        F.avg_pool3d(images.moving, factor),
        moving_weight,
        images.margin // factor,
    )


def compute_finer_grid(
    geometry: Geometry, factor: float, volume: Geometry, settings: ImageSettings = REFINEMENT.images
) -> Geometry:
    """Compute a finer grid over the same volume, not finer than its voxels and of at most `settings.max_voxels`."""
    spacing = float(geometry.spacing_mm[0])
    least = min(spacing, float(volume.spacing_mm.min()))
    rule = GridSettings(
        max(spacing * factor, least),
        min_voxels=1,
        max_voxels=settings.max_voxels,
        multiple=settings.finest_multiple,
    )
    grid = compute_network_grid(volume, rule)
    return grid if grid.spacing_mm[0] < spacing else geometry


def _add_margin(geometry: Geometry, voxels: int) -> Geometry:
    shape = tuple(n + 2 * voxels for n in geometry.shape)
    return Geometry(shape, geometry.affine @ homogeneous(np.eye(3), np.full(3, -float(voxels))))


def _compute_weight(
    image: ShrunkImage, geometry: Geometry, matrix: np.ndarray, mask: Segmentation | None, settings: ImageSettings
) -> Tensor:
    """1 inside the field of view and the mask of an image, else 0: (1, 1, D, H, W) on a grid."""
    coordinates = compute_affine_coordinates(geometry, image.geometry, matrix)
    known = compute_share_inside(coordinates, image.geometry.shape) > settings.min_known_fraction
    if mask is not None:
        inside = np.logical_or.reduce([mask.mask(segment) for segment in mask.segments])
        marked = ShrunkImage(torch.from_numpy(inside.astype(np.float32))[None, None], mask.geometry)
        known &= resample_to_grid(marked, geometry, matrix).tensor > settings.min_mask_fraction
    return known.float()
