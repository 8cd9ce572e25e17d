"""The student's pass over one pair on its grid."""

from __future__ import annotations

import torch

from ..errors import InputError
from ..models.registry import Student
from ..refinement.optimizer import Deformation
from .flow_conversion import compute_flow_geometry
from .grid import GridImage


def run_student(student: Student, target: GridImage, source: GridImage, cascades: int | None) -> Deformation:
    """What the student finds for two images on one grid. cascades: None as trained.

    Raises InputError where its answer is not finite.
    """
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_fast_bfloat16()):
        flow, _ = student.network(
            target.tensor.to(memory_format=torch.channels_last_3d),
            source.tensor.to(memory_format=torch.channels_last_3d),
            cascades,
        )
    if not torch.isfinite(flow).all():
        raise InputError("The network's answer is not finite; check the intensities of the volumes.")
    return Deformation(flow.float(), compute_flow_geometry(target.geometry, flow.shape[2:]))


def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware (AVX-512 BF16 or AMX)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
