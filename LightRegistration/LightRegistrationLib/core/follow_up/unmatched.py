"""Where two aligned scans of one person show different tissue: places without a counterpart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from ..sampling.filters import box_max, gaussian, gradient
from .settings import UnmatchedSettings


@dataclass(frozen=True, eq=False)
class TissueDifference:
    """The difference of two aligned images on one grid, each (1, 1, D, H, W).

    intensity: moving minus predicted intensity. deviations: the same in robust standard deviations. body: 1 where both
    are known and at least one shows tissue, else 0.
    """

    intensity: Tensor
    deviations: Tensor
    body: Tensor


def compare_tissue(
    fixed: Tensor, warped: Tensor, known: Tensor, spacing_mm: float, settings: UnmatchedSettings
) -> TissueDifference:
    """Compare the intensities of two aligned images of one person.

    fixed, warped: (1, 1, D, H, W) in [0, 1]. known: 1 where both are known. The moving intensities are predicted from
    the fixed ones by a line that changes slowly in space, as coils and contrast media make it change. An edge that
    both images show near each other counts as aligned within `edge_voxels`.
    """
    is_shown = (fixed > settings.min_intensity) | (warped > settings.min_intensity)
    body = known * is_shown.float()
    slopes = [gradient(image).square().sum(1, keepdim=True).sqrt() for image in (fixed, warped)]
    edges = settings.edge_voxels * torch.minimum(*(box_max(slope, 1) for slope in slopes))
    weight, difference, deviations = body, torch.zeros_like(fixed), torch.zeros_like(fixed)
    for _ in range(settings.fit_rounds):
        predicted = _predict(fixed, warped, weight, spacing_mm, settings)
        difference = gaussian(warped - predicted, settings.noise_sigma_voxels)
        noise = max(settings.min_noise, _estimate_noise(difference[weight > 0]))
        deviations = difference / (noise**2 + edges.square()).sqrt()
        weight = body * (deviations.abs() < settings.min_difference)
    return TissueDifference(difference * body, deviations * body, body)


def _predict(fixed: Tensor, warped: Tensor, weight: Tensor, spacing_mm: float, settings: UnmatchedSettings) -> Tensor:
    """Predict the moving intensities by the weighted line through both intensities around each voxel."""
    sigma = settings.fit_sigma_mm / spacing_mm / settings.fit_pooling
    average = _make_average(weight, settings.fit_pooling, sigma)
    fixed_mean, warped_mean = average(fixed), average(warped)
    variance = (average(fixed * fixed) - fixed_mean.square()).clamp(min=0) + settings.min_variance
    covariance = average(fixed * warped) - fixed_mean * warped_mean + settings.min_variance
    slope = (covariance / variance).clamp(settings.min_slope, settings.max_slope)
    line = torch.cat([slope, warped_mean - slope * fixed_mean], dim=1)
    slope, offset = F.interpolate(line, fixed.shape[2:], mode="trilinear", align_corners=False).split(1, dim=1)
    return slope * fixed + offset


def _make_average(weight: Tensor, pooling: int, sigma: float) -> Callable[[Tensor], Tensor]:
    """Return the weighted average in a Gaussian window, on a grid of blocks."""
    total = gaussian(F.avg_pool3d(weight, pooling), sigma).clamp(min=1e-4)
    return lambda image: gaussian(F.avg_pool3d(image * weight, pooling), sigma) / total


def _estimate_noise(differences: Tensor) -> float:
    """Estimate the standard deviation from the median of the absolute differences (n,)."""
    return 1.4826 * float(differences.abs().median()) if differences.numel() else 1.0


def find_unmatched(difference: TissueDifference, voxel_mm3: float, settings: UnmatchedSettings) -> NDArray[np.int32]:
    """Find the places without a counterpart: numbers from 1, 0 elsewhere (D, H, W)."""
    clear = difference.deviations.abs() > settings.min_difference
    grown = clear.float()
    weaker = (difference.deviations.abs() > settings.grown_difference).float()
    for _ in range(settings.grow_voxels):
        grown = torch.maximum(grown, box_max(grown, 1) * weaker)
    signs = difference.deviations.sign()
    labels = np.zeros(tuple(clear.shape[2:]), np.int32)
    for sign in (1, -1):
        part = ((signs == sign) & (grown > 0))[0, 0].numpy()
        numbers, count = ndimage.label(part)
        strong = np.bincount(numbers.ravel(), weights=clear[0, 0].numpy().ravel(), minlength=count + 1)
        is_large = (strong * voxel_mm3 >= settings.min_mm3) & (np.arange(count + 1) > 0)
        kept = np.zeros(count + 1, np.int32)
        kept[is_large] = labels.max() + 1 + np.arange(is_large.sum())
        labels += kept[numbers]
    return labels


def cover_unmatched(places: NDArray[np.int32], settings: UnmatchedSettings) -> Tensor:
    """Cover the places, the gaps in them and a margin around them: 1 there, else 0, (1, 1, D, H, W)."""
    mask = torch.from_numpy((places > 0).astype(np.float32))[None, None]
    closed = -box_max(-box_max(mask, settings.closing_voxels), settings.closing_voxels)
    return box_max(closed, settings.margin_voxels)
