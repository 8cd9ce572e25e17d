"""Separable filters on grids (N, C, D, H, W), by adding shifted views: far faster on a CPU than pooling layers."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_AXES = (2, 3, 4)


def box_mean(image: Tensor, radius: int) -> Tensor:
    """Mean over the window of (2 radius + 1)³ voxels around each; what lies outside the grid counts as 0."""
    for axis in _AXES:
        total = image.clone()
        for offset in range(1, radius + 1):
            _add_neighbors(total, image, axis, offset, 1.0)
        image = total
    return image.mul_(1 / (2 * radius + 1) ** 3) if radius else image


def box_max(image: Tensor, radius: int) -> Tensor:
    """Largest value in the window of (2 radius + 1)³ voxels around each; beyond the edge the outermost goes on."""
    for axis in _AXES:
        padded, length = _padded(image, axis, radius, "replicate"), image.shape[axis]
        largest = padded.narrow(axis, 0, length).clone()
        for offset in range(1, 2 * radius + 1):
            torch.maximum(largest, padded.narrow(axis, offset, length), out=largest)
        image = largest
    return image


def gaussian(image: Tensor, sigma: float) -> Tensor:
    """Smooth by a Gaussian (sigma in voxels, cut at 2.5 sigma); beyond the edge the outermost voxel goes on."""
    radius = int(2.5 * sigma + 0.5)
    if radius < 1:
        return image
    weights = [math.exp(-(n**2) / (2 * sigma**2)) for n in range(radius + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    weights = [w / total for w in weights]
    for axis in _AXES:
        smooth, length = image * weights[0], image.shape[axis]
        for offset, weight in enumerate(weights[1:], 1):
            _add_neighbors(smooth, image, axis, offset, weight)
            beyond = min(offset, length)
            smooth.narrow(axis, 0, beyond).add_(image.narrow(axis, 0, 1), alpha=weight)
            smooth.narrow(axis, length - beyond, beyond).add_(image.narrow(axis, length - 1, 1), alpha=weight)
        image = smooth
    return image


def gradient(image: Tensor) -> Tensor:
    """Central differences of a one-channel image (N, 1, D, H, W) along i, j, k, per voxel: (N, 3, D, H, W)."""
    parts = []
    for axis in reversed(_AXES):
        padded, length = _padded(image, axis, 1, "replicate"), image.shape[axis]
        parts.append(padded.narrow(axis, 2, length) - padded.narrow(axis, 0, length))
    return torch.cat(parts, dim=1).mul_(0.5)


def _add_neighbors(total: Tensor, image: Tensor, axis: int, offset: int, weight: float) -> None:
    """Add to each voxel those `offset` before and after it along an axis, times a weight; nothing beyond the edges."""
    length = image.shape[axis] - offset
    if length > 0:
        total.narrow(axis, offset, length).add_(image.narrow(axis, 0, length), alpha=weight)
        total.narrow(axis, 0, length).add_(image.narrow(axis, offset, length), alpha=weight)


def _padded(image: Tensor, axis: int, width: int, mode: str) -> Tensor:
    padding = [0] * 6
    padding[2 * (4 - axis)] = padding[2 * (4 - axis) + 1] = width
    return F.pad(image, padding, mode=mode)
