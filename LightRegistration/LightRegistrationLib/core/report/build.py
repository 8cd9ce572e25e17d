"""The numbers of a registration as a plain dictionary (report.json, the panel's table); the schema is in the README."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..geometry.transforms import AffineTransform
from ..geometry.volume import Volume
from ..result.result import (
    NO_GUIDANCE,
    Guidance,
    JacobianSummary,
    Overlap,
    PreservedVolume,
    RefinementSummary,
    RegistrationResult,
    StructureScore,
    mean_overlap,
)

SCHEMA_VERSION = 1


def build_report(
    fixed: Volume,
    moving: Volume,
    result: RegistrationResult,
    scores: Sequence[StructureScore] | None,
    guidance: Guidance = NO_GUIDANCE,
) -> dict[str, Any]:
    """Everything worth knowing about one registration; scores None where no segmentations were given.

    guidance: what the registration was given; the report names its masks.
    Numbers that are not defined (HD95 of an empty structure) become None, so that the report is valid JSON.
    """
    settings = result.settings
    initial = "transform" if isinstance(settings.initial, AffineTransform) else settings.initial
    return {
        "schema": SCHEMA_VERSION,
        "fixed": _describe(fixed),
        "moving": _describe(moving),
        "model": {"name": result.model, "weights_sha256": result.weights_sha256, "reason": result.model_reason},
        "settings": {
            "model": settings.model,
            "cascades": settings.cascades,
            "initial": initial,
            "threads": settings.threads,
            "refine": settings.refine,
            "keep_volume": list(settings.keep_volume),
        },
        "masks": {
            role: None if mask is None else mask.name
            for role, mask in (("fixed", guidance.fixed_mask), ("moving", guidance.moving_mask))
        },
        "initial_matrix_fixed_to_moving_ras_mm": result.initial.matrix.tolist(),
        "seconds": {name: round(value, 4) for name, value in result.seconds.items()},
        "jacobian": _numbers(result.jacobian),
        "refinement": None if result.refinement is None else _numbers(result.refinement),
        "kept": [_numbers(kept) for kept in result.kept],
        "structures": None if scores is None else [_structure(s) for s in scores],
        "mean": None if scores is None else _mean(scores),
        "warnings": list(result.warnings),
    }


def _describe(volume: Volume) -> dict[str, Any]:
    geometry = volume.geometry
    return {
        "name": volume.name,
        "size_ijk": [int(n) for n in geometry.size_ijk],
        "spacing_mm": [round(float(s), 6) for s in geometry.spacing_mm],
        "affine_ijk_to_ras_mm": geometry.affine.tolist(),
        "type": str(volume.array.dtype),
    }


def _structure(score: StructureScore) -> dict[str, Any]:
    return {
        "name": score.name,
        "value": score.value,
        "fixed_voxels": score.fixed_voxels,
        "before": _numbers(score.before),
        "after": _numbers(score.after),
    }


def _mean(scores: Sequence[StructureScore]) -> dict[str, Any]:
    return {
        "before": _numbers(mean_overlap([s.before for s in scores])),
        "after": _numbers(mean_overlap([s.after for s in scores])),
    }


def _numbers(values: JacobianSummary | PreservedVolume | Overlap | RefinementSummary) -> dict[str, Any]:
    """A flat dataclass as JSON: numbers rounded, None for those that are not defined."""
    return {name: _number(value) if isinstance(value, float) else value for name, value in asdict(values).items()}


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
