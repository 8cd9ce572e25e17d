"""The bars that our methods have to reach on the comparison's pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .statistics import Summary

OURS = ("ours-none", "ours-fast", "ours-best")
Summaries = Mapping[str, Mapping[str, Summary]]


@dataclass(frozen=True)
class Bar:
    """One bar: the value found, and whether it was reached (None: a row that it needs is missing)."""

    group: str
    method: str
    wanted: str
    found: str
    reached: bool | None


def bars(found: Summaries) -> list[Bar]:
    """Check all bars for the sets that were run. A peer's failed runs do not count against it."""
    known = [group for group, methods in found.items() if methods]
    result: list[Bar] = []
    if "brain" in known:
        result += _brain(found["brain"])
    if "lung" in known:
        result += [
            _at_most("lung", method, found["lung"], limit) for method, limit in (("ours-fast", 2.5), ("ours-best", 1.8))
        ]
    if "liver" in known:
        result += [_quarter(method, found["liver"]) for method in ("ours-fast", "ours-best")]
    for group in ("abdomen", "headneck"):
        if group in known:
            result += _beats(group, found[group])
    for group in known:
        result += _never_worse(group, found[group])
    return result


def _brain(methods: Mapping[str, Summary]) -> Iterator[Bar]:
    for method, peer, gain, measure, share in (
        ("ours-none", "syn", -0.01, "seconds", 40),
        ("ours-fast", "syn", 0.02, "seconds", 8),
        ("ours-best", "syn-cc", 0.0, "cpu_seconds", 15),
    ):
        title = {"syn": "SyN", "syn-cc": "SyN-CC"}[peer]
        offset = f" {'−' if gain < 0 else '+'} {abs(gain):.2f}" if gain else ""
        yield _dice_bar("brain", method, methods, peer, gain, f"Dice ≥ {title}{offset}")
        yield _time_bar(method, methods, peer, measure, share, title)
    yield from _no_folding("brain", methods)


def _dice_bar(group: str, method: str, methods: Mapping[str, Summary], peer: str, gain: float, wanted: str) -> Bar:
    ours, reference = _mean(methods, method, "dice"), _mean_of_good(methods, peer, "dice")
    if ours is None or reference is None or not _same_pairs(methods, method, peer):
        return _missing(group, method, wanted)
    return Bar(group, method, wanted, f"{ours:.4f}, {reference:.4f}", ours >= reference + gain)


def _time_bar(method: str, methods: Mapping[str, Summary], peer: str, measure: str, share: int, title: str) -> Bar:
    wanted = f"{'CPU' if measure == 'cpu_seconds' else 'wall'} time ≤ 1/{share} of {title}"
    ours, reference = _mean(methods, method, measure), _mean(methods, peer, measure)
    if not ours or reference is None or not _same_pairs(methods, method, peer):
        return _missing("brain", method, wanted)
    if methods[method].processors != methods[peer].processors:
        return Bar("brain", method, wanted, "not measured on one processor, see cpu_time.md", None)
    found = f"{ours:.2f} s of {reference:.1f} s: 1/{reference / ours:.1f}"
    return Bar("brain", method, wanted, found, ours * share <= reference)


def _no_folding(group: str, methods: Mapping[str, Summary]) -> Iterator[Bar]:
    for method in OURS:
        folding = _mean(methods, method, "folding_percent")
        if folding is None:
            yield _missing(group, method, "folding 0 %")
        else:
            yield Bar(group, method, "folding 0 %", f"{folding:.5f} %", folding == 0)


def _at_most(group: str, method: str, methods: Mapping[str, Summary], limit: float) -> Bar:
    wanted = f"TRE ≤ {limit} mm"
    tre = _mean(methods, method, "tre_mm")
    if tre is None:
        return _missing(group, method, wanted)
    return Bar(group, method, wanted, f"{tre:.2f} mm", tre <= limit)


def _quarter(method: str, methods: Mapping[str, Summary]) -> Bar:
    wanted = "TRE ≤ 1/4 of the start"
    tre, start = _mean(methods, method, "tre_mm"), _mean(methods, "none", "tre_mm")
    if tre is None or start is None or not _same_pairs(methods, method, "none"):
        return _missing("liver", method, wanted)
    return Bar("liver", method, wanted, f"{tre:.2f} of {start:.2f} mm", tre <= start / 4)


def _beats(group: str, methods: Mapping[str, Summary]) -> Iterator[Bar]:
    for method in ("ours-fast", "ours-best"):
        for peer, title in (("elastix", "elastix"), ("syn", "SyN, default"), ("syn-cc", "SyN-CC")):
            yield _dice_bar(group, method, methods, peer, 0.0, f"Dice ≥ {title}")
    yield from _no_folding(group, methods)


def _never_worse(group: str, methods: Mapping[str, Summary]) -> Iterator[Bar]:
    for method in OURS:
        worse = methods[method].below_affine if method in methods else None
        if worse is None or not methods[method].pairs:
            yield _missing(group, method, "no pair worse than affine")
        else:
            text = f"{len(worse)} of {methods[method].pairs}"
            yield Bar(group, method, "no pair worse than affine", text, not worse)


def _mean(methods: Mapping[str, Summary], method: str, measure: str) -> float | None:
    return methods[method].mean[measure] if method in methods else None


def _mean_of_good(methods: Mapping[str, Summary], method: str, measure: str) -> float | None:
    return methods[method].mean_of_good[measure] if method in methods else None


def _same_pairs(methods: Mapping[str, Summary], one: str, other: str) -> bool:
    return methods[one].pairs == methods[other].pairs


def _missing(group: str, method: str, wanted: str) -> Bar:
    return Bar(group, method, wanted, "not measured on the same pairs", None)
