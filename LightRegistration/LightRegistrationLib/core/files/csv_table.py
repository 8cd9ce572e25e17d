"""Tables in CSV files."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from .plain_file import read_plain_text

_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SYSTEM_COLUMN = re.compile(r"(fixed|moving)?(space|system|coordinatesystem|coordinatespace)")
"""Names of columns that tell the coordinate system, without blanks."""
_UNIT_COLUMN = re.compile(r"(fixed|moving)?(unit|units|lengthunit|coordinateunits)")
_MILLIMETERS = ("", "mm", "millimeter", "millimeters", "millimetre", "millimetres")
_AXES = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
_SHOWN_ERRORS = 3
"""Errors of one list that are named; the others are counted."""
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_NOT_FINITE = re.compile(r"[-+]?(?:nan|inf|infinity)", re.IGNORECASE)


def read_csv_table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header and the non-blank rows with their line numbers. Raises InputError if it cannot be read."""
    reader = csv.reader(io.StringIO(read_plain_text(path, "CSV"), newline=""))
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise InputError(f"{path}: this is not a CSV file of text; save the table as CSV ({error}).") from error
    if not rows:
        raise InputError(f"{path}: the file is empty; its first line names the columns.")
    (_, header), *_ = rows
    for sign, name in _OTHER_SEPARATORS.items():
        if len(header) == 1 and sign in header[0]:
            raise InputError(f"{path}, line 1: the columns are separated by {name}; save it with commas between them.")
    return header, rows[1:]


def check_points_table(
    path: Path, header: Sequence[str], rows: Sequence[tuple[int, list[str]]], *, is_lps: bool = False
) -> None:
    """Raise InputError for points that would be read wrongly: rows longer than the header, another system or unit.

    Rows are too long where decimal commas cut the numbers. Columns may tell the system, and the unit of length. is_lps:
    what the user says.
    """
    system = "LPS" if is_lps else "RAS"
    names = [re.sub(r"[\s_-]", "", name).casefold() for name in header]
    columns, units = (
        [n for n, name in enumerate(names) if pattern.fullmatch(name)] for pattern in (_SYSTEM_COLUMN, _UNIT_COLUMN)
    )
    for number, cells in rows:
        if any(cells[len(header) :]):
            raise InputError(
                f"{path}, line {number}: {len(cells)} fields where the header has {len(header)} columns; write numbers "
                "with a decimal point."
            )
        for other in (cells[n].upper() for n in columns if n < len(cells)):
            if _is_system(other) and other != system:
                raise InputError(
                    f"{path}, line {number}: the coordinate system is {other}, but points are read as {system} mm; "
                    "convert them."
                )
        for other in (cells[n] for n in units if n < len(cells)):
            if other.casefold() not in _MILLIMETERS:
                raise InputError(
                    f"{path}, line {number}: the unit is {other[:40]}, but points are read as mm; convert them."
                )


def _is_system(text: str) -> bool:
    """Whether a text names a coordinate system by its axes, such as LPS or PIR."""
    return sorted(_AXES.get(letter, -1) for letter in text) == [0, 1, 2]


def read_named_rows(path: Path, required: Sequence[str], known: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Read the rows, each with its place ("line 2") and its cells by column.

    Raises InputError, naming the file and the line, if a required column is missing, for a column that is not among the
    known ones or named twice, and for rows of another length than the header.
    """
    header, rows = read_csv_table(path)
    missing, unknown = [c for c in required if c not in header], [c for c in header if c not in known]
    if missing or unknown or len(set(header)) < len(header):
        wrong = f"lacks {', '.join(missing)}" if missing else f"has the column '{(unknown or header)[0]}'"
        wrong = wrong if missing or unknown else "names a column twice"
        raise InputError(f"{path}, line 1: the header {wrong}; the columns are {', '.join(known)}.")
    wrong_lengths = [
        f"line {number}: {len(cells)} {'field' if len(cells) == 1 else 'fields'} "
        f"where the header has {len(header)} columns"
        for number, cells in rows
        if len(cells) != len(header)
    ]
    raise_errors(str(path), wrong_lengths)
    return [(f"line {number}", dict(zip(header, cells, strict=True))) for number, cells in rows]


def read_coordinates(place: str, cells: Sequence[str], columns: Sequence[int], kind: str) -> list[float]:
    """Read the numbers of a row in some columns; place: file and line. kind: what they are, such as "a point".

    Raises InputError if one is missing or no finite number. Python would also take `1_0` and digits of other scripts.
    """
    words = [cells[column] for column in columns if column < len(cells)]
    if len(words) == len(columns) and all(_NUMBER.fullmatch(word) or _NOT_FINITE.fullmatch(word) for word in words):
        numbers = [float(word) for word in words]
        if all(map(math.isfinite, numbers)):
            return numbers
        raise InputError(f"{place}: a coordinate of {kind} is not finite.")
    count = {3: "three", 6: "six"}[len(columns)]
    raise InputError(f"{place}: {kind} is {count} numbers, in mm.")


def raise_errors(source: str, errors: Sequence[str]) -> None:
    """Raise InputError with the first errors of a list in one line; does nothing if there are none."""
    if errors:
        more = len(errors) - _SHOWN_ERRORS
        shown = "; ".join(errors[:_SHOWN_ERRORS]) + (f"; and {more} more" if more > 0 else "")
        raise InputError(f"{source}, {shown}.")
