"""What the network sees of an image: its intensities alone, as published, or also their local z-scores.

A local z-score says how bright a voxel is among its neighbors. Bias fields, contrast and noise change it less than the
intensity, and borders between tissues stand out in it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..sampling.filters import box_mean
from .settings import NETWORK, NetworkSettings

INTENSITY, Z_SCORES = "intensity", "z-scores"


def count_channels(inputs: str, settings: NetworkSettings = NETWORK) -> int:
    """Count the channels that the network sees of one image. Raises ValueError for unknown inputs."""
    if inputs not in (INTENSITY, Z_SCORES):
        raise ValueError(f"inputs has to be '{INTENSITY}' or '{Z_SCORES}', got {inputs!r}")
    return 1 if inputs == INTENSITY else 1 + len(settings.z_score_radii_voxels)


def compute_inputs(image: Tensor, inputs: str, settings: NetworkSettings = NETWORK) -> Tensor:
    """Compute the channels of an image (N, 1, D, H, W) in [0, 1]: (N, C, D, H, W), the image itself first."""
    if inputs == INTENSITY:
        return image
    scores = [compute_z_scores(image, radius, settings) for radius in settings.z_score_radii_voxels]
    return torch.cat([image, *scores], dim=1)


def compute_z_scores(image: Tensor, radius: int, settings: NetworkSettings = NETWORK) -> Tensor:
    """Compute (x - mean) / sqrt(variance + a small constant) in the window of (2 radius + 1)³ voxels around each voxel.

    image: (N, 1, D, H, W). Voxels outside of the grid are left out of the windows.
    """
    share = _compute_share_inside(image, radius)
    mean = box_mean(image, radius).div_(share)
    variance = box_mean(image.square(), radius).div_(share).addcmul_(mean, mean, value=-1).clamp_(min=0)
    return (image - mean).mul_(variance.add_(settings.z_score_min_variance).rsqrt_())


def _compute_share_inside(image: Tensor, radius: int) -> Tensor:
    """The share of each window that lies inside the grid, (1, 1, D, H, W)."""
    width, shares = 2 * radius + 1, []
    for axis in (2, 3, 4):
        index = torch.arange(image.shape[axis], device=image.device)
        inside = (index + radius).clamp(max=image.shape[axis] - 1) - (index - radius).clamp(min=0) + 1
        shape = [1, 1, 1, 1, 1]
        shape[axis] = -1
        shares.append((inside / width).view(shape))
    return shares[0] * shares[1] * shares[2]
