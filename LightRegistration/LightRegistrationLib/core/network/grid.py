"""The grid that a network works on, and images brought onto it without aliasing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..geometry.geometry import FloatArray, Geometry, homogeneous
from ..geometry.volume import Volume
from ..sampling.block_means import block_means
from .flows import sample
from .intensity import IntensityNormalization


@dataclass(frozen=True)
class GridSettings:
    """The grid that a model wants: isotropic spacing in mm, as long as it has at most `max_voxels`.

    A field of view smaller than `min_voxels` along its longest axis gets a finer grid, not finer than its own voxels.
    """

    spacing_mm: float = 2.0
    min_voxels: int = 64
    max_voxels: int = 128**3
    multiple: int = 16
    margin_voxels: float = 1.5


@dataclass(frozen=True, eq=False)
class GridImage:
    """An image on a network grid: tensor (1, 1, D, H, W) in [0, 1], 0 outside the volume's field of view."""

    tensor: Tensor
    geometry: Geometry


def compute_network_grid(volume: Geometry, rule: GridSettings) -> Geometry:
    """Isotropic grid along the volume's own axes, ordered and flipped toward R, A, S, that covers the whole volume.

    Axis lengths are multiples of `rule.multiple`. The spacing grows by up to 6 % where this saves voxels, and beyond
    where the volume is larger than `rule.max_voxels` allow.
    """
    axes = anatomical_axes(volume.affine[:3, :3])
    corners = volume.corners_mm @ axes
    extent = corners.max(0) - corners.min(0)
    center = axes @ (corners.max(0) + corners.min(0)) / 2
    finest = min(rule.spacing_mm, float(volume.spacing_mm.min()))
    wanted = float(np.clip(extent.max() / rule.min_voxels, finest, rule.spacing_mm))
    options = [_grid_size(extent, wanted * (1 + percent / 100), rule) for percent in range(7)]
    spacing, size = min(options, key=lambda option: (int(np.prod(option[1])), option[0]))
    while np.prod(size) > rule.max_voxels:
        spacing, size = _grid_size(extent, spacing * 1.01, rule)
    matrix = axes * spacing
    return Geometry((int(size[2]), int(size[1]), int(size[0])), homogeneous(matrix, center - matrix @ ((size - 1) / 2)))


def _grid_size(extent_mm: FloatArray, spacing_mm: float, rule: GridSettings) -> tuple[float, NDArray[np.int64]]:
    voxels = extent_mm / spacing_mm + 2 * rule.margin_voxels
    size = np.ceil(voxels / rule.multiple).astype(int) * rule.multiple
    return spacing_mm, np.maximum(size, 2 * rule.multiple)


def anatomical_axes(matrix: FloatArray) -> FloatArray:
    """Orthonormal axes (columns) nearest to those of the 3x3 matrix, permuted and flipped to lie nearest to R, A, S."""
    left, _, right = np.linalg.svd(matrix / np.linalg.norm(matrix, axis=0))
    axes = left @ right
    ordered = axes[:, _nearest_order(axes)]
    return np.asarray(ordered * np.where(np.diag(ordered) < 0, -1.0, 1.0))


def _nearest_order(axes: FloatArray) -> list[int]:
    """Which column lies nearest to R, to A and to S (or to their opposites)."""
    return max(map(list, permutations(range(3))), key=lambda order: float(np.abs(np.diag(axes[:, order])).sum()))


@dataclass(frozen=True, eq=False)
class ShrunkImage:
    """A volume averaged over blocks of voxels, intensities mapped to [0, 1]: what every later sampling starts from."""

    tensor: Tensor
    geometry: Geometry


def shrink(volume: Volume, spacing_mm: float, rule: IntensityNormalization) -> ShrunkImage:
    """Average blocks of voxels so that sampling at `spacing_mm` does not alias, then map intensities to [0, 1].

    The axes are taken toward R, A, S first, so that the blocks do not depend on how the voxels are stored.
    """
    array, affine = reorient_to_ras(volume.array, volume.affine)
    ratio = spacing_mm / np.linalg.norm(affine[:3, :3], axis=0)
    factors = [max(1, min(int(r + 0.25), n)) for r, n in zip(ratio[::-1], array.shape, strict=True)]
    averaged = block_means(array, factors)
    levels = rule.levels(averaged)
    tensor = torch.from_numpy(np.ascontiguousarray(rule.apply(averaged, levels)))[None, None]
    steps = np.array(factors[::-1], dtype=np.float64)
    return ShrunkImage(tensor, Geometry(averaged.shape, affine @ homogeneous(np.diag(steps), (steps - 1) / 2)))


def reorient_to_ras(array: NDArray, affine: FloatArray) -> tuple[NDArray, FloatArray]:
    """View an array (k, j, i) with its axes permuted and flipped to run nearest to R, A, S; its affine to match."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    order = _nearest_order(directions)
    view = array.transpose([2 - order[2 - axis] for axis in range(3)])
    moved = affine @ np.eye(4)[:, [*order, 3]]
    for axis in range(3):
        if directions[axis, order[axis]] < 0:
            view = np.flip(view, 2 - axis)
            last = view.shape[2 - axis] - 1
            moved = moved @ homogeneous(np.diag(np.where(np.arange(3) == axis, -1.0, 1.0)), last * np.eye(3)[axis])
    return view, moved


def compute_affine_coordinates(geometry: Geometry, source: Geometry, matrix: FloatArray) -> Tensor:
    """Voxel coordinates (1, 3, D, H, W) in `source` of each voxel of `geometry` mapped by the 4x4 RAS mm matrix."""
    to_source = source.inverse_affine @ matrix @ geometry.affine
    columns = torch.from_numpy(to_source.astype(np.float32))
    k, j, i = (torch.arange(n, dtype=torch.float32) for n in geometry.shape)

    def part(axis: int, index: Tensor) -> Tensor:
        return columns[:3, axis].view(1, 3, 1, 1, 1) * index

    along_k = part(2, k.view(1, 1, -1, 1, 1)) + columns[:3, 3].view(1, 3, 1, 1, 1)
    return part(0, i.view(1, 1, 1, 1, -1)) + part(1, j.view(1, 1, 1, -1, 1)) + along_k


def resample_to_grid(shrunk: ShrunkImage, geometry: Geometry, matrix: FloatArray) -> GridImage:
    """Sample the image where the matrix (4x4, grid RAS mm -> image RAS mm) takes the voxels of the grid."""
    coordinates = compute_affine_coordinates(geometry, shrunk.geometry, matrix)
    return GridImage(sample(shrunk.tensor, coordinates, padding="zeros"), geometry)


def in_view(shrunk: ShrunkImage, geometry: Geometry) -> Tensor:
    """Which voxels (1, 1, D, H, W) of the grid lie between voxel centers of the image: 1 inside, 0 outside."""
    coordinates = compute_affine_coordinates(geometry, shrunk.geometry, np.eye(4))
    limits = torch.tensor(shrunk.tensor.shape[:1:-1], dtype=torch.float32).view(1, 3, 1, 1, 1) - 1
    return ((coordinates >= 0) & (coordinates <= limits)).all(1, keepdim=True).float()
