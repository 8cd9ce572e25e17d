"""The tables and the plot of robustness.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from common import new_figure
from robustness_scores import DICE, TOLERANCE

from LightRegistrationLib.training.evaluation.tables import format_markdown_table

Row = dict[str, Any]
SENTENCES = {
    "offset": r"The headers disagree",
    "turn": r"lies turned by|may lie turned",
    "mirror": r"looks like a mirror image",
    "possible mirror": r"mirrored axis would explain it",
    "poor match": r"hardly match",
    "extents": r"different extents",
    "multimodal": r"multimodal pair",
    "intensities": r"looks? like CT|Hounsfield",
    "folding": r"deformation folds",
    "margin": r"Just beyond the fixed volume",
}
"""How each sentence about header or match is recognized; "other": sentences that none of them matches."""
OTHER = "other"
SAID_BY = {name: {name} for name in (*SENTENCES, OTHER)} | {"mirror": {"mirror", "possible mirror"}}
"""The sentences that say what is wrong: a mirrored axis of a body with like halves is explained by a turn as well."""
PROPOSALS = r"look like two scans of one person"
"""What is said of a sound pair too: no alarm."""


def format_report(rows: Sequence[Row]) -> str:
    """Write the tables: variations, second scans, and sentences."""
    parts = []
    scored = [r for r in rows if r.get("result") is not None and r.get("result_unvaried") is not None]
    if scored:
        parts += [
            "Variations of real pairs; each cell: mean of the varied pairs (unvaried, same part).",
            _format_scores(scored),
        ]
    rescans = [r for r in rows if "result_median_mm" in r]
    if rescans:
        parts += ["Second scans of one person: displacement error, mm.", _format_rescans(rescans)]
    parts += ["Sentences about header and match.", format_sentences(rows)]
    errors = [f"- {r['set']}, {r['pair']}, {r['variation']}: {r['error']}" for r in rows if r.get("error")]
    if errors:
        parts += ["Refused:", "\n".join(errors)]
    return "\n\n".join(parts)


def compute_loss(row: Row, stage: str = "result") -> float:
    """Compute how much worse a varied pair is than the unvaried one over the same part, in the row's measure."""
    loss = row[f"{stage}_unvaried"] - row[stage]
    return float(loss if row["measure"] == DICE else -loss)


def is_below(row: Row, stage: str) -> bool:
    """Whether the result of a row is worse than its state at a stage ("affine" or "loaded")."""
    difference = row[stage] - row["result"]
    return bool((difference if row["measure"] == DICE else -difference) > TOLERANCE[row["measure"]])


def _format_scores(rows: Sequence[Row]) -> str:
    lines = []
    for group, variation in dict.fromkeys((r["set"], r["variation"]) for r in rows):
        own = [r for r in rows if (r["set"], r["variation"]) == (group, variation)]
        digits = 3 if own[0]["measure"] == DICE else 2
        losses = [compute_loss(r) for r in own]
        lines.append(
            [
                f"{group} ({own[0]['measure']})",
                variation,
                str(len(own)),
                _mean(own, "loaded", digits),
                *(f"{_mean(own, s, digits)} ({_mean(own, f'{s}_unvaried', digits)})" for s in ("affine", "result")),
                f"{np.mean(losses):+.{digits}f}",
                f"{max(losses):+.{digits}f}",
                *(str(sum(is_below(r, stage) for r in own)) for stage in ("affine", "loaded")),
            ]
        )
    header = ["set", "variation", "n", "as loaded", "affine", "result", "mean loss", "worst loss"]
    return format_markdown_table([*header, "below affine", "below as loaded"], lines)


def _mean(rows: Sequence[Row], key: str, digits: int) -> str:
    return f"{np.mean([r[key] for r in rows]):.{digits}f}"


def _format_rescans(rows: Sequence[Row]) -> str:
    lines = []
    for group, variation in dict.fromkeys((r["set"], r["variation"]) for r in rows):
        own = [r for r in rows if (r["set"], r["variation"]) == (group, variation)]
        cells = [
            f"{compute([r[f'{stage}_{name}_mm'] for r in own]):.3f}"
            for stage in ("affine", "result")
            for name, compute in (("median", np.median), ("max", np.max))
        ]
        lines.append([group, variation, str(len(own)), *cells])
    header = ["set", "second scan", "n", "affine, median", "affine, maximum", "result, median", "result, maximum"]
    return format_markdown_table(header, lines)


def name_sentences(warnings: Sequence[str]) -> set[str]:
    """Name the sentences that occur in the warnings of a run."""
    warnings = [line for line in warnings if not re.search(PROPOSALS, line)]
    names = {name for name, pattern in SENTENCES.items() if any(re.search(pattern, line) for line in warnings)}
    is_known = [any(re.search(pattern, line) for pattern in SENTENCES.values()) for line in warnings]
    return names | ({OTHER} if not all(is_known) else set())


def format_sentences(rows: Sequence[Row]) -> str:
    """Write for each sentence how often it is said where nothing is wrong, and not said where it has to be."""
    sound = [r for r in rows if r["is_sound"]]
    lines = []
    for name in (*SENTENCES, OTHER):
        false_alarms = [r for r in sound if r.get("error") or name in name_sentences(r["warnings"])]
        expected = [r for r in rows if r["expected"] == name]
        missed = [r for r in expected if not r.get("error") and not SAID_BY[name] & name_sentences(r["warnings"])]
        lines.append(
            [
                name,
                _rate(false_alarms, sound),
                _rate(missed, expected),
                _list_places(false_alarms),
                _list_places(missed),
            ]
        )
    silent = [r for r in rows if r["expected"] and not r.get("error") and not name_sentences(r["warnings"])]
    expected = [r for r in rows if r["expected"]]
    lines.append(
        [
            "any at all",
            _rate([r for r in sound if name_sentences(r["warnings"])], sound),
            _rate(silent, expected),
            "",
            _list_places(silent),
        ]
    )
    header = ["sentence", "false alarms", "missed alarms", "said falsely", "missed"]
    return format_markdown_table(header, lines)


def _rate(part: Sequence[Row], whole: Sequence[Row]) -> str:
    return f"{len(part)} of {len(whole)} ({100 * len(part) / len(whole):.0f} %)" if whole else ""


def _list_places(rows: Sequence[Row]) -> str:
    """List where a sentence is wrong: set, variation and how often."""
    places = [f"{r['set']}: {r['variation']}" for r in rows]
    return "; ".join(f"{place} ({places.count(place)})" for place in dict.fromkeys(places))


def plot(rows: Sequence[Row]) -> Any:
    """Plot the loss of each varied pair, by set: after the affine stage and after the network."""
    scored = [r for r in rows if r.get("result") is not None and r.get("result_unvaried") is not None]
    groups = list(dict.fromkeys(r["set"] for r in scored)) or [""]
    variations = list(dict.fromkeys(r["variation"] for r in scored))[::-1]
    figure, (row,) = new_figure(len(groups), width=3 + 3 * len(groups), height=2 + 0.24 * len(variations))
    positions: Callable[[Row], int] = lambda r: variations.index(r["variation"])  # noqa: E731
    for axes, group in zip(row, groups, strict=True):
        own = [r for r in scored if r["set"] == group]
        for stage, offset, color in (("affine", 0.15, "tab:gray"), ("result", -0.15, "tab:blue")):
            losses = [compute_loss(r, stage) for r in own]
            axes.plot(losses, [positions(r) + offset for r in own], ".", color=color, label=stage)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_yticks(range(len(variations)), variations if axes is row[0] else [])
        axes.set(title=group, xlabel=f"loss, {own[0]['measure']}" if own else "", ylim=(-0.7, len(variations) - 0.3))
        axes.grid(alpha=0.3)
    row[-1].legend(fontsize=8)
    return figure
