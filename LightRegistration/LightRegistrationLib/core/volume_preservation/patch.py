"""The correction in one region: a map psi that changes volumes back, applied before the field.

Each step of psi is a gradient flow (no rotation), so that position, shape and outline change as little as the volume
allows. Around the structures psi fades to the identity.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from scipy.fft import next_fast_len
from torch import Tensor

from ..geometry.geometry import FloatArray, Geometry
from ..geometry.transforms import DisplacementField
from ..network.flows import compose, exponential, warp
from .measures import compute_log_determinants, make_soft_masks
from .region import Region
from .settings import VOLUME_PRESERVATION


class Patch:
    """The part of a field around a region, and psi on its nodes (1, 3, D, H, W), in voxels of the field's grid."""

    def __init__(self, region: Region, uncorrected: DisplacementField) -> None:
        self.group = region.group
        self.uncorrected = uncorrected
        self.displacements = torch.from_numpy(np.array(uncorrected.array)).movedim(-1, 0)[None]
        self.psi = torch.zeros_like(self.displacements)
        grid = uncorrected.geometry
        inner, margin = region.compute_inner_mm(grid), region.compute_margin_mm(grid)
        self.window = _make_window(make_soft_masks(region.group, uncorrected), grid, inner, margin)
        sizes = zip(uncorrected.array.shape[:3], grid.spacing_mm[::-1], strict=True)
        self.padded = [next_fast_len(n + int(np.ceil(margin / s))) for n, s in sizes]

    def make_field(self) -> DisplacementField:
        """Compose the uncorrected field with psi; outside the window the result is bit-identical to the former."""
        linear = torch.from_numpy(self.uncorrected.affine[:3, :3].astype(np.float32))
        moved = warp(self.displacements, self.psi) + torch.einsum("ab,nbdhw->nadhw", linear, self.psi)
        array = torch.where(self.window > 0, moved, self.displacements)[0].movedim(0, -1)
        return DisplacementField(array.numpy(), self.uncorrected.affine)

    def advance(self, current: DisplacementField, errors: FloatArray, *, make_uniform: bool) -> None:
        """Take one step of psi that corrects the error of each structure's volume.

        current: the field with psi as it is. errors: logarithm of each structure's volume over the wanted one.
        make_uniform: also make the determinant uniform inside the structures. (It never becomes quite uniform at their
        edge: done in the last steps, this would work against the volume.)
        """
        masks = make_soft_masks(self.group, current)[0]
        wanted = torch.from_numpy(errors.astype(np.float32)).view(-1, 1, 1, 1)
        if make_uniform:
            logs = compute_log_determinants(current, self.group)
            means = (masks * logs).sum((1, 2, 3)) / masks.sum((1, 2, 3)).clamp(min=1e-6)
            wanted = wanted + means.view(-1, 1, 1, 1) - logs
        total = masks.sum(0)
        growth = (masks * wanted).sum(0) / total.clamp(min=1)
        limit = VOLUME_PRESERVATION.max_step_log_volume
        step = _compute_gradient_flow(growth.clamp(-limit, limit), self.uncorrected.geometry, self.padded)
        self.psi = compose(self.psi, exponential(step * self.window, VOLUME_PRESERVATION.squarings))


def _make_window(masks: Tensor, grid: Geometry, inner_mm: float, margin_mm: float) -> Tensor:
    """Return where psi may act (1, 1, D, H, W): 1 in and near the structures, falling smoothly to 0 over the margin."""
    outside = (masks.amax((0, 1)) < 0.5).numpy()
    distance = torch.from_numpy(ndimage.distance_transform_edt(outside, sampling=grid.spacing_mm[::-1])).float()
    fall = ((distance - inner_mm) / margin_mm).clamp(0, 1)
    return (0.5 + 0.5 * torch.cos(torch.pi * fall)).where(fall < 1, 0.0)[None, None]


def _compute_gradient_flow(growth: Tensor, grid: Geometry, padded: list[int]) -> Tensor:
    """Compute the velocity (1, 3, D, H, W), in voxels, that is a gradient and has the divergence `growth` (D, H, W).

    Solved by Fourier transform. The divergence is blurred by one node, so that the grid can represent the result.
    """
    spectrum = torch.fft.rfftn(growth, s=padded)
    k, j, i = (2 * torch.pi * torch.fft.fftfreq(n) for n in padded)
    waves = [i[: spectrum.shape[2]].abs().view(1, 1, -1), j.view(1, -1, 1), k.view(-1, 1, 1)]
    spacing = [float(s) for s in grid.spacing_mm]
    square = sum(((wave / s) ** 2 for wave, s in zip(waves, spacing, strict=True)), start=torch.zeros(()))
    blur = torch.exp(-0.5 * sum((wave**2 for wave in waves), start=torch.zeros(())))
    square[0, 0, 0] = 1
    potential = -spectrum * blur / square
    potential[0, 0, 0] = 0
    depth, rows, columns = growth.shape
    flow = [
        torch.fft.irfftn(1j * wave / s**2 * potential, s=padded)[:depth, :rows, :columns]
        for wave, s in zip(waves, spacing, strict=True)
    ]
    return torch.stack(flow)[None]
