"""Builds the report of a registration (report.json, the panel's table) from its result and scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..geometry.transforms import AffineTransform
from ..geometry.volume import Volume
from ..result.result import (
    ChangedPlace,
    ConsistencySummary,
    DisplacementSummary,
    JacobianSummary,
    PreservedVolume,
    RefinementSummary,
    RegistrationResult,
)
from ..result.scores import LandmarkErrors, Overlap, StructureScore, mean_overlap
from ..result.settings import NO_GUIDANCE, Guidance, RegistrationSettings
from .definition import (
    SCHEMA_VERSION,
    ChangedPlaceReport,
    FollowUpReport,
    InitialChoice,
    JacobianReport,
    LandmarkErrorsReport,
    LandmarksReport,
    MeanReport,
    OverlapReport,
    PreservedVolumeReport,
    RefinementReport,
    Report,
    SettingsReport,
    StructureReport,
    VolumeReport,
)

FOLLOW_UP_NOTE = (
    "Follow-up: what changed between the two scans is kept, not erased. Tissue that only one of them shows drives no "
    "deformation; the warped volume shows it with the size that it has in the moving volume. The list is no diagnosis: "
    "noise, motion and artifacts can be in it, and faint or small changes can be missing."
)


def build_report(
    fixed: Volume,
    moving: Volume,
    result: RegistrationResult,
    scores: Sequence[StructureScore] | None,
    guidance: Guidance = NO_GUIDANCE,
) -> Report:
    """Return the report of one registration; scores None if no segmentations were given.

    guidance: what the registration was given; the report names its masks. Undefined numbers (HD95 of an empty
    structure) become None, so that the report is valid JSON.
    """
    return {
        "schema": SCHEMA_VERSION,
        "fixed": _describe_volume(fixed),
        "moving": _describe_volume(moving),
        "model": {"name": result.model, "weights_sha256": result.weights_sha256, "reason": result.model_reason},
        "settings": _describe_settings(result.settings),
        "masks": {
            "fixed": None if guidance.fixed_mask is None else guidance.fixed_mask.name,
            "moving": None if guidance.moving_mask is None else guidance.moving_mask.name,
        },
        "initial_matrix_fixed_to_moving_ras_mm": result.initial.matrix.tolist(),
        "seconds": {str(name): round(value, 4) for name, value in result.seconds.items()},
        "jacobian": _describe_jacobian(result.jacobian),
        "displacement": _describe_lengths(result.displacement),
        "refinement": None if result.refinement is None else _describe_refinement(result.refinement),
        "kept": [_describe_preserved(structure) for structure in result.preserved_volumes],
        "follow_up": None if result.changes is None else _describe_follow_up(result.changes),
        "structures": None if scores is None else [_describe_structure(score) for score in scores],
        "mean": None if scores is None else _average(scores),
        "warnings": list(result.warnings),
    }


def add_consistency(report: Report, consistency: ConsistencySummary) -> Report:
    """Return a report with the agreement of a registration in the opposite direction."""
    return {**report, "consistency": _describe_lengths(consistency)}


def add_warning(report: Report, warning: str) -> Report:
    """Return a report with one more warning."""
    return {**report, "warnings": [*report["warnings"], warning]}


def _describe_lengths(lengths: DisplacementSummary | ConsistencySummary) -> Any:
    return {name: round(value, 6) for name, value in asdict(lengths).items()}


def describe_landmarks(count: int, before: LandmarkErrors, after: LandmarkErrors) -> LandmarksReport:
    """Return the part of the report about landmarks; before: as loaded, after: after registration."""
    return {"count": count, "before": _describe_errors(before), "after": _describe_errors(after)}


def _describe_errors(errors: LandmarkErrors) -> LandmarkErrorsReport:
    return {"mean_mm": round(errors.mean_mm, 6), "max_mm": round(errors.max_mm, 6)}


def _describe_volume(volume: Volume) -> VolumeReport:
    geometry = volume.geometry
    return {
        "name": volume.name,
        "size_ijk": [int(n) for n in geometry.size_ijk],
        "spacing_mm": [round(float(s), 6) for s in geometry.spacing_mm],
        "affine_ijk_to_ras_mm": geometry.affine.tolist(),
        "type": str(volume.array.dtype),
    }


def _describe_settings(settings: RegistrationSettings) -> SettingsReport:
    transform = settings.initial if isinstance(settings.initial, AffineTransform) else None
    return {
        "model": settings.model,
        "cascades": settings.cascades,
        "initial": InitialChoice(str(settings.initial)) if transform is None else InitialChoice.TRANSFORM,
        "initial_transform": None if transform is None else transform.name or None,
        "threads": settings.threads,
        "refine": settings.refine,
        "keep_volume": list(settings.keep_volume),
        "follow_up": settings.follow_up,
    }


def _describe_jacobian(jacobian: JacobianSummary) -> JacobianReport:
    return {
        "percent_nonpositive": _round(jacobian.percent_nonpositive),
        "minimum": _round(jacobian.minimum),
        "std_log": _round(jacobian.std_log),
        "percentile_1": _round(jacobian.percentile_1),
        "percentile_99": _round(jacobian.percentile_99),
    }


def _describe_refinement(refinement: RefinementSummary) -> RefinementReport:
    return {
        "preset": refinement.preset,
        "metric": refinement.metric,
        "steps": refinement.steps,
        "ended": refinement.ended,
        "similarity_before": _round(refinement.similarity_before),
        "similarity_after": _round(refinement.similarity_after),
    }


def _describe_preserved(structure: PreservedVolume) -> PreservedVolumeReport:
    return {
        "name": structure.name,
        "change_percent_free": _round(structure.change_percent_free),
        "change_percent": _round(structure.change_percent),
    }


def _describe_follow_up(changes: Sequence[ChangedPlace]) -> FollowUpReport:
    return {"note": FOLLOW_UP_NOTE, "changes": [_describe_change(change) for change in changes]}


def _describe_change(change: ChangedPlace) -> ChangedPlaceReport:
    return {
        "kind": change.kind,
        "position_ras_mm": [round(value, 2) for value in change.position_mm],
        "volume_mm3": round(change.volume_mm3, 1),
    }


def _describe_structure(score: StructureScore) -> StructureReport:
    return {
        "name": score.name,
        "value": score.value,
        "fixed_voxels": score.fixed_voxels,
        "before": _describe_overlap(score.before),
        "after": _describe_overlap(score.after),
    }


def _average(scores: Sequence[StructureScore]) -> MeanReport:
    return {
        "before": _describe_overlap(mean_overlap([s.before for s in scores])),
        "after": _describe_overlap(mean_overlap([s.after for s in scores])),
    }


def _describe_overlap(overlap: Overlap) -> OverlapReport:
    return {
        "dice": _round(overlap.dice),
        "jaccard": _round(overlap.jaccard),
        "mean_distance_mm": _round(overlap.mean_distance_mm),
        "hd95_mm": _round(overlap.hd95_mm),
        "volume_change_percent": _round(overlap.volume_change_percent),
    }


def _round(value: float) -> float | None:
    """Six decimals; None for a number that is not defined."""
    return round(value, 6) if math.isfinite(value) else None
