"""A result held against tolerances, of AAPM TG-132 or of a site: value, tolerance, source, never a verdict alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ..errors import InputError
from ..report.definition import Report, StructureReport
from .settings import REVIEW

SOURCE = "AAPM TG-132 (Brock et al., Med. Phys. 2017), table III"
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Tolerances:
    """Tolerances that a site can set. source: where those that differ from the default come from; may be empty.

    min_dice: of each structure. max_distance_mm: of mean distances and landmarks; a longer voxel edge takes its place.
    Raises InputError for a Dice beyond 0 to 1 and a distance that is not above 0.
    """

    min_dice: float = REVIEW.min_dice
    max_distance_mm: float = REVIEW.max_distance_mm
    source: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.min_dice <= 1:
            raise InputError(f"The tolerance of Dice is {self.min_dice:g}: choose a number from 0 to 1.")
        if not 0 < self.max_distance_mm < math.inf:
            raise InputError(f"The tolerance of distances is {self.max_distance_mm:g} mm: choose a length above 0.")

    @property
    def dice_source(self) -> str:
        """Where the tolerance of Dice comes from."""
        return SOURCE if self.min_dice == DEFAULTS.min_dice else self._site_source

    @property
    def distance_source(self) -> str:
        """Where the tolerance of distances comes from."""
        return SOURCE if self.max_distance_mm == DEFAULTS.max_distance_mm else self._site_source

    @property
    def _site_source(self) -> str:
        return self.source.strip() or "set at this site, without a source"

    def list_changes(self) -> list[str]:
        """Return one phrase for each tolerance that differs from the default."""
        pairs = (
            (self.min_dice, DEFAULTS.min_dice, "Dice ≥ {own:g} in place of {default:g}"),
            (self.max_distance_mm, DEFAULTS.max_distance_mm, "distances ≤ {own:g} mm in place of {default:g} mm"),
        )
        return [text.format(own=own, default=default) for own, default, text in pairs if own != default]


DEFAULTS = Tolerances()


@dataclass(frozen=True)
class ToleranceCheck:
    """One measure beside its tolerance and the source of that. is_within: None where there is no value."""

    measure: str
    value: str
    tolerance: str
    is_within: bool | None
    source: str = SOURCE


def check_tolerances(report: Report, tolerances: Tolerances = DEFAULTS) -> list[ToleranceCheck]:
    """Hold a report against the tolerances."""
    limit = compute_distance_tolerance(report, tolerances)
    structures, source = report["structures"] or [], tolerances.distance_source
    return [
        _check_jacobian(report),
        _check_worst_dice(structures, tolerances),
        _check_worst_distance(structures, limit, tolerances),
        replace(_check_landmarks(report, limit), source=source),
        replace(_check_consistency(report, limit), source=source),
    ]


def compute_distance_tolerance(report: Report, tolerances: Tolerances = DEFAULTS) -> float:
    """The longest voxel edge of both volumes, mm, or `max_distance_mm` if that is longer."""
    edges = [edge for volume in (report["fixed"], report["moving"]) for edge in volume["spacing_mm"]]
    return max(tolerances.max_distance_mm, *edges)


def _check_jacobian(report: Report) -> ToleranceCheck:
    jacobian = report["jacobian"]
    folding, minimum = jacobian["percent_nonpositive"], jacobian["minimum"]
    if folding is None or minimum is None:
        return ToleranceCheck("Jacobian determinant", NOT_MEASURED, "> 0 everywhere", None)
    value = f"least {minimum:.3f}, {folding:.3g} % folded"
    return ToleranceCheck("Jacobian determinant", value, "> 0 everywhere", folding == 0)


def _check_worst_dice(structures: list[StructureReport], tolerances: Tolerances) -> ToleranceCheck:
    measure, source, limit = "Dice, lowest of all structures", tolerances.dice_source, tolerances.min_dice
    found = {s["name"]: s["after"]["dice"] for s in structures}
    known = {name: dice for name, dice in found.items() if dice is not None}
    tolerance = f"≥ {limit:g}" + (" (0.8 to 0.9, by the contouring uncertainty)" if source == SOURCE else "")
    if not known:
        return ToleranceCheck(measure, NOT_MEASURED, tolerance, None, source)
    worst = min(known, key=lambda name: known[name])
    below = sum(dice < limit for dice in known.values())
    value = f"{known[worst]:.3f} ({worst}); {below} of {len(known)} below"
    return ToleranceCheck(measure, value, tolerance, below == 0, source)


def _check_worst_distance(structures: list[StructureReport], limit: float, tolerances: Tolerances) -> ToleranceCheck:
    found = {s["name"]: s["after"].get("mean_distance_mm") for s in structures}  # earlier versions have none
    known = {name: mm for name, mm in found.items() if mm is not None}
    tolerance = f"≤ {limit:.1f} mm (longest voxel edge, or {tolerances.max_distance_mm:g} mm)"
    measure, source = "Mean distance to agreement, largest of all structures", tolerances.distance_source
    if not known:
        return ToleranceCheck(measure, NOT_MEASURED, tolerance, None, source)
    worst = max(known, key=lambda name: known[name])
    above = sum(mm > limit for mm in known.values())
    value = f"{known[worst]:.2f} mm ({worst}); {above} of {len(known)} above"
    return ToleranceCheck(measure, value, tolerance, not above, source)


def _check_landmarks(report: Report, limit: float) -> ToleranceCheck:
    measure, tolerance = "Target registration error (landmarks)", f"≤ {limit:.1f} mm on average"
    if "landmarks" not in report:
        return ToleranceCheck(measure, NOT_MEASURED, tolerance, None)
    errors, count = report["landmarks"]["after"], report["landmarks"]["count"]
    value = f"mean {errors['mean_mm']:.2f} mm, largest {errors['max_mm']:.2f} mm, of {count}"
    return ToleranceCheck(measure, value, tolerance, errors["mean_mm"] <= limit)


def _check_consistency(report: Report, limit: float) -> ToleranceCheck:
    measure, tolerance = "Consistency with the opposite direction", f"≤ {limit:.1f} mm for 95 % of the places"
    if "consistency" not in report:
        return ToleranceCheck(measure, NOT_MEASURED, tolerance, None)
    found = report["consistency"]
    high = found["percentile_95_mm"]
    value = f"mean {found['mean_mm']:.2f} mm, 95 % below {high:.2f} mm, largest {found['maximum_mm']:.2f} mm"
    return ToleranceCheck(measure, value, tolerance, high <= limit)
