"""The outcome of a batch as a table and as a page."""

from __future__ import annotations

import base64
import csv
import html
import importlib.util
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ...core.files.whole_file import write_whole
from ..files.output_folder import REPORT_FILE, THUMBNAIL_FILE
from .box_plots import draw_box_plots
from .settings import BATCH, BatchSettings
from .task import Task

TABLE_FILE, PARQUET_FILE, PAGE_FILE = "table.csv", "table.parquet", "index.html"
_STYLE = """body { font: 15px sans-serif; margin: 2em; } table { border-collapse: collapse; }
td, th { border-bottom: 1px solid #ccc; padding: 4px 10px; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } tr.failed { background: #fde8e8; }
img { display: block; background: #000; }"""


@dataclass(frozen=True)
class Row:
    """One pair. state: done, failed, or missing (its result was taken away meanwhile). None: not known."""

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
        report = _read_report(task)
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
    if line is None:
        return Row(task.name, "missing", error=f"{task.folder}: the result was removed; run the command again.")
    return Row(task.name, "failed", error=line)


def write_summary(output: Path, tasks: Sequence[Task], settings: BatchSettings = BATCH) -> list[Row]:
    """Write the table, in the order of the tasks, and the page, the worst pair first; returns the rows.

    settings: how many of the worst pairs have a picture on the page. The table is also written as Parquet where pyarrow
    is installed.
    """
    rows = [make_row(task) for task in tasks]
    names = [field.name for field in fields(Row)]
    write_whole(output / TABLE_FILE, _format_table(names, rows).encode())
    if importlib.util.find_spec("pyarrow") is not None:
        write_whole(output / PARQUET_FILE, _format_parquet(rows))
    else:
        (output / PARQUET_FILE).unlink(missing_ok=True)  # of an earlier run: it would be of other rows
    write_whole(output / PAGE_FILE, _format_page(tasks, rows, settings.max_pictures).encode())
    return rows


def _format_table(names: Sequence[str], rows: Iterable[Row]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        values = (getattr(row, name) for name in names)
        writer.writerow(["" if value is None else value for value in values])
    return stream.getvalue()


def _format_parquet(rows: Sequence[Row]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    kinds = {"str": pyarrow.string(), "float | None": pyarrow.float64()}
    schema = pyarrow.schema([(field.name, kinds[str(field.type)]) for field in fields(Row)])
    stream = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist([asdict(row) for row in rows], schema), stream)
    return stream.getvalue()


def _format_page(tasks: Sequence[Task], rows: Sequence[Row], max_pictures: int) -> str:
    folders = {task.name: task.folder for task in tasks}
    done = sum(row.state == "done" for row in rows)
    worst_first = sorted(rows, key=lambda row: row.badness, reverse=True)
    head = ["pair", "as loaded, registered", "state", "Dice before", "Dice after", "folding %", "seconds", "model"]
    cells = "\n".join(
        _format_row(row, folders[row.name], with_picture=n < max_pictures) for n, row in enumerate(worst_first)
    )
    limit = f" Only the first {max_pictures} pairs have one." if len(rows) > max_pictures else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Registrations</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{done} of {len(rows)} pairs registered</h1>\n"
        "<p>The worst pair comes first: failed ones, then by Dice, then by folding. Numbers do not say that a result "
        "is right: look at it. Pictures: fixed red, moving cyan, gray where both agree."
        f"{limit}</p>\n"
        f"<table><tr>{''.join(f'<th>{name}</th>' for name in (*head, 'warnings, error'))}</tr>\n{cells}\n</table>\n"
        f"{_format_structures(tasks)}</body></html>\n"
    )


def _format_row(row: Row, folder: Path, *, with_picture: bool) -> str:
    link = f'<a href="pairs/{html.escape(folder.name)}/{REPORT_FILE}">{html.escape(row.name)}</a>'
    numbers = [(row.dice_before, 3), (row.dice_after, 3), (row.folding_percent, 3), (row.seconds, 1)]
    texts = "".join(
        f'<td class="number">{"" if value is None else f"{value:.{digits}f}"}</td>' for value, digits in numbers
    )
    is_done = row.state == "done"
    return (
        f'<tr class="{row.state}"><td>{link if is_done else html.escape(row.name)}</td>'
        f"<td>{_embed(folder / THUMBNAIL_FILE) if is_done and with_picture else ''}</td><td>{row.state}</td>"
        f"{texts}<td>{html.escape(row.model)}</td><td>{html.escape(row.error or row.warnings)}</td></tr>"
    )


def _embed(picture: Path) -> str:
    """Return a picture as a part of the page; nothing if there is none, as in results of earlier versions."""
    if not picture.is_file():
        return ""
    data = base64.b64encode(picture.read_bytes()).decode("ascii")
    return f'<img alt="as loaded, and registered" src="data:image/png;base64,{data}">'


def _format_structures(tasks: Sequence[Task]) -> str:
    """Return the box plots of all structures; nothing if no pair has structures."""
    dice: dict[str, dict[str, list[float]]] = {}
    for task in tasks:
        if not task.is_done():
            continue
        for structure in _read_report(task)["structures"] or ():
            before, after = (structure[kind]["dice"] for kind in ("before", "after"))
            if before is not None and after is not None:
                values = dice.setdefault(structure["name"], {"before": [], "after": []})
                values["before"].append(before)
                values["after"].append(after)
    if not dice:
        return ""
    return (
        "<h2>Dice of each structure</h2>\n<p>Gray: as loaded; blue: registered. Boxes: from the first to the third "
        "quartile, with the median; lines: from the least to the greatest value; to the right the number of pairs. The "
        f"structure with the least median comes first.</p>\n{draw_box_plots(dice)}\n"
    )


def _read_report(task: Task) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((task.folder / REPORT_FILE).read_text(encoding="utf-8"))
    return report
