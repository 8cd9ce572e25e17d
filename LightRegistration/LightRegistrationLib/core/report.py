"""The numbers of a registration as a plain dictionary (report.json, the panel's table); the schema is in the README."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from .field import AffineTransform
from .result import Overlap, RegistrationResult, StructureScore, mean_overlap
from .volume import Volume

SCHEMA_VERSION = 1


def build_report(
    fixed: Volume, moving: Volume, result: RegistrationResult, scores: Sequence[StructureScore] | None
) -> dict[str, Any]:
    """Everything worth knowing about one registration; scores None where no segmentations were given.

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
        },
        "initial_matrix_fixed_to_moving_ras_mm": result.initial.matrix.tolist(),
        "seconds": {name: round(value, 4) for name, value in result.seconds.items()},
        "jacobian": {name: _number(value) for name, value in asdict(result.jacobian).items()},
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
        "before": _overlap(score.before),
        "after": _overlap(score.after),
    }


def _mean(scores: Sequence[StructureScore]) -> dict[str, Any]:
    return {
        "before": _overlap(mean_overlap([s.before for s in scores])),
        "after": _overlap(mean_overlap([s.after for s in scores])),
    }


def _overlap(overlap: Overlap) -> dict[str, float | None]:
    return {name: _number(value) for name, value in asdict(overlap).items()}


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
