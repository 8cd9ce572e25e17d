"""Writes the outcome of a batch as a table and as a page."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from ...core.files.whole_file import write_whole
from .page import format_page
from .rows import Row, make_row
from .settings import BATCH, BatchSettings
from .task import Task

TABLE_FILE, PARQUET_FILE, PAGE_FILE = "table.csv", "table.parquet", "index.html"


def write_summary(output: Path, tasks: Sequence[Task], settings: BatchSettings = BATCH) -> list[Row]:
    """Write the table, in the order of the tasks, and the page, the worst pair first; returns the rows.

    settings: how many of the worst pairs have a picture on the page. The table is also written as Parquet where pyarrow
    is installed.
    """
    rows = [make_row(task) for task in tasks]
    write_whole(output / TABLE_FILE, _format_table(rows).encode())
    if importlib.util.find_spec("pyarrow") is not None:
        write_whole(output / PARQUET_FILE, _format_parquet(rows))
    else:
        (output / PARQUET_FILE).unlink(missing_ok=True)  # of an earlier run: it would be of other rows
    write_whole(output / PAGE_FILE, format_page(tasks, rows, settings.max_pictures).encode())
    return rows


def _list_values(row: Row) -> dict[str, str | float | None]:
    """Return the cells of a row by column."""
    return {**asdict(row), "warnings": " ".join(row.warnings)}


def _format_table(rows: Sequence[Row]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(_list_values, rows))  # None is an empty cell
    return stream.getvalue()


def _format_parquet(rows: Sequence[Row]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    numbers, text = pyarrow.float64(), pyarrow.string()
    schema = pyarrow.schema([(field.name, numbers if "float" in str(field.type) else text) for field in fields(Row)])
    stream = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist([_list_values(row) for row in rows], schema), stream)
    return stream.getvalue()
