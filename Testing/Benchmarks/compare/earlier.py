"""Rows of an earlier comparison.csv, by their key: what was measured with the same files, settings and version."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from .statistics import MEASURES, Row

KEY_LENGTH = 16
"""Characters of a row's key in the table."""


def read_rows(file: Path) -> dict[str, Row]:
    """Read the rows that have a key and no error; no file means no rows."""
    if not file.is_file():
        return {}
    with file.open(encoding="utf-8", newline="") as stream:
        return {row["key"]: _typed(row) for row in csv.DictReader(stream) if row.get("key") and not row["error"]}


def _typed(row: dict[str, str]) -> Row:
    measures: dict[str, Any] = {name: float(row[name]) if row[name] else None for name in MEASURES}
    return {**row, **measures, "threads": int(row["threads"])}
