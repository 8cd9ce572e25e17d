"""Images and flows between the grids of coarse-to-fine cascades, all of them with the same outer edges.

A coarse grid has voxels `factor` times as long; each of them is the mean of the fine voxels that it covers. The network
needs axes that are multiples of its stride, so coarse images are padded behind their last voxels, and flows are cropped
and padded in the same way between two grids.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .flows import resize_flow
from .light_network import STRIDE

Shape = tuple[int, int, int]


def average_image(image: Tensor, factor: int) -> Tensor:
    """Average blocks of factor³ voxels of an image (N, C, D, H, W), then pad with zeros to multiples of the stride.

    factor: divides the stride, so that it divides every axis.
    """
    if factor == 1:
        return image
    averaged = F.avg_pool3d(image, factor)
    return F.pad(averaged, _behind([-n % STRIDE for n in averaged.shape[2:]]))


def move_flow(flow: Tensor, factor: int, shape: Shape, new_factor: int) -> Tensor:
    """Bring a flow from the half grid of one level to that of another, in voxels of the new half grid.

    flow: (N, 3, ...) on the padded half grid of a level with this factor. shape: axes (D, H, W) of the finest grid.
    Behind the edge the outermost flow is repeated.
    """
    if factor == new_factor:
        return flow
    d, h, w = (n // (2 * factor) for n in shape)
    half = tuple(n // (2 * new_factor) for n in shape)
    moved = resize_flow(flow[:, :, :d, :h, :w], half)
    padding = _behind([-n % (STRIDE // 2) for n in half])
    return F.pad(moved, padding, mode="replicate") if any(padding) else moved


def _behind(voxels: list[int]) -> list[int]:
    """Padding behind the last voxel of each axis (D, H, W), in the order of `torch.nn.functional.pad`."""
    d, h, w = voxels
    return [0, w, 0, h, 0, d]
