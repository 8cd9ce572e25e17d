"""Both volumes as the affine stage compares them: isotropic grids that become coarser, and points in the fixed body.

An image has two channels: its intensities, and its local contrast (what is brighter or darker than its surroundings),
which weighs inner structures like outlines. Each is shrunk from its volume once; coarser levels are made of finer ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..geometry.geometry import FloatArray, Geometry, apply_affine, homogeneous
from ..geometry.volume import Segmentation, Volume
from ..network.flows import sample
from ..network.grid import GridSettings, ShrunkImage, compute_affine_coordinates, compute_network_grid, shrink
from ..network.intensity import IntensityNormalization
from ..sampling.filters import box_max

FINE_MM = 4.0
LEAST_MIDDLE_VOXELS = 14
"""The least number of voxels along the shortest axis of the middle level; smaller fields of view get finer grids."""
MOST_FINE_VOXELS = 300_000
NO_COMMON_CONTENT = (
    "The two volumes have nothing in common that an alignment could start from: check that both show the same part of "
    "the body."
)
LEVEL_POINTS = (15_000, 5_000, 1_500)
"""How many points are compared at the fine, the middle and the search level."""
_MOST_GRID_VOXELS = 4_000_000
_BODY = 0.05
_CONTRAST_FLOOR = 0.05


@dataclass(frozen=True, eq=False)
class PyramidImage:
    """A volume on an isotropic grid: intensities (1, 1, D, H, W) in [0, 1], and where it shows anything, 0 or 1.

    What lies outside the field of view repeats its border there, so that the border is no edge.
    """

    tensor: Tensor
    view: Tensor
    geometry: Geometry


@dataclass(frozen=True, eq=False)
class Level:
    """What is compared at one resolution.

    points: (n, 3) RAS mm in and near the fixed body. values: the fixed channels there, (c, n). known: where they are,
    1 or 0, (c, n). moving: voxels of the moving image as rows (D * H * W, 5 c): each channel with its derivatives along
    R, A, S per mm, then where each is known. capacity: the share of the fixed points that the moving field of view
    could hold at most.
    """

    points: Tensor
    values: Tensor
    known: Tensor
    moving: Tensor
    geometry: Geometry
    capacity: float


def fine_spacing_mm(fixed: Geometry, moving: Geometry) -> float:
    """The spacing of the finest level: 4 mm, finer for small fields of view, coarser for very large ones."""
    extents = [geometry.size_ijk * geometry.spacing_mm for geometry in (fixed, moving)]
    scale = min(1.0, min(float(e.min()) for e in extents) / (LEAST_MIDDLE_VOXELS * 2 * FINE_MM))
    largest = max(float(np.prod(e)) for e in extents)
    return max(FINE_MM * scale, (largest / MOST_FINE_VOXELS) ** (1 / 3))


def build_pyramid(
    volume: Volume,
    spacing_mm: float,
    rule: IntensityNormalization,
    mask: Segmentation | None,
    shrunk: ShrunkImage | None = None,
) -> list[PyramidImage]:
    """The volume at one, two and four times the spacing; its view is the mask's union where there is one.

    shrunk: the volume averaged to blocks not larger than the spacing, if that is at hand.
    """
    small = shrink(volume, spacing_mm, rule) if shrunk is None else shrink_further(shrunk, spacing_mm)
    rule_of_grid = GridSettings(spacing_mm, min_voxels=1, max_voxels=_MOST_GRID_VOXELS, multiple=4, margin_voxels=1)
    geometry = compute_network_grid(volume.geometry, rule_of_grid)
    coordinates = compute_affine_coordinates(geometry, small.geometry, np.eye(4))
    limits = torch.tensor(small.tensor.shape[:1:-1], dtype=torch.float32).view(1, 3, 1, 1, 1)
    view = ((coordinates >= -0.5) & (coordinates <= limits - 0.5)).all(1, keepdim=True).float()
    if mask is not None:
        view = view * _mask_on(geometry, mask)
        if not view.any():
            raise InputError(
                f"{mask.name}: the mask shows nothing inside {volume.name}; draw it there or leave it out."
            )
    images = [PyramidImage(sample(small.tensor, coordinates, padding="border"), view, geometry)]
    while len(images) < len(LEVEL_POINTS):
        images.append(_coarser(images[-1]))
    return images


def shrink_further(shrunk: ShrunkImage, spacing_mm: float) -> ShrunkImage:
    """Average blocks of an image that was shrunk before, so that sampling at `spacing_mm` does not alias."""
    ratios = (spacing_mm / shrunk.geometry.spacing_mm)[::-1]
    factors = [max(1, min(int(r + 0.25), n)) for r, n in zip(ratios, shrunk.geometry.shape, strict=True)]
    padding = [p for n, f in zip(shrunk.geometry.shape[::-1], factors[::-1], strict=True) for p in (0, -n % f)]
    tensor = F.avg_pool3d(F.pad(shrunk.tensor, padding, mode="replicate"), factors)
    steps = np.array(factors[::-1], dtype=np.float64)
    affine = shrunk.geometry.affine @ homogeneous(np.diag(steps), (steps - 1) / 2)
    return ShrunkImage(tensor, Geometry(tensor.shape[2:], affine))


def _mask_on(geometry: Geometry, mask: Segmentation) -> Tensor:
    union = np.zeros(mask.geometry.shape, dtype=np.float32)
    for segment in mask.segments:
        union[mask.mask(segment)] = 1.0
    coordinates = compute_affine_coordinates(geometry, mask.geometry, np.eye(4))
    return sample(torch.from_numpy(union)[None, None], coordinates, mode="nearest", padding="zeros")


def _coarser(image: PyramidImage) -> PyramidImage:
    weight = F.avg_pool3d(image.view, 2)
    shown = F.avg_pool3d(image.tensor * image.view, 2) / weight.clamp(min=1e-6)
    tensor = torch.where(weight > 0, shown, F.avg_pool3d(image.tensor, 2))
    affine = image.geometry.affine @ homogeneous(2 * np.eye(3), np.full(3, 0.5))
    return PyramidImage(tensor, (weight > 0.49).float(), Geometry(tensor.shape[2:], affine))


def body_mask(image: PyramidImage) -> Tensor:
    """The voxels (D, H, W) in view that lie in the body or at most two voxels beside it: the outline belongs to it."""
    near = box_max((image.tensor > _BODY).float(), 2)
    return (near * image.view)[0, 0] > 0


def level(fixed: PyramidImage, moving: PyramidImage, count: int, with_contrast: bool) -> Level:
    """Draw points of the fixed body (the same ones every time) and lay out the moving image for sampling."""
    indices = body_mask(fixed).nonzero()
    total = len(indices)
    if total == 0:
        raise InputError(NO_COMMON_CONTENT)
    if total > count:
        chosen = torch.randperm(total, generator=torch.Generator().manual_seed(total))[:count]
        indices = indices[chosen.sort().values]
    points = apply_affine(fixed.geometry.affine, indices.flip(1).double().numpy())
    held = float(moving.view.sum()) * moving.geometry.voxel_volume_mm3 / fixed.geometry.voxel_volume_mm3
    channels = [
        [(image.tensor, image.view), *([local_contrast(image)] if with_contrast else [])] for image in (fixed, moving)
    ]
    values, known = (torch.stack([channel[n][0, 0][tuple(indices.T)] for channel in channels[0]]) for n in range(2))
    return Level(
        torch.from_numpy(points.astype(np.float32)),
        values,
        known,
        _rows(channels[1], moving.geometry),
        moving.geometry,
        min(1.0, held / total),
    )


def _rows(channels: Sequence[tuple[Tensor, Tensor]], geometry: Geometry) -> Tensor:
    per_mm = torch.from_numpy(geometry.inverse_affine[:3, :3].astype(np.float32))
    columns = []
    for channel, _ in channels:
        k, j, i = torch.gradient(channel[0, 0])
        columns += [channel[0], torch.tensordot(per_mm.T, torch.stack([i, j, k]), dims=1)]
    return torch.cat([*columns, *(known[0] for _, known in channels)]).flatten(1).T.contiguous()


def local_contrast(image: PyramidImage) -> tuple[Tensor, Tensor]:
    """How much each voxel is brighter than its surroundings, in their standard deviations, and where that is known.

    Both (1, 1, D, H, W). Surroundings: what lies within about three voxels, found at half the resolution, which is
    eight times as fast; known where all of it is in view. A floor keeps noise in empty places small.
    """
    weight, first, second = (
        F.avg_pool3d(F.avg_pool3d(part * image.view, 2), 3, stride=1, padding=1)
        for part in (torch.ones_like(image.tensor), image.tensor, image.tensor.square())
    )
    mean = first / weight.clamp(min=1e-3)
    deviation = (second / weight.clamp(min=1e-3) - mean.square()).clamp(min=0).sqrt()
    shape = image.tensor.shape[2:]
    mean, scale = (
        F.interpolate(part, shape, mode="trilinear", align_corners=False)
        for part in (mean, 1 / (deviation + _CONTRAST_FLOOR))
    )
    return (image.tensor - mean) * scale, F.interpolate((weight > 0.999).float(), shape)


def sample_rows(rows: Tensor, shape: tuple[int, ...], coordinates: Tensor) -> tuple[Tensor, Tensor]:
    """Trilinear samples (n, c) of rows (D * H * W, c) at voxel coordinates (n, 3; i, j, k), and which lie in the grid.

    Coordinates outside the grid give its border.
    """
    limits = torch.tensor(shape[::-1], dtype=torch.float32) - 1
    within = ((coordinates >= 0) & (coordinates <= limits)).all(1)
    corner = coordinates.floor().clamp(min=torch.zeros(3), max=(limits - 1).clamp(min=0))
    part = (coordinates - corner).clamp(0, 1)
    sides = torch.stack([1 - part, part], dim=2)
    weights = sides[:, 2, :, None, None] * sides[:, 1, None, :, None] * sides[:, 0, None, None, :]
    steps = torch.tensor([1, shape[2], shape[2] * shape[1]])
    first = (corner.long() * steps).sum(1)
    offsets = torch.stack(torch.meshgrid(*[torch.tensor([0, 1])] * 3, indexing="ij"), -1).flip(-1).reshape(8, 3) @ steps
    sampled = F.embedding_bag(first[:, None] + offsets, rows, mode="sum", per_sample_weights=weights.flatten(1))
    return sampled, within


def centroid_mm(image: PyramidImage) -> FloatArray:
    """The center of mass of what an image shows, RAS mm."""
    shown = (image.tensor * image.view)[0, 0]
    total = shown.sum().clamp(min=1e-6)
    index = []
    for axis in (2, 1, 0):
        others = [a for a in range(3) if a != axis]
        along = shown.sum(others)
        index.append(float((along * torch.arange(len(along))).sum() / total))
    return apply_affine(image.geometry.affine, index)
