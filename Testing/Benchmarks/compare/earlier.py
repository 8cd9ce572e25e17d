"""Rows of an earlier comparison.csv: those that still hold are found by their key, older ones by what they measured."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .statistics import MEASURES, Row

KEY_LENGTH = 16
"""Characters of a row's key in the table."""


def read_rows(file: Path) -> list[Row]:
    """Read the rows without an error; no file means no rows."""
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as stream:
        return [_typed(row) for row in csv.DictReader(stream) if not row["error"]]


def find_row(rows: Sequence[Row], key: str) -> Row | None:
    """Find what was measured with the same files, settings and version: the row with a key."""
    return next((row for row in rows if row["key"] and row["key"] == key[:KEY_LENGTH]), None)


def find_older_row(rows: Sequence[Row], group: str, pair: str, method: str) -> Row | None:
    """Find the row of a method on a pair, whatever it was measured with; it is marked as `older`."""
    wanted = (group, pair, method)
    found = next((row for row in rows if (row["set"], row["pair"], row["method"]) == wanted), None)
    return None if found is None else {**found, "older": True}


def _typed(row: dict[str, str]) -> Row:
    measures: dict[str, Any] = {name: float(row[name]) if row[name] else None for name in MEASURES}
    return {**row, "key": row.get("key") or "", **measures, "threads": int(row["threads"])}
