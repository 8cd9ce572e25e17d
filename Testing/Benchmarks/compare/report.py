"""The comparison as tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from peers.registry import METHODS

from LightRegistrationLib.training.evaluation.tables import format_markdown_table

from .bars import OURS, Bar, Summaries, bars
from .earlier import KEY_LENGTH
from .notes import NOTES
from .plan import SETS
from .sentences import sentences
from .statistics import AFFINE, MEASURES, UNREGISTERED, Difference, Row, Summary, difference, summarize

PEERS = tuple(name for name, method in METHODS.items() if not method.is_ours and name != UNREGISTERED)
UNITS = {"dice": ("Dice", 3), "hd95_mm": ("HD95 mm", 2), "tre_mm": ("TRE mm", 2)}


def summaries(rows: Sequence[Row]) -> Summaries:
    """Summarize every method of every set that has rows."""
    found = {group: summarize(rows, group) for group in SETS if any(row["set"] == group for row in rows)}
    return {group: {name: own[name] for name in METHODS if name in own} for group, own in found.items()}


def report(rows: Sequence[Row]) -> str:
    """Write all tables, Markdown."""
    found, gains = summaries(rows), differences(rows)
    threads = ", ".join(sorted({str(r["threads"]) for r in rows if "threads" in r}))
    parts = ["# Comparison", f"CPU threads: {threads}.", *older_rows(rows), "## Overview", overview_table(found)]
    parts += ["## Ours against each peer", standing_table(gains), "## In words", sentences(found, gains)]
    for group, methods in found.items():
        parts += [f"## {SETS[group].title}", set_table(methods)]
    parts += ["## Ours minus the peer", differences_table(gains)]
    parts += ["## Bars", bars_table(bars(found))]
    used = [name for name in METHODS if any(row["method"] == name for row in rows)]
    parts += ["## Methods", methods_table(used), "## Notes", NOTES]
    failed = failures_list(found)
    return "\n\n".join(parts + (["## Failed runs", "\n".join(failed)] if failed else []))


def older_rows(rows: Sequence[Row]) -> list[str]:
    """Name the methods of rows that were kept although they do not hold any more (a sentence, or nothing)."""
    older = [row for row in rows if row.get("older")]
    names = [name for name in METHODS if any(row["method"] == name for row in older)]
    if not names:
        return []
    titles = []
    for name in names:
        of_method = [row["set"] for row in rows if row["method"] == name]
        kept = [group for group in SETS if any((row["set"], row["method"]) == (group, name) for row in older)]
        titles.append(METHODS[name].title + ("" if set(kept) == set(of_method) else f" ({', '.join(kept)})"))
    return [
        "Kept from an earlier run, with the settings and versions named below, but an earlier state of the command, of "
        f"our code or of our affine stage: rows of {', '.join(titles)}."
    ]


def failures_list(found: Summaries) -> list[str]:
    """Name every failed run and its reason, one Markdown item each."""
    return [
        f"- {SETS[group].title}, {METHODS[name].title}, {pair}: {reason}"
        for group, methods in found.items()
        for name, own in methods.items()
        for pair, reason in own.failures.items()
    ]


def overview_table(found: Summaries) -> str:
    """Show the main measure of every set, one row a method: the mean, and apart the mean without failed runs."""
    most = {group: max(own.pairs for own in methods.values()) for group, methods in found.items()}
    lines = []
    for name in METHODS:
        if any(name in methods for methods in found.values()):
            cells = [_overview_cell(group, found[group].get(name), most[group]) for group in found]
            lines.append([METHODS[name].title, *cells])
    titles = [f"{SETS[group].title}, {UNITS[SETS[group].measure][0]}" for group in found]
    return format_markdown_table(["method", *titles], lines)


def _overview_cell(group: str, own: Summary | None, most: int) -> str:
    if own is None or not (own.pairs or own.failures):
        return ""
    measure = SETS[group].measure
    digits = UNITS[measure][1]
    text = shown(own.mean[measure], digits)
    notes = []
    if own.failures:
        notes.append(f"{shown(own.mean_of_good[measure], digits)} without {len(own.failures)} failed")
    if own.pairs + len(own.errors) < most:
        notes.append(f"{own.pairs} of {most} pairs")
    return f"{text} ({', '.join(notes)})" if notes else text


def standing_table(found: Sequence[Difference]) -> str:
    """Sort the peers by whether ours are better, in the main measure of each set, as far as the intervals tell."""
    lines = []
    for group, plan in SETS.items():
        for ours in OURS:
            own = [d for d in found if (d.group, d.ours, d.measure) == (group, ours, plan.measure) and d.peer != AFFINE]
            if own:
                cells = [
                    ", ".join(METHODS[d.peer].title for d in own if d.verdict == verdict)
                    for verdict in ("ours", "open", "peer")
                ]
                lines.append([plan.title, METHODS[ours].title, *cells])
    return format_markdown_table(["pairs", "ours", "ours better than", "no clear difference to", "worse than"], lines)


def set_table(methods: Mapping[str, Summary]) -> str:
    """Show all measures of a set, one row a method."""
    header = (
        "method|pairs|failed|Dice|Dice median|Dice without failed|Dice30|HD95 mm|HD95 median|TRE mm|TRE median"
        "|TRE without failed|folding %|SD log J|CPU s|MB|CPU : SyN|below affine"
    )
    return format_markdown_table(header.split("|"), [_set_line(name, own) for name, own in methods.items()])


def _set_line(name: str, own: Summary) -> list[str]:
    is_timed = name != UNREGISTERED
    return [
        METHODS[name].title,
        f"{own.pairs}",
        f"{len(own.failures)}",
        shown(own.mean["dice"], 3),
        shown(own.median["dice"], 3),
        shown(own.mean_of_good["dice"], 3) if own.failures else "",
        shown(own.dice30, 3),
        shown(own.mean["hd95_mm"], 2),
        shown(own.median["hd95_mm"], 2),
        shown(own.mean["tre_mm"], 2),
        shown(own.median["tre_mm"], 2),
        shown(own.mean_of_good["tre_mm"], 2) if own.failures else "",
        shown(own.mean["folding_percent"], 4),
        shown(own.mean["std_log_jacobian"], 3),
        shown(own.mean["cpu_seconds"] if is_timed else None, 2),
        shown(own.mean["peak_mb"] if is_timed else None, 0),
        ratio(own.cpu_ratio if is_timed else None),
        "" if own.below_affine is None or name == AFFINE else str(len(own.below_affine)),
    ]


def shown(value: float | None, digits: int) -> str:
    """Write a number, or nothing."""
    return "" if value is None else f"{value:.{digits}f}"


def ratio(value: float | None) -> str:
    """Write a share of the reference's time as people read it: 1/40, 3.9."""
    if value is None or value <= 0:
        return ""
    return f"{value:.1f}" if value >= 0.95 else f"1/{1 / value:.{0 if value < 0.1 else 1}f}"


def differences(rows: Sequence[Row]) -> list[Difference]:
    """Compute the difference of each of ours to each peer, in Dice, HD95 and TRE, where both have it."""
    found = (
        difference(rows, group, ours, peer, measure)
        for group in SETS
        for ours in OURS
        for peer in (AFFINE, *PEERS)
        for measure in UNITS
    )
    return [entry for entry in found if entry is not None]


def differences_table(found: Sequence[Difference]) -> str:
    """Show the differences in each set's main measure, one row a peer."""
    lines = []
    for group, plan in SETS.items():
        title, digits = UNITS[plan.measure]
        main = [d for d in found if d.group == group and d.measure == plan.measure]
        for peer in dict.fromkeys(d.peer for d in main):
            by_ours = {d.ours: d for d in main if d.peer == peer}
            cells = [_difference_cell(by_ours.get(ours), digits + (plan.measure == "dice")) for ours in OURS]
            lines.append([plan.title, METHODS[peer].title, title, *cells])
    return format_markdown_table(["pairs", "peer", "measure", *(METHODS[ours].title for ours in OURS)], lines)


def _difference_cell(d: Difference | None, digits: int) -> str:
    if d is None:
        return ""
    interval = "" if d.low is None else f" ({d.low:+.{digits}f} to {d.high:+.{digits}f})"
    return f"{d.mean:+.{digits}f}{interval}, better on {d.better} of {d.pairs}"


def bars_table(found: Sequence[Bar]) -> str:
    """Show one row a bar."""
    results = {True: "reached", False: "MISSED", None: "open"}
    lines = [[SETS[b.group].title, METHODS[b.method].title, b.wanted, b.found, results[b.reached]] for b in found]
    return format_markdown_table(["pairs", "method", "bar", "found", "result"], lines)


def methods_table(names: Sequence[str]) -> str:
    """Show how each method is set and where it starts."""
    lines = []
    for name in names:
        method = METHODS[name]
        lines.append([method.title, f"{method.package} {method.version}".strip(), method.start, method.settings])
    return format_markdown_table(["method", "package", "starts from", "settings"], lines)


def values(rows: Sequence[Row]) -> dict[str, Any]:
    """Collect the numbers of all tables, for the .json."""
    found = summaries(rows)
    return {
        "sets": {
            group: {name: _summary_values(name, own) for name, own in methods.items()}
            for group, methods in found.items()
        },
        "differences": [asdict(entry) for entry in differences(rows)],
        "bars": [asdict(bar) for bar in bars(found)],
    }


def _summary_values(name: str, own: Summary) -> dict[str, Any]:
    return {"title": METHODS[name].title, **asdict(own), "failed": list(own.failures)}


def rows_csv(rows: Sequence[Row]) -> str:
    """Write every row, without the single structures."""
    columns = ["set", "pair", "method", *MEASURES, "threads", "model", "error", "processor", "key"]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "key": row.get("key", "")[:KEY_LENGTH]} for row in rows)
    return stream.getvalue()
