"""Tables in CSV files."""

from __future__ import annotations

import csv
from pathlib import Path

from ..errors import InputError


def read_csv_table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header and the non-blank rows with their line numbers. Raises InputError if it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: this is not a CSV file of text in UTF-8 ({error}).") from error
    if not rows:
        raise InputError(f"{path}: the file is empty; its first line names the columns.")
    return rows[0][1], rows[1:]
