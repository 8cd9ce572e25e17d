"""Patches of an image around many voxels, read one chunk at a time from an array that may be memory-mapped."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

_ROUNDING = 4.0


def list_offsets(radius: int) -> Tensor:
    """List the offsets (n, 3) in k, j, i of a cube of voxels, the nearest to its center first."""
    steps = range(-radius, radius + 1)
    offsets = sorted(itertools.product(steps, steps, steps), key=lambda step: (sum(x * x for x in step), step))
    return torch.tensor(offsets)


def find_voxels(centers: Tensor, offsets: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return flat indices (m, n) of the voxels at offsets (n, 3) from centers (m, 3), k, j, i.

    Beyond the border of the array they are those of its outermost voxels.
    """
    flat = torch.zeros(1, 1, dtype=torch.int64)
    for axis, size in enumerate(shape):
        along = (centers[:, None, axis] + offsets[None, :, axis]).clamp_(0, size - 1)
        flat = flat * size + along
    return flat


def standardize(patches: Tensor) -> Tensor:
    """Give each patch (..., n), in place, mean 0 and standard deviation 1; a constant one becomes 0."""
    count = patches.shape[-1]
    mean = patches.mean(-1, keepdim=True)
    patches.sub_(mean)
    norm = torch.linalg.vector_norm(patches, dim=-1, keepdim=True)
    # What is left of a constant patch is the rounding of its mean.
    is_flat = norm <= _ROUNDING * torch.finfo(patches.dtype).eps * count**0.5 * mean.abs()
    return patches.mul_(((count - 1) ** 0.5 / norm).masked_fill_(is_flat, 0.0))
