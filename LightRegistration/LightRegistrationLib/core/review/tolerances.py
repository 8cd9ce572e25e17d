"""A result held against the tolerances of AAPM TG-132: value, tolerance and source, never a verdict alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..report.definition import Report, StructureReport
from .settings import REVIEW

SOURCE = "AAPM TG-132 (Brock et al., Med. Phys. 2017), table III"
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class ToleranceCheck:
    """One measure beside its tolerance. is_within: None where there is no value."""

    measure: str
    value: str
    tolerance: str
    is_within: bool | None


def check_tolerances(report: Report, mean_distances_mm: Mapping[int, float]) -> list[ToleranceCheck]:
    """Hold a report, and the mean distances to agreement by label value, against the tolerances."""
    limit = compute_distance_tolerance(report)
    structures = report["structures"] or []
    return [
        _check_jacobian(report),
        _check_worst_dice(structures),
        _check_worst_distance(structures, mean_distances_mm, limit),
        _check_landmarks(report, limit),
        ToleranceCheck("Consistency with the opposite direction", NOT_MEASURED, f"≤ {limit:.1f} mm", None),
    ]


def compute_distance_tolerance(report: Report) -> float:
    """The longest voxel edge of both volumes, mm, or `max_distance_mm` if that is longer."""
    edges = [edge for volume in (report["fixed"], report["moving"]) for edge in volume["spacing_mm"]]
    return max(REVIEW.max_distance_mm, *edges)


def _check_jacobian(report: Report) -> ToleranceCheck:
    jacobian = report["jacobian"]
    folding, minimum = jacobian["percent_nonpositive"], jacobian["minimum"]
    if folding is None or minimum is None:
        return ToleranceCheck("Jacobian determinant", NOT_MEASURED, "> 0 everywhere", None)
    value = f"least {minimum:.3f}, {folding:.3g} % folded"
    return ToleranceCheck("Jacobian determinant", value, "> 0 everywhere", folding == 0)


def _check_worst_dice(structures: list[StructureReport]) -> ToleranceCheck:
    found = {s["name"]: s["after"]["dice"] for s in structures}
    known = {name: dice for name, dice in found.items() if dice is not None}
    tolerance = f"≥ {REVIEW.min_dice} (0.8 to 0.9, by the contouring uncertainty)"
    if not known:
        return ToleranceCheck("Dice, lowest of all structures", NOT_MEASURED, tolerance, None)
    worst = min(known, key=lambda name: known[name])
    below = sum(dice < REVIEW.min_dice for dice in known.values())
    value = f"{known[worst]:.3f} ({worst}); {below} of {len(known)} below"
    return ToleranceCheck("Dice, lowest of all structures", value, tolerance, below == 0)


def _check_worst_distance(
    structures: list[StructureReport], distances_mm: Mapping[int, float], limit: float
) -> ToleranceCheck:
    names = {s["value"]: s["name"] for s in structures}
    known = {names[value]: mm for value, mm in distances_mm.items() if value in names and math.isfinite(mm)}
    tolerance = f"≤ {limit:.1f} mm (longest voxel edge, or {REVIEW.max_distance_mm:g} mm)"
    measure = "Mean distance to agreement, largest of all structures"
    if not known:
        return ToleranceCheck(measure, NOT_MEASURED, tolerance, None)
    worst = max(known, key=lambda name: known[name])
    above = sum(mm > limit for mm in known.values())
    return ToleranceCheck(
        measure, f"{known[worst]:.2f} mm ({worst}); {above} of {len(known)} above", tolerance, not above
    )


def _check_landmarks(report: Report, limit: float) -> ToleranceCheck:
    measure, tolerance = "Target registration error (landmarks)", f"≤ {limit:.1f} mm on average"
    if "landmarks" not in report:
        return ToleranceCheck(measure, NOT_MEASURED, tolerance, None)
    errors, count = report["landmarks"]["after"], report["landmarks"]["count"]
    value = f"mean {errors['mean_mm']:.2f} mm, largest {errors['max_mm']:.2f} mm, of {count}"
    return ToleranceCheck(measure, value, tolerance, errors["mean_mm"] <= limit)
