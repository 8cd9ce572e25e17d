"""Tables of an evaluation: one row for each pair, a summary over the pairs, results.csv and summary.json."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .cases import AFFINE, BEFORE, Scores
from .run import SCHEMA_VERSION, PairRecord, write_text

RESULTS_FILE, SUMMARY_FILE = "results.csv", "summary.json"
MEASURES = ("dice", "jaccard", "hd95_mm", "tre_mm", "folding_percent", "std_log_jacobian", "seconds", "grid_seconds")
_COLUMNS = ("pair", "group", "method", "model", *MEASURES, "structures", "below_affine", "warnings", "error")


@dataclass(frozen=True)
class MethodSummary:
    """Summary of one method over the pairs of a group; the fields are keys of summary.json.

    mean, sd: of each measure over the pairs that have it (sd with n - 1). dice30: the 30 % quantile of Dice over the
    pairs. median_seconds: of the wall time. worst_pair: with the smallest Dice, or the largest TRE without Dice.
    least_gain: smallest difference to the Dice of the affine stage. below_affine: pairs where the method is worse than
    the affine stage.
    """

    pairs: int
    mean: Mapping[str, float | None]
    sd: Mapping[str, float | None]
    dice30: float | None
    median_seconds: float | None
    worst_pair: str
    least_gain: float | None
    below_affine: tuple[str, ...]


def summarize(records: Sequence[PairRecord]) -> dict[str, dict[str, MethodSummary]]:
    """The summaries by group and method; failed pairs are left out."""
    evaluated = [r for r in records if not r.error]
    return {
        group: {
            method: summarize_method(method, [r for r in evaluated if r.group == group and method in r.scores])
            for method in dict.fromkeys(m for r in evaluated if r.group == group for m in r.scores)
        }
        for group in dict.fromkeys(r.group for r in evaluated)
    }


def summarize_method(method: str, records: Sequence[PairRecord]) -> MethodSummary:
    """Summarize one method over pairs that all have it."""
    own = [r.scores[method] for r in records]
    values = {name: np.array([v for v in (getattr(s, name) for s in own) if v is not None]) for name in MEASURES}
    dice, tre = values["dice"], values["tre_mm"]
    gains = [
        s.dice - a.dice
        for s, a in ((r.scores[method], r.scores.get(AFFINE, Scores())) for r in records)
        if s.dice is not None and a.dice is not None
    ]
    ranked = sorted(records, key=lambda r: _rank(r.scores[method]))
    return MethodSummary(
        pairs=len(records),
        mean={name: _round(v.mean()) if v.size else None for name, v in values.items()},
        sd={name: _round(v.std(ddof=1)) if v.size > 1 else None for name, v in values.items()},
        dice30=_round(np.quantile(dice, 0.3)) if dice.size else None,
        median_seconds=_round(np.median(values["seconds"])) if values["seconds"].size else None,
        worst_pair=ranked[-1].name if dice.size or tre.size else "",
        least_gain=_round(min(gains)) if gains else None,
        below_affine=tuple(r.name for r in records if method in find_methods_below_affine(r)),
    )


def find_methods_below_affine(record: PairRecord) -> list[str]:
    """The methods that are worse on this pair than the affine stage they started from."""
    affine = record.scores.get(AFFINE, Scores())
    return [m for m, s in record.scores.items() if m not in (BEFORE, AFFINE) and s.is_worse_than(affine)]


def _rank(scores: Scores) -> tuple[float, float]:
    """Sort key: the smallest Dice is last; without Dice, the largest TRE."""
    return (-1.0 if scores.dice is None else 1 - scores.dice, scores.tre_mm or 0.0)


def write_results(
    records: Sequence[PairRecord], output: Path, settings: Mapping[str, Any], csv_name: str = RESULTS_FILE
) -> None:
    """Write results.csv (one row for each pair and method) and summary.json. Raises InputError if that fails."""
    write_text(output / csv_name, format_results_csv(records))
    summary = {
        "schema": SCHEMA_VERSION,
        "settings": dict(settings),
        "groups": {
            group: {method: vars(s) for method, s in methods.items()} for group, methods in summarize(records).items()
        },
        "failed": {r.name: r.error for r in records if r.error},
    }
    write_text(output / SUMMARY_FILE, json.dumps(summary, indent=1, allow_nan=False))


def format_results_csv(records: Iterable[PairRecord]) -> str:
    """All scores as CSV, one row for each pair and method; a failed pair has one row with its error.

    Warnings about the files stand in the first row of their pair.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for record in records:
        if record.error:
            writer.writerow({"pair": record.name, "group": record.group, "error": record.error})
        for number, (method, scores) in enumerate(record.scores.items()):
            writer.writerow(
                {
                    "pair": record.name,
                    "group": record.group,
                    "method": method,
                    "model": scores.model,
                    **{name: _csv_value(getattr(scores, name)) for name in MEASURES},
                    "structures": len(scores.structures),
                    "below_affine": int(method in find_methods_below_affine(record)),
                    "warnings": " ".join((*([] if number else record.warnings), *scores.warnings)),
                }
            )
    return stream.getvalue().rstrip("\n")


def format_pairs_table(records: Sequence[PairRecord]) -> str:
    """A Markdown table with one row for each pair: Dice and TRE by method, folding, seconds, and errors."""
    methods = list(dict.fromkeys(m for r in records for m in r.scores))
    measures = [
        (measure, title, digits)
        for measure, title, digits in (("dice", "Dice", 3), ("tre_mm", "TRE mm", 2))
        if any(getattr(s, measure) is not None for r in records for s in r.scores.values())
    ]
    header = ["pair", *(f"{title} {m}" for _, title, _ in measures for m in methods), "folding %", "seconds", "note"]
    rows = []
    for record in records:
        if record.error:
            rows.append([record.name, *[""] * (len(header) - 2), f"FAILED: {record.error}"])
            continue
        scores = [record.scores.get(m, Scores()) for m in methods]
        cells = [_format_number(getattr(s, measure), digits) for measure, _, digits in measures for s in scores]
        worse = find_methods_below_affine(record)
        note = f"below affine: {', '.join(worse)}" if worse else ""
        last = scores[-1]
        rows.append(
            [record.name, *cells, _format_number(last.folding_percent, 4), _format_number(last.seconds, 2), note]
        )
    return format_markdown_table(header, rows)


def format_summary_table(records: Sequence[PairRecord]) -> str:
    """A Markdown table of mean ± standard deviation over the pairs, one row for each group and method."""
    header = (
        "group, method, pairs, Dice, Dice30, Jaccard, HD95 mm, TRE mm, folding %, SD log J, seconds, worst pair, "
        "least gain, below affine"
    ).split(", ")
    rows = [
        [
            group,
            method,
            str(s.pairs),
            _format_mean(s, "dice", 3),
            _format_number(s.dice30, 3),
            _format_mean(s, "jaccard", 3),
            _format_mean(s, "hd95_mm", 2),
            _format_mean(s, "tre_mm", 2),
            _format_number(s.mean["folding_percent"], 4),
            _format_number(s.mean["std_log_jacobian"], 3),
            _format_number(s.median_seconds, 2),
            s.worst_pair,
            "" if s.least_gain is None else f"{s.least_gain:+.3f}",
            str(len(s.below_affine)),
        ]
        for group, methods in summarize(records).items()
        for method, s in methods.items()
    ]
    return format_markdown_table(header, rows)


def format_markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are aligned as plain text; empty columns are left out."""
    used = [n for n in range(len(header)) if not rows or any(row[n] for row in rows)]
    lines = [[line[n] for n in used] for line in (header, *rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(used))]
    text = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines]
    return "\n".join([text[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *text[1:]])


def _format_mean(summary: MethodSummary, measure: str, digits: int) -> str:
    mean, sd = summary.mean[measure], summary.sd[measure]
    if mean is None:
        return ""
    return _format_number(mean, digits) + ("" if sd is None else f" ± {sd:.{digits}f}")


def _format_number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _csv_value(value: float | None) -> float | str:
    return "" if value is None else value


def _round(value: Any) -> float:
    return round(float(value), 6)
