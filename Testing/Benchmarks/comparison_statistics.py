"""Means, ratios and paired differences of the comparison's rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

Row = dict[str, Any]
MEASURES = (
    "dice",
    "hd95_mm",
    "tre_mm",
    "folding_percent",
    "std_log_jacobian",
    "seconds",
    "cpu_seconds",
    "peak_mb",
)
LESS_IS_BETTER = ("hd95_mm", "tre_mm")
CONFIDENCE = 0.95
REFERENCE = "syn"


@dataclass(frozen=True)
class Summary:
    """One method on one set.

    mean: over the pairs, of every measure that there is. dice30: the pair at 30 % from the worst, as in Learn2Reg.
    below_affine: pairs whose Dice is below, or whose TRE is above, that of our affine stage; None if that was not run.
    wall_ratio, cpu_ratio: to ANTs SyN by default, of the sums over the pairs that both have. errors: why rows failed.
    """

    group: str
    method: str
    pairs: int
    mean: dict[str, float | None]
    dice30: float | None
    below_affine: tuple[str, ...] | None
    wall_ratio: float | None
    cpu_ratio: float | None
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """Ours less a peer's, over the pairs that both have: mean and 95 % interval (None for a single pair)."""

    group: str
    ours: str
    peer: str
    measure: str
    pairs: int
    mean: float
    low: float | None
    high: float | None
    better: int

    @property
    def verdict(self) -> str:
        """Which of the two is better, as far as the interval tells."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "open"
        return "ours" if (self.mean < 0) == (self.measure in LESS_IS_BETTER) else "peer"


def by_method(rows: Sequence[Row], group: str) -> dict[str, dict[str, Row]]:
    """The good rows of a set, by method and pair, in the order in which they came."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row["set"] == group:
            own = found.setdefault(row["method"], {})
            if not row.get("error"):
                own[row["pair"]] = row
    return found


def summarize(rows: Sequence[Row], group: str) -> dict[str, Summary]:
    """Every method of a set."""
    methods = by_method(rows, group)
    found = {}
    for method, own in methods.items():
        dice = [row["dice"] for row in own.values() if row["dice"] is not None]
        errors = (r["error"] for r in rows if r["set"] == group and r["method"] == method and r.get("error"))
        found[method] = Summary(
            group,
            method,
            len(own),
            {measure: _mean([row[measure] for row in own.values()]) for measure in MEASURES},
            float(np.quantile(dice, 0.3)) if dice else None,
            below_affine(own, methods["affine"]) if methods.get("affine") else None,
            *(_ratio(own, methods.get(REFERENCE, {}), measure) for measure in ("seconds", "cpu_seconds")),
            tuple(errors),
        )
    return found


def below_affine(own: dict[str, Row], affine: dict[str, Row]) -> tuple[str, ...]:
    """The pairs on which a method is worse than our affine stage."""
    return tuple(
        pair
        for pair in own
        if pair in affine
        and any(_better(measure, affine[pair][measure], own[pair][measure]) for measure in ("dice", "tre_mm"))
    )


def difference(rows: Sequence[Row], group: str, ours: str, peer: str, measure: str) -> Difference | None:
    """The paired difference of two methods in a measure; None where they have no pair in common.

    The interval is Student's t of the differences: with two to twenty pairs, a bootstrap's would be too narrow.
    """
    methods = by_method(rows, group)
    first, second = methods.get(ours, {}), methods.get(peer, {})
    values = [
        (first[pair][measure], second[pair][measure])
        for pair in first
        if pair in second and None not in (first[pair][measure], second[pair][measure])
    ]
    if not values:
        return None
    gains = np.array([a - b for a, b in values])
    half = half_width(gains)
    mean = float(gains.mean())
    low, high = (None, None) if half is None else (mean - half, mean + half)
    better = sum(_better(measure, a, b) for a, b in values)
    return Difference(group, ours, peer, measure, len(values), mean, low, high, better)


def half_width(values: np.ndarray) -> float | None:
    """Half of the 95 % confidence interval of a mean; None for a single value."""
    if len(values) < 2:
        return None
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))


def _better(measure: str, one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return False
    return one < other if measure in LESS_IS_BETTER else one > other


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _ratio(own: dict[str, Row], reference: dict[str, Row], measure: str) -> float | None:
    shared = [pair for pair in own if pair in reference]
    if not shared:
        return None
    return sum(own[pair][measure] for pair in shared) / sum(reference[pair][measure] for pair in shared)
