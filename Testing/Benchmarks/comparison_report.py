"""The comparison as tables and a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from common import new_figure
from comparison_bars import OURS, Bar, Summaries, bars
from comparison_plan import SETS
from comparison_statistics import MEASURES, Difference, Row, Summary, difference, summarize
from peers import METHODS

from LightRegistrationLib.training.evaluation.tables import format_markdown_table

PEERS = ("affine", "demons", "elastix", "syn", "syn-cc")
NOTES = """\
- Dice, HD95: means over the structures of at least 100 voxels in both volumes, then over the pairs. Dice30: 30 %
  quantile of the pairs' Dice. TRE: mean over the landmarks, then over the pairs. Below affine: pairs on which a
  method has a lower Dice or a higher TRE than our affine stage.
- Every deformation, ours too, is measured by its displacements at the voxels of the fixed volume, affine stage
  included: labels are pulled by nearest neighbor, folding is the percent of raw Jacobian determinants ≤ 0 at the
  corners of all cells, SD log J the spread of the logarithm of the others.
- Seconds are means over the pairs, of the registration in a process of its own: without importing, reading, or (ours)
  loading the models, as in the panel's worker. Wall seconds may have been measured beside other work; CPU seconds
  hardly depend on that. `: SyN` is the ratio to ANTs SyN, default, over the pairs that both have. MB is the peak of
  the whole process until the deformation is there; some 300 MB of it are torch in ours and in the demons, whose
  affine stage is ours, and more of elastix' are the libraries of ITK.
- Intervals are Student's t of the paired differences, 95 %. Each scan of a ring is in two pairs, which they do not
  know; two to four pairs say little.
- The peers' settings are the same for all sets (of elastix but the grid for small crops), and nobody gets a mask.
  Ours choose a model by what the volumes show.
- In favor of ours: choices were made while looking at some of these pairs. `abdomen` is synthesized; its label maps
  were kept out of training, but the model learned from images synthesized the same way. The model for the hippocampus
  has seen labels of other crops. The peers have learned nothing."""


def summaries(rows: Sequence[Row]) -> Summaries:
    """Every method of every set that has rows."""
    found = {group: summarize(rows, group) for group in SETS if any(row["set"] == group for row in rows)}
    return {group: {name: own[name] for name in METHODS if name in own} for group, own in found.items()}


def report(rows: Sequence[Row]) -> str:
    """All tables, Markdown."""
    found = summaries(rows)
    parts = ["# Comparison", f"CPU threads: {', '.join(sorted({str(r['threads']) for r in rows if 'threads' in r}))}."]
    for group, methods in found.items():
        parts += [f"## {SETS[group].title}", set_table(methods)]
    parts += ["## Ours less the peer", differences_table(differences(rows))]
    parts += ["## Bars", bars_table(bars(found))]
    parts += [
        "## Methods",
        methods_table([name for name in METHODS if any(row["method"] == name for row in rows)]),
        NOTES,
    ]
    failed = [
        f"- {s.group}, {METHODS[s.method].title}: {e}" for m in found.values() for s in m.values() for e in s.errors
    ]
    return "\n\n".join(parts + (["## Failed", "\n".join(failed)] if failed else []))


def set_table(methods: dict[str, Summary]) -> str:
    """One row a method."""
    header = (
        "method|pairs|Dice|Dice30|HD95 mm|TRE mm|folding %|SD log J|wall s|CPU s|MB|wall : SyN|CPU : SyN|below affine"
    )
    lines = []
    for name, own in methods.items():
        timed = name != "none"
        lines.append(
            [
                METHODS[name].title,
                f"{own.pairs}" + (f" ({len(own.errors)} failed)" if own.errors else ""),
                shown(own.mean["dice"], 3),
                shown(own.dice30, 3),
                shown(own.mean["hd95_mm"], 2),
                shown(own.mean["tre_mm"], 2),
                shown(own.mean["folding_percent"], 4),
                shown(own.mean["std_log_jacobian"], 3),
                shown(own.mean["seconds"] if timed else None, 2),
                shown(own.mean["cpu_seconds"] if timed else None, 2),
                shown(own.mean["peak_mb"] if timed else None, 0),
                ratio(own.wall_ratio if timed else None),
                ratio(own.cpu_ratio if timed else None),
                "" if own.below_affine is None or name == "affine" else str(len(own.below_affine)),
            ]
        )
    return format_markdown_table(header.split("|"), lines)


def shown(value: float | None, digits: int) -> str:
    """A number, or nothing."""
    return "" if value is None else f"{value:.{digits}f}"


def ratio(value: float | None) -> str:
    """A share of the reference's time as people say it: 1/40, 3.9."""
    if value is None or value <= 0:
        return ""
    return f"{value:.1f}" if value >= 0.95 else f"1/{1 / value:.{0 if value < 0.1 else 1}f}"


def differences(rows: Sequence[Row]) -> list[Difference]:
    """Each of ours against each peer, in Dice, HD95 and TRE, where both have it."""
    found = (
        difference(rows, group, ours, peer, measure)
        for group in SETS
        for ours in OURS
        for peer in PEERS
        for measure in ("dice", "hd95_mm", "tre_mm")
    )
    return [entry for entry in found if entry is not None]


def differences_table(found: Sequence[Difference]) -> str:
    """One row a comparison."""
    units = {"dice": ("Dice", 4), "hd95_mm": ("HD95 mm", 2), "tre_mm": ("TRE mm", 2)}
    lines = []
    for d in found:
        title, digits = units[d.measure]
        interval = "" if d.low is None else f"{d.low:+.{digits}f} to {d.high:+.{digits}f}"
        names = [SETS[d.group].title, METHODS[d.ours].title, METHODS[d.peer].title]
        lines.append([*names, title, f"{d.mean:+.{digits}f}", interval, f"{d.better} of {d.pairs}", d.verdict])
    header = ["pairs", "ours", "peer", "measure", "mean difference", "95 % interval", "ours better on", "better"]
    return format_markdown_table(header, lines)


def bars_table(found: Sequence[Bar]) -> str:
    """One row a bar."""
    said = {True: "reached", False: "MISSED", None: "open"}
    lines = [[SETS[b.group].title, METHODS[b.method].title, b.wanted, b.found, said[b.reached]] for b in found]
    return format_markdown_table(["pairs", "method", "bar", "found", "result"], lines)


def methods_table(names: Sequence[str]) -> str:
    """How each method is set and where it starts."""
    lines = []
    for name in names:
        method = METHODS[name]
        lines.append([method.title, f"{method.package} {method.version}".strip(), method.start, method.settings])
    return format_markdown_table(["method", "package", "starts from", "settings"], lines)


def values(rows: Sequence[Row]) -> dict[str, Any]:
    """The numbers of all tables, for the .json."""
    found = summaries(rows)
    return {
        "sets": {group: {name: asdict(own) for name, own in methods.items()} for group, methods in found.items()},
        "differences": [asdict(entry) for entry in differences(rows)],
        "bars": [asdict(bar) for bar in bars(found)],
    }


def rows_csv(rows: Sequence[Row]) -> str:
    """Every row, less the single structures."""
    columns = ["set", "pair", "method", *MEASURES, "threads", "model", "error"]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def plot(rows: Sequence[Row]) -> Any:
    """Accuracy over CPU seconds, one panel a set; the line joins the methods that no other one beats in both."""
    found = summaries(rows)
    columns, lines = min(3, max(1, len(found))), 1 + (len(found) > 3)
    figure, panels = new_figure(columns, width=1 + 2.8 * columns, height=0.8 + 2.6 * lines, rows=lines)
    for unused in panels.ravel()[max(1, len(found)) :]:
        unused.remove()
    handles: dict[str, Any] = {}
    for axes, (group, methods) in zip(panels.ravel(), found.items(), strict=False):
        measure = SETS[group].measure
        for name, (seconds, value) in points(methods, measure).items():
            style = {"marker": "o" if name in OURS else "s", "color": f"C{list(METHODS).index(name)}"}
            handles[METHODS[name].title] = axes.plot(seconds, value, linestyle="", **style)[0]
        front = pareto_front(points(methods, measure), measure)
        axes.plot([p[0] for p in front], [p[1] for p in front], color="0.6", linewidth=1, zorder=0)
        axes.set_xscale("log")
        if measure == "tre_mm":
            axes.invert_yaxis()
        axes.set_title(SETS[group].title, fontsize=9)
        axes.set_xlabel("CPU seconds a pair", fontsize=8)
        axes.set_ylabel("Dice" if measure == "dice" else "TRE, mm", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8)
    return figure


def points(methods: dict[str, Summary], measure: str) -> dict[str, tuple[float, float]]:
    """CPU seconds and accuracy of each method that takes time."""
    found = {name: (own.mean["cpu_seconds"], own.mean[measure]) for name, own in methods.items() if name != "none"}
    return {name: (s, v) for name, (s, v) in found.items() if s is not None and v is not None}


def pareto_front(found: dict[str, tuple[float, float]], measure: str) -> list[tuple[float, float]]:
    """The points that no other is both faster and more accurate than, from the fastest on."""
    sign = -1 if measure == "tre_mm" else 1
    front: list[tuple[float, float]] = []
    for point in sorted(found.values(), key=lambda p: (p[0], -sign * p[1])):
        if not front or sign * point[1] > sign * front[-1][1]:
            front.append(point)
    return front
