"""Corresponding landmarks of two volumes in a CSV file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .csv_table import check_points_table, read_coordinates, read_csv_table

LANDMARK_COLUMNS = tuple(f"{role}_{axis}" for role in ("fixed", "moving") for axis in "xyz")
_COLUMNS = ", ".join(LANDMARK_COLUMNS)
_OTHER_SUFFIXES = (".json", ".fcsv", ".xlsx", ".xls", ".ods")


def read_landmarks(path: Path) -> NDArray[np.float64]:
    """Read corresponding points: (n, 2, 3), fixed and moving, RAS mm. Raises InputError with file and line."""
    if path.name.lower().endswith(_OTHER_SUFFIXES):
        raise InputError(f"{path}: landmarks of both volumes are read from one CSV file; its columns: {_COLUMNS}.")
    header, rows = read_csv_table(path)
    missing = [name for name in LANDMARK_COLUMNS if name not in header]
    if missing:
        raise InputError(f"{path}, line 1: the header lacks {', '.join(missing)}.")
    for name in LANDMARK_COLUMNS:
        if header.count(name) > 1:
            raise InputError(f"{path}, line 1: the header names the column {name} twice.")
    check_points_table(path, header, rows)
    columns = [header.index(name) for name in LANDMARK_COLUMNS]
    points = []
    for number, cells in rows:
        points.append(read_coordinates(f"{path}, line {number}", cells, columns, "a landmark"))
    if not points:
        raise InputError(f"{path}: there is no landmark in this file.")
    return np.array(points).reshape(-1, 2, 3)
