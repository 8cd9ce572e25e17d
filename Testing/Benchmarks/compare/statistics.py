"""Means, medians, failures, ratios and paired differences of the comparison's rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from failures import failure_reason
from scipy import stats

Row = dict[str, Any]
Values = dict[str, float | None]
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
REFERENCE, UNREGISTERED, AFFINE = "syn", "none", "affine"


@dataclass(frozen=True)
class Summary:
    """One method on one set.

    pairs: that have a result. mean, median: over these pairs, of every measure that there is. mean_of_good: the mean
    without the failed runs. failures: by pair, why its run counts as failed (`failures.py`); those without a result
    are also in errors. dice30: the pair at 30 % from the worst, as in Learn2Reg. below_affine: pairs whose Dice is
    below, or whose TRE is above, that of our affine stage; None if that was not run. wall_ratio, cpu_ratio: to ANTs
    SyN by default, of the sums over the pairs that both have; None if they were not measured on one processor.
    processors: those of its rows, "" for a row that does not name it.
    """

    group: str
    method: str
    pairs: int
    mean: Values
    dice30: float | None
    below_affine: tuple[str, ...] | None
    wall_ratio: float | None
    cpu_ratio: float | None
    errors: tuple[str, ...] = ()
    median: Values = field(default_factory=dict)
    mean_of_good: Values = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    processors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """Ours minus a peer's, over the pairs where neither failed: mean and 95 % interval (None for a single pair)."""

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
    """Group the rows of a set that have a result by method and pair, in the order in which they came."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row["set"] == group:
            own = found.setdefault(row["method"], {})
            if not row.get("error"):
                own[row["pair"]] = row
    return found


def failures_of(rows: Sequence[Row], group: str) -> dict[str, dict[str, str]]:
    """Find the failed runs of a set: by method and pair, the reason."""
    loaded = by_method(rows, group).get(UNREGISTERED, {})
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["set"] == group:
            before = loaded.get(row["pair"], {})
            reason = failure_reason(
                error=row.get("error") or "",
                **{name: row.get(name) for name in ("dice", "tre_mm", "folding_percent")},
                loaded_dice=before.get("dice"),
                loaded_tre_mm=before.get("tre_mm"),
            )
            own = found.setdefault(row["method"], {})
            if reason:
                own[row["pair"]] = reason
    return found


def summarize(rows: Sequence[Row], group: str) -> dict[str, Summary]:
    """Summarize every method of a set."""
    methods, failures = by_method(rows, group), failures_of(rows, group)
    return {method: _summary(rows, group, method, methods, failures[method]) for method in methods}


def _summary(
    rows: Sequence[Row], group: str, method: str, methods: dict[str, dict[str, Row]], failed: dict[str, str]
) -> Summary:
    own = methods[method]
    good = [row for pair, row in own.items() if pair not in failed]
    dice = [row["dice"] for row in own.values() if row["dice"] is not None]
    errors = (r["error"] for r in rows if r["set"] == group and r["method"] == method and r.get("error"))
    return Summary(
        group,
        method,
        len(own),
        {measure: _mean([row[measure] for row in own.values()]) for measure in MEASURES},
        float(np.quantile(dice, 0.3)) if dice else None,
        below_affine(own, methods[AFFINE]) if methods.get(AFFINE) else None,
        *(_ratio(own, methods.get(REFERENCE, {}), measure) for measure in ("seconds", "cpu_seconds")),
        tuple(errors),
        {measure: _median([row[measure] for row in own.values()]) for measure in MEASURES},
        {measure: _mean([row[measure] for row in good]) for measure in MEASURES},
        failed,
        tuple(sorted({row.get("processor") or "" for row in own.values()})),
    )


def below_affine(own: dict[str, Row], affine: dict[str, Row]) -> tuple[str, ...]:
    """Find the pairs on which a method is worse than our affine stage."""
    return tuple(
        pair
        for pair in own
        if pair in affine
        and any(_is_better(measure, affine[pair][measure], own[pair][measure]) for measure in ("dice", "tre_mm"))
    )


def difference(rows: Sequence[Row], group: str, ours: str, peer: str, measure: str) -> Difference | None:
    """Compute the paired difference of two methods in a measure; None where they have no pair in common.

    Pairs on which one of the two failed are left out: they are counted as failures. The interval is Student's t of
    the differences: with two to twenty pairs, a bootstrap's would be too narrow.
    """
    methods, failures = by_method(rows, group), failures_of(rows, group)
    first, second = methods.get(ours, {}), methods.get(peer, {})
    failed = {*failures.get(ours, ()), *failures.get(peer, ())}
    values = [
        (first[pair][measure], second[pair][measure])
        for pair in first
        if pair in second and pair not in failed and None not in (first[pair][measure], second[pair][measure])
    ]
    if not values:
        return None
    gains = np.array([a - b for a, b in values])
    half = half_width(gains)
    mean = float(gains.mean())
    low, high = (None, None) if half is None else (mean - half, mean + half)
    better = sum(_is_better(measure, a, b) for a, b in values)
    return Difference(group, ours, peer, measure, len(values), mean, low, high, better)


def half_width(values: np.ndarray) -> float | None:
    """Return half of the 95 % confidence interval of a mean; None for a single value."""
    if len(values) < 2:
        return None
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))


def _is_better(measure: str, one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return False
    return one < other if measure in LESS_IS_BETTER else one > other


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float | None]) -> float | None:
    return float(np.mean(_known(values))) if _known(values) else None


def _median(values: Sequence[float | None]) -> float | None:
    return float(np.median(_known(values))) if _known(values) else None


def _ratio(own: dict[str, Row], reference: dict[str, Row], measure: str) -> float | None:
    shared = [pair for pair in own if pair in reference]
    processors = {row.get("processor") for pair in shared for row in (own[pair], reference[pair])}
    if not shared or len(processors) != 1 or processors == {""}:
        return None
    return sum(own[pair][measure] for pair in shared) / sum(reference[pair][measure] for pair in shared)
