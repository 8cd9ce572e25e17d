"""The network grid, and how a volume is brought onto it: shrinking by block means, then resampling without aliasing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..geometry.geometry import FloatArray, Geometry, apply_affine, find_nearest_orthonormal, homogeneous
from ..geometry.volume import Volume
from ..sampling.block_means import average_blocks
from .flows import sample
from .intensity import IntensityNormalization
from .settings import NETWORK, GridSettings


@dataclass(frozen=True, eq=False)
class GridImage:
    """An image on a network grid.

    tensor: (1, 1, D, H, W) in [0, 1], 0 outside the volume's field of view. known: booleans of the same shape, whether
    a voxel lies in it.
    """

    tensor: Tensor
    geometry: Geometry
    known: Tensor


def compute_network_grid(volume: Geometry, settings: GridSettings) -> Geometry:
    """Compute an isotropic grid that covers the whole volume, along the volume's own axes in the order R, A, S.

    Axis lengths are multiples of `settings.multiple`. The spacing grows by up to `settings.max_growth_percent` where
    this saves voxels, and by more where the grid would exceed `settings.max_voxels`.
    """
    axes = compute_anatomical_axes(volume.affine[:3, :3])
    corners = volume.corners_mm @ axes
    extent = corners.max(0) - corners.min(0)
    center = axes @ (corners.max(0) + corners.min(0)) / 2
    finest = min(settings.spacing_mm, float(volume.spacing_mm.min()))
    wanted = float(np.clip(extent.max() / settings.min_voxels, finest, settings.spacing_mm))
    growth = range(settings.max_growth_percent + 1)
    options = [_compute_grid_size(extent, wanted * (1 + percent / 100), settings) for percent in growth]
    spacing, size = min(options, key=lambda option: (int(np.prod(option[1])), option[0]))
    while np.prod(size) > settings.max_voxels:
        spacing, size = _compute_grid_size(extent, spacing * NETWORK.spacing_growth_factor, settings)
    matrix = axes * spacing
    return Geometry((int(size[2]), int(size[1]), int(size[0])), homogeneous(matrix, center - matrix @ ((size - 1) / 2)))


def _compute_grid_size(
    extent_mm: FloatArray, spacing_mm: float, settings: GridSettings
) -> tuple[float, NDArray[np.int64]]:
    voxels = extent_mm / spacing_mm + 2 * settings.margin_voxels
    size = np.ceil(voxels / settings.multiple).astype(int) * settings.multiple
    return spacing_mm, np.maximum(size, 2 * settings.multiple)


def compute_anatomical_axes(matrix: FloatArray) -> FloatArray:
    """Orthonormal axes (columns) nearest to those of a 3x3 matrix, permuted and flipped to lie nearest to R, A, S."""
    axes = find_nearest_orthonormal(matrix / np.linalg.norm(matrix, axis=0))
    ordered = axes[:, _find_nearest_order(axes)]
    return np.asarray(ordered * np.where(np.diag(ordered) < 0, -1.0, 1.0))


def _find_nearest_order(axes: FloatArray) -> list[int]:
    """Indices of the columns nearest to R, A and S (or to their opposites)."""
    return max(map(list, permutations(range(3))), key=lambda order: float(np.abs(np.diag(axes[:, order])).sum()))


@dataclass(frozen=True, eq=False)
class ShrunkImage:
    """A volume after block means and intensity normalization: (1, 1, D, H, W) in [0, 1], sampled in later steps."""

    tensor: Tensor
    geometry: Geometry


def shrink(volume: Volume, spacing_mm: float, normalization: IntensityNormalization) -> ShrunkImage:
    """Average blocks of voxels so that sampling at `spacing_mm` does not alias, then normalize intensities to [0, 1].

    The axes are reoriented to R, A, S first, so that the blocks do not depend on how the voxels are stored.
    """
    array, affine = reorient_to_ras(volume.array, volume.affine)
    factors = compute_block_factors(volume, spacing_mm)
    averaged = average_blocks(array, factors)
    levels = normalization.find_levels(averaged)
    tensor = torch.from_numpy(np.ascontiguousarray(normalization.apply(averaged, levels)))[None, None]
    steps = np.array(factors[::-1], dtype=np.float64)
    return ShrunkImage(tensor, Geometry(averaged.shape, affine @ homogeneous(np.diag(steps), (steps - 1) / 2)))


def compute_block_factors(volume: Volume, spacing_mm: float) -> tuple[int, int, int]:
    """Compute the edges of the blocks (k, j, i), voxels along the reoriented axes, that `shrink` averages."""
    array, affine = reorient_to_ras(volume.array, volume.affine)
    ratios = spacing_mm / np.linalg.norm(affine[:3, :3], axis=0)[::-1]
    rounding = NETWORK.block_rounding_voxels
    k, j, i = (max(1, min(int(r + rounding), n)) for r, n in zip(ratios, array.shape, strict=True))
    return k, j, i


def reorient_to_ras(array: NDArray, affine: FloatArray) -> tuple[NDArray, FloatArray]:
    """Permute and flip the axes of an array (k, j, i) to run nearest to R, A, S; returns a view and its affine."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    order = _find_nearest_order(directions)
    view = array.transpose([2 - order[2 - axis] for axis in range(3)])
    moved = affine @ np.eye(4)[:, [*order, 3]]
    for axis in range(3):
        if directions[axis, order[axis]] < 0:
            view = np.flip(view, 2 - axis)
            last = view.shape[2 - axis] - 1
            moved = moved @ homogeneous(np.diag(np.where(np.arange(3) == axis, -1.0, 1.0)), last * np.eye(3)[axis])
    return view, moved


def compute_affine_coordinates(geometry: Geometry, source: Geometry, matrix: FloatArray) -> Tensor:
    """Map each voxel of `geometry` by a 4x4 matrix (RAS mm): voxel coordinates (1, 3, D, H, W) in `source`."""
    to_source = source.inverse_affine @ matrix @ geometry.affine
    columns = torch.from_numpy(to_source.astype(np.float32))
    k, j, i = (torch.arange(n, dtype=torch.float32) for n in geometry.shape)

    def part(axis: int, index: Tensor) -> Tensor:
        return columns[:3, axis].view(1, 3, 1, 1, 1) * index

    along_k = part(2, k.view(1, 1, -1, 1, 1)) + columns[:3, 3].view(1, 3, 1, 1, 1)
    return part(0, i.view(1, 1, 1, 1, -1)) + part(1, j.view(1, 1, 1, -1, 1)) + along_k


def resample_to_grid(shrunk: ShrunkImage, geometry: Geometry, matrix: FloatArray) -> GridImage:
    """Resample an image to a grid; matrix: 4x4, RAS mm of the grid -> RAS mm of the image."""
    coordinates = compute_affine_coordinates(geometry, shrunk.geometry, matrix)
    limits = torch.tensor(shrunk.tensor.shape[:1:-1], dtype=torch.float32).view(1, 3, 1, 1, 1) - 1
    i, j, k = ((coordinates >= 0) & (coordinates <= limits)).split(1, dim=1)
    return GridImage(sample(shrunk.tensor, coordinates, padding="zeros"), geometry, i & j & k)


def are_framed_alike(fixed: Geometry, moving: Geometry, matrix: FloatArray) -> bool:
    """Whether two fields of view have nearly the same center and similar extents after the alignment.

    matrix: 4x4, RAS mm of the fixed volume -> RAS mm of the moving one. Crops made around the same structure are framed
    alike; a volume and its half, or a slab from its middle, are not.
    """
    offset, ratio = measure_framing(fixed, moving, matrix)
    return offset < NETWORK.max_framing_offset and ratio > NETWORK.min_framing_ratio


def measure_framing(fixed: Geometry, moving: Geometry, matrix: FloatArray) -> tuple[float, float]:
    """Measure the offset of the centers of two fields of view, and the ratio of their extents, after the alignment.

    matrix: as in `are_framed_alike`. The offset is divided by the smaller of the two extents along each axis of the
    fixed volume; the largest one is returned, and the least ratio of the smaller to the larger extent.
    """
    axes = compute_anatomical_axes(fixed.affine[:3, :3])
    corners = fixed.corners_mm @ axes, apply_affine(np.linalg.inv(matrix), moving.corners_mm) @ axes
    low, high = np.stack([c.min(0) for c in corners]), np.stack([c.max(0) for c in corners])
    centers = (low + high) / 2
    extents = high - low
    offset = (np.abs(centers[0] - centers[1]) / extents.min(0)).max()
    return float(offset), float((extents.min(0) / extents.max(0)).min())


def fill_unknown(fixed: GridImage, moving: GridImage, is_multimodal: bool) -> tuple[GridImage, GridImage]:
    """Make both images equal where one of them is not known, so that nothing there drives a deformation.

    The network was trained on whole images: the edge of a field of view inside the other image would pull tissue to it.
    A single-contrast pair takes the other image's intensities; a multimodal one, whose intensities cannot be
    exchanged, is set to 0 in both images.
    """
    if is_multimodal:
        known = fixed.known & moving.known
        return replace(fixed, tensor=fixed.tensor * known), replace(moving, tensor=moving.tensor * known)
    filled_moving = torch.where(moving.known, moving.tensor, fixed.tensor)
    filled_fixed = torch.where(fixed.known, fixed.tensor, filled_moving)
    return replace(fixed, tensor=filled_fixed), replace(moving, tensor=filled_moving)
