"""Separable filters on grids (N, C, D, H, W), by adding shifted views: far faster on a CPU than pooling layers."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_AXES = (2, 3, 4)


def box_mean(image: Tensor, radius: int) -> Tensor:
    """Mean over the window of (2 radius + 1)³ voxels around each; what lies outside the grid counts as 0."""
    width = 2 * radius + 1
    for axis in _AXES:
        padded, length = _padded(image, axis, radius, "constant"), image.shape[axis]
        total = padded.narrow(axis, 0, length).clone()
        for offset in range(1, width):
            total += padded.narrow(axis, offset, length)
        image = total
    return image.mul_(1 / width**3) if radius else image


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
        padded, length = _padded(image, axis, radius, "replicate"), image.shape[axis]
        smooth = padded.narrow(axis, radius, length) * weights[0]
        for offset in range(1, radius + 1):
            smooth.add_(padded.narrow(axis, radius - offset, length), alpha=weights[offset])
            smooth.add_(padded.narrow(axis, radius + offset, length), alpha=weights[offset])
        image = smooth
    return image


def gradient(image: Tensor) -> Tensor:
    """Central differences of a one-channel image (N, 1, D, H, W) along i, j, k, per voxel: (N, 3, D, H, W)."""
    parts = []
    for axis in reversed(_AXES):
        padded, length = _padded(image, axis, 1, "replicate"), image.shape[axis]
        parts.append(padded.narrow(axis, 2, length) - padded.narrow(axis, 0, length))
    return torch.cat(parts, dim=1).mul_(0.5)


def _padded(image: Tensor, axis: int, width: int, mode: str) -> Tensor:
    padding = [0] * 6
    padding[2 * (4 - axis)] = padding[2 * (4 - axis) + 1] = width
    return F.pad(image, padding, mode=mode)
