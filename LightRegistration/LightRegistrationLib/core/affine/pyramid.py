"""The image pyramid of the affine stage: one volume on isotropic grids at three resolutions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..geometry.geometry import FloatArray, Geometry, apply_affine, homogeneous
from ..geometry.volume import Segmentation, Volume
from ..network.flows import sample
from ..network.grid import ShrunkImage, compute_affine_coordinates, compute_network_grid, shrink
from ..network.intensity import IntensityNormalization
from ..network.settings import GridSettings
from ..sampling.filters import box_max
from .settings import AFFINE


@dataclass(frozen=True, eq=False)
class PyramidImage:
    """A volume on an isotropic grid.

    tensor: intensities (1, 1, D, H, W) in [0, 1]; outside the field of view the border value is repeated, so that the
    border is no edge. valid: (1, 1, D, H, W), 1 inside the field of view and the mask, else 0.
    """

    tensor: Tensor
    valid: Tensor
    geometry: Geometry


def compute_fine_spacing_mm(fixed: Geometry, moving: Geometry) -> float:
    """Compute the spacing of the finest level, mm: smaller for small fields of view, larger for very large ones."""
    extents = [geometry.size_ijk * geometry.spacing_mm for geometry in (fixed, moving)]
    smallest = min(float(e.min()) for e in extents)
    scale = min(1.0, smallest / (AFFINE.min_middle_voxels * 2 * AFFINE.fine_spacing_mm))
    largest = max(float(np.prod(e)) for e in extents)
    return max(AFFINE.fine_spacing_mm * scale, (largest / AFFINE.max_fine_voxels) ** (1 / 3))


def build_pyramid(
    volume: Volume,
    spacing_mm: float,
    normalization: IntensityNormalization,
    mask: Segmentation | None,
    shrunk: ShrunkImage | None = None,
) -> list[PyramidImage]:
    """Bring the volume to one, two and four times the spacing; with a mask, only the union of its segments is valid.

    shrunk: the volume averaged to blocks not larger than the spacing, if available. Raises InputError for a mask that
    lies outside the volume.
    """
    images = [bring_to_grid(volume, spacing_mm, normalization, mask, shrunk)]
    while len(images) < len(AFFINE.level_points):
        images.append(_halve(images[-1]))
    return images


def bring_to_grid(
    volume: Volume,
    spacing_mm: float,
    normalization: IntensityNormalization,
    mask: Segmentation | None,
    shrunk: ShrunkImage | None = None,
) -> PyramidImage:
    """Bring the volume to an isotropic grid; arguments and errors: see `build_pyramid`."""
    small = shrink(volume, spacing_mm, normalization) if shrunk is None else shrink_further(shrunk, spacing_mm)
    grid = GridSettings(spacing_mm, min_voxels=1, max_voxels=AFFINE.max_grid_voxels, multiple=4, margin_voxels=1)
    geometry = compute_network_grid(volume.geometry, grid)
    coordinates = compute_affine_coordinates(geometry, small.geometry, np.eye(4))
    limits = torch.tensor(small.tensor.shape[:1:-1], dtype=torch.float32).view(1, 3, 1, 1, 1)
    valid = ((coordinates >= -0.5) & (coordinates <= limits - 0.5)).all(1, keepdim=True).float()
    if mask is not None:
        valid = valid * _sample_mask(geometry, mask)
        if not valid.any():
            raise InputError(
                f"{mask.name}: the mask shows nothing inside {volume.name}; draw it there or leave it out."
            )
    return PyramidImage(sample(small.tensor, coordinates, padding="border"), valid, geometry)


def shrink_further(shrunk: ShrunkImage, spacing_mm: float) -> ShrunkImage:
    """Average blocks of an image that was shrunk before, so that sampling at `spacing_mm` does not alias."""
    ratios = (spacing_mm / shrunk.geometry.spacing_mm)[::-1]
    factors = [max(1, min(int(r + 0.25), n)) for r, n in zip(ratios, shrunk.geometry.shape, strict=True)]
    padding = [p for n, f in zip(shrunk.geometry.shape[::-1], factors[::-1], strict=True) for p in (0, -n % f)]
    tensor = F.avg_pool3d(F.pad(shrunk.tensor, padding, mode="replicate"), factors)
    steps = np.array(factors[::-1], dtype=np.float64)
    affine = shrunk.geometry.affine @ homogeneous(np.diag(steps), (steps - 1) / 2)
    return ShrunkImage(tensor, Geometry(tensor.shape[2:], affine))


def _sample_mask(geometry: Geometry, mask: Segmentation) -> Tensor:
    """Sample the union of the segments on a grid: (1, 1, D, H, W), 0 or 1."""
    union = np.zeros(mask.geometry.shape, dtype=np.float32)
    for segment in mask.segments:
        union[mask.mask(segment)] = 1.0
    coordinates = compute_affine_coordinates(geometry, mask.geometry, np.eye(4))
    return sample(torch.from_numpy(union)[None, None], coordinates, mode="nearest", padding="zeros")


def _halve(image: PyramidImage) -> PyramidImage:
    """Average blocks of 2x2x2 voxels over their valid part; a block is valid if half of it is."""
    weight = F.avg_pool3d(image.valid, 2)
    valid_mean = F.avg_pool3d(image.tensor * image.valid, 2) / weight.clamp(min=1e-6)
    tensor = torch.where(weight > 0, valid_mean, F.avg_pool3d(image.tensor, 2))
    affine = image.geometry.affine @ homogeneous(2 * np.eye(3), np.full(3, 0.5))
    return PyramidImage(tensor, (weight > 0.49).float(), Geometry(tensor.shape[2:], affine))


def find_body(image: PyramidImage) -> Tensor:
    """Find the valid voxels (D, H, W) in the body or next to it, so that its outline is included."""
    near = box_max((image.tensor > AFFINE.min_body_intensity).float(), AFFINE.body_margin_voxels)
    return (near * image.valid)[0, 0] > 0


def compute_centroid_mm(image: PyramidImage) -> FloatArray:
    """Compute the center of mass of the valid intensities, RAS mm."""
    intensities = (image.tensor * image.valid)[0, 0]
    total = intensities.sum().clamp(min=1e-6)
    index = []
    for axis in (2, 1, 0):
        other_axes = [a for a in range(3) if a != axis]
        profile = intensities.sum(other_axes)
        index.append(float((profile * torch.arange(len(profile))).sum() / total))
    return apply_affine(image.geometry.affine, index)
