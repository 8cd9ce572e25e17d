"""Flows (displacements on a network grid, in voxels of that grid): warping, composition, exponential, resizing.

Tensors are (N, 3, D, H, W) with components along i, j, k (fastest axis first, as `grid_sample` orders them). A flow u
maps the voxel x of the fixed grid to x + u(x) in the moving grid. Grids of different resolution share their outer edges
(half-pixel convention), as the grids of a stride-2 convolution do: voxel h of the half grid lies at 2 h + 0.5 of the
full grid.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..sampling.trilinear import trilinear


@lru_cache(maxsize=16)
def voxel_grid(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Voxel coordinates (1, 3, D, H, W) of a grid, components i, j, k."""
    axes = [torch.arange(n, dtype=torch.float32, device=device) for n in shape]
    k, j, i = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([i, j, k])[None]


def sample(image: Tensor, coordinates: Tensor, *, mode: str = "bilinear", padding: str = "border") -> Tensor:
    """Sample images (N, C, D, H, W) at voxel coordinates (N, 3, d, h, w): (N, C, d, h, w).

    padding: `border` repeats the outermost voxel, `zeros` fades to 0 outside. Uses the own trilinear sampling where it
    applies (`core.sampling.trilinear`), else torch's `grid_sample`.
    """
    if _has_own_sampling(image, coordinates, mode):
        return trilinear(image, coordinates, fade_to_zero=padding == "zeros")
    size = torch.tensor(image.shape[:1:-1], dtype=coordinates.dtype, device=image.device)
    normalized = (coordinates.movedim(1, -1) + 0.5) * (2 / size) - 1
    return F.grid_sample(image, normalized, mode=mode, padding_mode=padding, align_corners=False)


def warp(image: Tensor, flow: Tensor, *, mode: str = "bilinear", padding: str = "border") -> Tensor:
    """Warp the image (N, C, D, H, W): its value at x + flow(x) for each voxel x of the flow (N, 3, d, h, w)."""
    if _has_own_sampling(image, flow, mode):
        grid = voxel_grid(tuple(flow.shape[2:]), flow.device)
        return trilinear(image, flow, grid, fade_to_zero=padding == "zeros")
    coordinates = voxel_grid(tuple(flow.shape[2:]), flow.device) + flow
    return sample(image, coordinates, mode=mode, padding=padding)


def _has_own_sampling(image: Tensor, positions: Tensor, mode: str) -> bool:
    is_plain = all(t.device.type == "cpu" and t.dtype == torch.float32 for t in (image, positions))
    return is_plain and mode == "bilinear"


def compose(previous: Tensor, new: Tensor) -> Tensor:
    """Compose two flows, x -> previous(new(x)): warp(previous, new) + new (Zhao et al., ICCV 2019, eq. 5)."""
    return warp(previous, new) + new


def exponential(velocity: Tensor, squarings: int) -> Tensor:
    """Integrate a stationary velocity over unit time by scaling and squaring (Arsigny et al., MICCAI 2006)."""
    flow = velocity / 2**squarings
    for _ in range(squarings):
        flow = compose(flow, flow)
    return flow


def resize_flow(flow: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Resample a flow to another resolution of the same field of view, in voxels of the new grid."""
    if tuple(flow.shape[2:]) == tuple(shape):
        return flow
    ratio = [new / old for new, old in zip(shape[::-1], flow.shape[:1:-1], strict=True)]
    scaled = flow * torch.tensor(ratio, dtype=flow.dtype, device=flow.device).view(1, 3, 1, 1, 1)
    return F.interpolate(scaled, size=shape, mode="trilinear", align_corners=False)
