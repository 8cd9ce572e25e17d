"""The outcome of a batch as one HTML page that needs no other file."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..files.output_folder import PAGE_FILE, REPORT_FILE, THUMBNAIL_FILE
from .box_plots import draw_box_plots
from .rows import Row, read_report
from .task import Task

_STYLE = """body { font: 15px sans-serif; margin: 2em; } table { border-collapse: collapse; }
td, th { border-bottom: 1px solid #ccc; padding: 4px 10px; text-align: left; vertical-align: top; }
.number { text-align: right; font-variant-numeric: tabular-nums; } td.plain { white-space: nowrap; }
tr.failed, tr.missing { background: #fde8e8; }
img { display: block; background: #000; }"""


def format_page(tasks: Sequence[Task], rows: Sequence[Row], max_pictures: int) -> str:
    """Write the page: a row for each pair, the worst first, and the Dice of each structure over all pairs.

    rows: those of the tasks. max_pictures: so many pairs, the worst ones, have a picture.
    """
    folders = {task.name: task.folder for task in tasks}
    done = sum(row.state == "done" for row in rows)
    worst_first = sorted(rows, key=lambda row: row.badness, reverse=True)
    columns = [column for column in _COLUMNS if column.is_always or any(column.read(row) for row in rows)]
    names = "".join(column.format_head() for column in columns)
    cells = "\n".join(
        _format_row(row, folders[row.name], columns, with_picture=n < max_pictures) for n, row in enumerate(worst_first)
    )
    limit = f" Only the first {max_pictures} pairs have one." if len(rows) > max_pictures else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Registrations</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{done} of {len(rows)} pairs registered</h1>\n"
        "<p>The worst pair comes first: failed ones, then by Dice, else by the distance of landmarks (TRE), else by "
        "folding. Numbers do not say that a result is right: look at it. Pictures: fixed red, moving cyan, gray where "
        f"both agree.{limit}</p>\n"
        f"<table><tr><th>pair</th><th>as loaded, registered</th><th>state</th>{names}<th>warnings, error</th></tr>\n"
        f"{cells}\n</table>\n"
        f"{_format_structures(tasks)}</body></html>\n"
    )


@dataclass(frozen=True)
class _Column:
    """A column of the page. digits: of its numbers; None: it holds text. is_always: also if all its cells are empty."""

    name: str
    attribute: str
    digits: int | None = None
    is_always: bool = True

    def read(self, row: Row) -> str:
        """Return the cell of a row as text; empty if the value is not known."""
        value = getattr(row, self.attribute)
        return "" if value is None else f"{value:.{self.digits}f}" if self.digits is not None else str(value)

    def format_head(self) -> str:
        """Return the head of the column as HTML."""
        return f'<th class="{self._kind}">{self.name}</th>'

    def format_cell(self, row: Row) -> str:
        """Return the cell of a row as HTML."""
        return f'<td class="{self._kind}">{html.escape(self.read(row))}</td>'

    @property
    def _kind(self) -> str:
        return "plain" if self.digits is None else "number"


_COLUMNS = (
    _Column("group", "group", is_always=False),
    _Column("Dice before", "dice_before", 3),
    _Column("Dice after", "dice_after", 3),
    _Column("TRE before, mm", "tre_before_mm", 2, is_always=False),
    _Column("TRE after, mm", "tre_after_mm", 2, is_always=False),
    _Column("folding %", "folding_percent", 3),
    _Column("seconds", "seconds", 1),
    _Column("model", "model"),
)


def _format_row(row: Row, folder: Path, columns: Sequence[_Column], *, with_picture: bool) -> str:
    is_done = row.state == "done"
    cells = "".join(column.format_cell(row) for column in columns)
    lines = "<br>".join(html.escape(line) for line in (row.error, *row.warnings) if line)
    return (
        f'<tr class="{row.state}"><td>{_link(row, folder) if is_done else html.escape(row.name)}</td>'
        f"<td>{_embed(folder / THUMBNAIL_FILE) if is_done and with_picture else ''}</td><td>{row.state}</td>"
        f"{cells}<td>{lines}</td></tr>"
    )


def _link(row: Row, folder: Path) -> str:
    """Link a pair to its page, where there is one, and to its report."""

    def link(file: str, text: str) -> str:
        return f'<a href="pairs/{html.escape(folder.name)}/{file}">{html.escape(text)}</a>'

    if not (folder / PAGE_FILE).is_file():
        return link(REPORT_FILE, row.name)
    return f"{link(PAGE_FILE, row.name)} ({link(REPORT_FILE, 'numbers')})"


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
        for structure in read_report(task)["structures"] or ():
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
