"""Running the network on one pair of images."""

from __future__ import annotations

import torch

from ..errors import InputError
from .cascade import RecursiveCascade
from .flow_conversion import Deformation, compute_flow_geometry
from .grid import GridImage


def run_student(network: RecursiveCascade, fixed: GridImage, moving: GridImage, cascades: int | None) -> Deformation:
    """Predict the deformation of two images on the same grid, in bfloat16 where the CPU is fast at it.

    cascades: number of cascades to run, None as trained. Raises InputError if the prediction is not finite.
    """
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_fast_bfloat16()):
        flow, _ = network(
            fixed.tensor.to(memory_format=torch.channels_last_3d),
            moving.tensor.to(memory_format=torch.channels_last_3d),
            cascades,
        )
    if not torch.isfinite(flow).all():
        raise InputError("The network's output is not finite; check the intensities of the volumes.")
    return Deformation(flow.float(), compute_flow_geometry(fixed.geometry, flow.shape[2:]))


def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware (AVX-512 BF16 or AMX)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
