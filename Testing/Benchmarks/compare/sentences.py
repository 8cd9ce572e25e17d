"""The results in sentences, each of which follows from the tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from peers.registry import METHODS

from .bars import OURS, Summaries
from .plan import SETS
from .statistics import AFFINE, UNREGISTERED, Difference


def sentences(found: Summaries, gains: Sequence[Difference]) -> str:
    """Write who is better on which set, how many runs failed, and how many ended below our affine stage; Markdown."""
    lines = [_against_peers(ours, gains) for ours in OURS]
    lines += [_failed(found), _below_affine(found)]
    return "\n".join(f"- {line}" for line in lines if line)


def _against_peers(ours: str, gains: Sequence[Difference]) -> str:
    main = [d for d in gains if d.ours == ours and d.measure == SETS[d.group].measure and d.peer != AFFINE]
    groups = list(dict.fromkeys(d.group for d in main))
    if not groups:
        return ""
    by_group = {group: [d for d in main if d.group == group] for group in groups}
    ahead = [g for g, own in by_group.items() if all(d.verdict == "ours" for d in own)]
    level = [g for g, own in by_group.items() if g not in ahead and all(d.verdict != "peer" for d in own)]
    parts = [f"better than every peer on {_titles(ahead)}"] if ahead else []
    parts += [f"no peer is better on {_titles(level)}"] if level else []
    for group in groups:
        if group not in ahead and group not in level:
            most = max(d.pairs for d in gains if d.group == group)
            better = _join(_with_pairs(d, most) for d in by_group[group] if d.verdict == "peer")
            parts.append(f"worse on {SETS[group].title} than {better}")
    return f"{METHODS[ours].title.capitalize()}: {'; '.join(parts)}."


def _with_pairs(d: Difference, most: int) -> str:
    title = METHODS[d.peer].title
    return title if d.pairs == most else f"{title} ({d.pairs} pairs)"


def _failed(found: Summaries) -> str:
    runs = {n: sum(m[n].pairs + len(m[n].errors) for m in found.values() if n in m) for n in METHODS}
    failed = {n: sum(len(m[n].failures) for m in found.values() if n in m) for n in METHODS}
    own = f"{sum(failed[n] for n in OURS)} of {sum(runs[n] for n in OURS)} runs of ours"
    peers = [f"{failed[n]} of {runs[n]} of {METHODS[n].title}" for n in METHODS if n not in OURS and failed[n]]
    return f"Failed runs: {_join([own, *peers])}."


def _below_affine(found: Summaries) -> str:
    counts: dict[str, tuple[int, int]] = {}
    for name in METHODS:
        own = [m[name] for m in found.values() if name in m and m[name].below_affine is not None]
        if own and name not in (AFFINE, UNREGISTERED):
            counts[name] = (sum(len(s.below_affine or ()) for s in own), sum(s.pairs for s in own))
    if not any(name in counts for name in OURS):
        return ""
    ours = [counts[name] for name in OURS if name in counts]
    text = f"{sum(n for n, _ in ours)} of {sum(total for _, total in ours)} runs of ours"
    others = [(name, *count) for name, count in counts.items() if name not in OURS]
    peers = [f"{n} of {total} of {METHODS[name].title}" for name, n, total in others if n]
    return f"Runs that end below our affine stage: {_join([text, *peers])}."


def _titles(groups: Sequence[str]) -> str:
    return _join(SETS[group].title for group in groups)


def _join(texts: Iterable[str]) -> str:
    items = list(texts)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
