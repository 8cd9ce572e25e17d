"""The outcome of a batch as a table and as a page."""

from __future__ import annotations

import csv
import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..files.output_folder import REPORT_FILE
from .task import Task

TABLE_FILE, PAGE_FILE = "table.csv", "index.html"
_STYLE = """body { font: 15px sans-serif; margin: 2em; } table { border-collapse: collapse; }
td, th { border-bottom: 1px solid #ccc; padding: 4px 10px; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } tr.failed { background: #fde8e8; }"""


@dataclass(frozen=True)
class Row:
    """One pair. state: done, failed, or missing (not tried, or stopped). None: not known."""

    name: str
    state: str
    dice_before: float | None = None
    dice_after: float | None = None
    folding_percent: float | None = None
    seconds: float | None = None
    model: str = ""
    warnings: str = ""
    error: str = ""

    @property
    def badness(self) -> tuple[int, float]:
        """For sorting, the worst last: failed pairs, then by Dice, then by folding."""
        if self.state != "done":
            return 2, 0.0
        if self.dice_after is not None:
            return 1, -self.dice_after
        return 0, self.folding_percent or 0.0


def make_row(task: Task) -> Row:
    """Read what is known of a pair from its folder."""
    if task.is_done():
        report: dict[str, Any] = json.loads((task.folder / REPORT_FILE).read_text(encoding="utf-8"))
        mean = report["mean"] or {"before": {"dice": None}, "after": {"dice": None}}
        return Row(
            task.name,
            "done",
            mean["before"]["dice"],
            mean["after"]["dice"],
            report["jacobian"]["percent_nonpositive"],
            round(sum(report["seconds"].values()), 3),
            report["model"]["name"],
            " ".join(report["warnings"]),
        )
    line = task.read_failure()
    return Row(task.name, "missing") if line is None else Row(task.name, "failed", error=line)


def write_summary(output: Path, tasks: Sequence[Task]) -> list[Row]:
    """Write the table, in the order of the tasks, and the page, the worst pair first; returns the rows."""
    rows = [make_row(task) for task in tasks]
    names = [field.name for field in fields(Row)]
    _write_whole(output / TABLE_FILE, _format_table(names, rows))
    _write_whole(output / PAGE_FILE, _format_page(tasks, rows))
    return rows


def _format_table(names: Sequence[str], rows: Iterable[Row]) -> str:
    import io

    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        values = (getattr(row, name) for name in names)
        writer.writerow(["" if value is None else value for value in values])
    return stream.getvalue()


def _format_page(tasks: Sequence[Task], rows: Sequence[Row]) -> str:
    folders = {task.name: task.folder.name for task in tasks}
    done = sum(row.state == "done" for row in rows)
    worst_first = sorted(rows, key=lambda row: row.badness, reverse=True)
    head = ["pair", "state", "Dice before", "Dice after", "folding %", "seconds", "model", "warnings, error"]
    cells = "\n".join(_format_row(row, folders[row.name]) for row in worst_first)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Registrations</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{done} of {len(rows)} pairs registered</h1>\n"
        "<p>The worst pair comes first: failed ones, then by Dice, then by folding. Numbers do not say that a result "
        "is right: look at it.</p>\n"
        f"<table><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>\n{cells}\n</table></body></html>\n"
    )


def _format_row(row: Row, folder: str) -> str:
    link = f'<a href="pairs/{html.escape(folder)}/{REPORT_FILE}">{html.escape(row.name)}</a>'
    numbers = [(row.dice_before, 3), (row.dice_after, 3), (row.folding_percent, 3), (row.seconds, 1)]
    texts = "".join(
        f'<td class="number">{"" if value is None else f"{value:.{digits}f}"}</td>' for value, digits in numbers
    )
    return (
        f'<tr class="{row.state}"><td>{link if row.state == "done" else html.escape(row.name)}</td><td>{row.state}</td>'
        f"{texts}<td>{html.escape(row.model)}</td><td>{html.escape(row.error or row.warnings)}</td></tr>"
    )


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that it is never seen half written."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
