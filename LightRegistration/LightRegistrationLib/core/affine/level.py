"""What the affine stage compares at one resolution: points of the fixed body, and the moving image with derivatives.

There are two channels: the intensities, and the local contrast. The second gives inner structures as much weight as
outlines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..geometry.geometry import Geometry, apply_affine
from .pyramid import PyramidImage, find_body
from .settings import AFFINE

NO_COMMON_CONTENT = (
    "The two volumes have nothing in common that an alignment could start from: check that both show the same part of "
    "the body, and so do the masks if there are any."
)


@dataclass(frozen=True, eq=False)
class Level:
    """What is compared at one resolution.

    points: (n, 3) RAS mm in and near the fixed body. values: the fixed channels there, (c, n). known: 1 where the fixed
    channels are defined, else 0, (c, n). moving: voxels of the moving image as rows (D * H * W, 5 c): each channel with
    its derivatives along R, A, S per mm, then where each channel is defined. max_overlap: the largest share of the
    fixed points that can lie in the moving field of view.
    """

    points: Tensor
    values: Tensor
    known: Tensor
    moving: Tensor
    geometry: Geometry
    max_overlap: float


def make_level(fixed: PyramidImage, moving: PyramidImage, count: int, with_local_contrast: bool) -> Level:
    """Draw points of the fixed body (always the same ones) and prepare the moving image for sampling.

    Raises InputError if the fixed image shows no body.
    """
    indices = find_body(fixed).nonzero()
    total = len(indices)
    if total == 0:
        raise InputError(NO_COMMON_CONTENT)
    if total > count:
        chosen = torch.randperm(total, generator=torch.Generator().manual_seed(total))[:count]
        indices = indices[chosen.sort().values]
    points = apply_affine(fixed.geometry.affine, indices.flip(1).double().numpy())
    moving_size = float(find_body(moving).sum()) * moving.geometry.voxel_volume_mm3 / fixed.geometry.voxel_volume_mm3
    channels = [
        [(image.tensor, image.valid), *([compute_local_contrast(image)] if with_local_contrast else [])]
        for image in (fixed, moving)
    ]
    values, known = (torch.stack([channel[n][0, 0][tuple(indices.T)] for channel in channels[0]]) for n in range(2))
    return Level(
        torch.from_numpy(points.astype(np.float32)),
        values,
        known,
        _make_rows(channels[1], moving.geometry),
        moving.geometry,
        min(1.0, moving_size / total),
    )


def _make_rows(channels: Sequence[tuple[Tensor, Tensor]], geometry: Geometry) -> Tensor:
    """Arrange the channels, their derivatives and where they are defined as rows (see `Level.moving`)."""
    per_mm = torch.from_numpy(geometry.inverse_affine[:3, :3].astype(np.float32))
    columns = []
    for channel, _ in channels:
        k, j, i = torch.gradient(channel[0, 0])
        columns += [channel[0], torch.tensordot(per_mm.T, torch.stack([i, j, k]), dims=1)]
    return torch.cat([*columns, *(known[0] for _, known in channels)]).flatten(1).T.contiguous()


def compute_local_contrast(image: PyramidImage) -> tuple[Tensor, Tensor]:
    """Compute the intensity minus the local mean, over the local standard deviation, and where it is defined.

    Both (1, 1, D, H, W). The neighborhood reaches about three voxels. It is averaged at half the resolution, which is
    eight times as fast. The contrast is defined where all of the neighborhood is valid.
    """
    weight, first, second = (
        _average_neighbors(F.avg_pool3d(part * image.valid, 2))
        for part in (torch.ones_like(image.tensor), image.tensor, image.tensor.square())
    )
    mean = first / weight.clamp(min=1e-3)
    deviation = (second / weight.clamp(min=1e-3) - mean.square()).clamp(min=0).sqrt()
    shape = image.tensor.shape[2:]
    mean, scale = (
        F.interpolate(part, shape, mode="trilinear", align_corners=False)
        for part in (mean, 1 / (deviation + AFFINE.local_contrast_noise))
    )
    return (image.tensor - mean) * scale, F.interpolate((weight > 0.999).float(), shape)


def _average_neighbors(values: Tensor) -> Tensor:
    """Average the 27 voxels around each voxel (1, 1, D, H, W), with zeros outside."""
    if min(values.shape[2:]) < 3:  # torch refuses images smaller than the window, even with padding
        return F.avg_pool3d(F.pad(values, [1] * 6), 3, stride=1)
    return F.avg_pool3d(values, 3, stride=1, padding=1)


def sample_rows(rows: Tensor, shape: tuple[int, ...], coordinates: Tensor) -> tuple[Tensor, Tensor]:
    """Sample rows (D * H * W, c) at voxel coordinates (n, 3; i, j, k) by trilinear interpolation.

    Returns the samples (n, c) and which coordinates lie in the grid (n). Others give the value at the grid's border.
    """
    limits = torch.tensor(shape[::-1], dtype=torch.float32) - 1
    within = ((coordinates >= 0) & (coordinates <= limits)).all(1)
    corner = coordinates.floor().clamp(min=torch.zeros(3), max=(limits - 1).clamp(min=0))
    fraction = (coordinates - corner).clamp(0, 1)
    sides = torch.stack([1 - fraction, fraction], dim=2)
    weights = sides[:, 2, :, None, None] * sides[:, 1, None, :, None] * sides[:, 0, None, None, :]
    steps = torch.tensor([1, shape[2], shape[2] * shape[1]])
    first = (corner.long() * steps).sum(1)
    offsets = torch.stack(torch.meshgrid(*[torch.tensor([0, 1])] * 3, indexing="ij"), -1).flip(-1).reshape(8, 3) @ steps
    sampled = F.embedding_bag(first[:, None] + offsets, rows, mode="sum", per_sample_weights=weights.flatten(1))
    return sampled, within
