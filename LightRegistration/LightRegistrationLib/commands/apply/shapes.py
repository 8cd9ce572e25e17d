"""Transforms applied to points and surfaces: from the space of the input to that of the reference.

An image is pulled: each voxel of the reference looks up its place in the input. A point of the input is pushed the
other way, by the inverse of the same transforms, so that it stays on the tissue that it marks.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import InputError
from ...core.files.csv_table import check_points_table, read_coordinates, read_csv_table
from ...core.geometry.geometry import FloatArray, Geometry
from ...scene.files.file_checks import OnWarning, log_warning
from ...scene.files.messages import capture_messages
from ...scene.files.saving import save_node
from ...scene.files.shapes import (
    check_surface_format,
    is_box_or_plane,
    load_markups,
    load_surface,
    read_control_points,
    read_surface_points,
)
from ...scene.nodes.transform_chain import TransformChain
from .chain import check_inverse, check_reach, load_chain, load_reference
from .request import ApplyRequest, Kind

COLUMNS = ("x", "y", "z")
_DECIMALS = 6
_LPS = np.array([-1.0, -1.0, 1.0])
_ANTS_COLUMN = "t"
"""The fourth column of point files of ANTs, which are LPS mm; the formats differ in nothing else."""


def apply_to_shape(scene: Any, request: ApplyRequest, target: Path, on_warning: OnWarning) -> None:
    """Transform the points of the input and write it to `target`. Raises InputError."""
    chain = load_chain(scene, request, on_warning)
    geometry = load_reference(scene, request, on_warning)
    if request.kind == Kind.TABLE:
        header, rows, points = read_points(request.input, request.is_lps, on_warning=on_warning)
        points = points * _LPS if request.is_lps else points
        moved = _move(chain, request, points, geometry, on_warning)
        write_points(target, header, rows, moved * _LPS if request.is_lps else moved)
        return
    load, read_of = _LOADERS[request.kind]
    node = load(scene, request.input, on_warning)
    if request.kind == Kind.SURFACE:
        check_surface_format(node, target)
    elif is_box_or_plane(node) and not chain.is_linear:
        on_warning(f"{request.input}: a box or a plane is not bent; only its center, its axes and its size are moved.")
    _move(chain, request, read_of(node), geometry, on_warning)
    with capture_messages():
        node.ApplyTransform(chain.backward)
    save_node(node, target)


_LOADERS: dict[Kind, tuple[Callable[[Any, Path, OnWarning], Any], Callable[[Any], FloatArray]]] = {
    Kind.MARKUPS: (
        lambda scene, path, on_warning: load_markups(scene, path, on_warning=on_warning),
        read_control_points,
    ),
    Kind.SURFACE: (
        lambda scene, path, on_warning: load_surface(scene, path, on_warning=on_warning),
        read_surface_points,
    ),
}


def _move(
    chain: TransformChain,
    request: ApplyRequest,
    points_mm: FloatArray,
    geometry: Geometry | None,
    on_warning: OnWarning,
) -> FloatArray:
    """Map points of the input (n, 3) to the space of the reference, RAS mm, and warn of those that go wrong."""
    with capture_messages():
        moved = chain.map_back(points_mm)
        check_reach(chain, request, moved, "points", on_warning)
        check_inverse(chain, points_mm, "points", on_warning)
    if geometry is not None:
        outside = int((~geometry.contains(moved)).sum())
        if outside:
            on_warning(f"{outside} of {len(moved)} points lie outside of the reference.")
    return moved


def read_points(
    path: Path, is_lps: bool = False, *, on_warning: OnWarning = log_warning
) -> tuple[list[str], list[list[str]], FloatArray]:
    """Read a CSV file with the columns x, y, z and any others: its header, its rows, and the points (n, 3).

    is_lps: what the user says of the points; they are returned as stored. A warning if they look like points of ANTs,
    which are LPS, and the user does not say so. Raises InputError with file and line.
    """
    header, rows = read_csv_table(path)
    columns = _find_columns(path, header)
    check_points_table(path, header, rows, is_lps=is_lps)
    points = []
    for number, cells in rows:
        points.append(read_coordinates(f"{path}, line {number}", cells, columns, "a point"))
    if not points:
        raise InputError(f"{path}: there is no point in this file.")
    if not is_lps and _ANTS_COLUMN in map(str.casefold, header):
        on_warning(
            f"{path}: points were read as RAS mm; those of ANTs, with the columns x, y, z, t, are LPS mm: add --lps "
            "for them."
        )
    return header, [cells for _, cells in rows], np.array(points)


def write_points(path: Path, header: list[str], rows: list[list[str]], points: FloatArray) -> None:
    """Write a CSV file as it was read, with other points."""
    columns = _find_columns(path, header)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        for cells, point in zip(rows, points, strict=True):
            changed = list(cells)
            for column, value in zip(columns, point, strict=True):
                changed[column] = f"{value:.{_DECIMALS}f}"
            writer.writerow(changed)


def _find_columns(path: Path, header: list[str]) -> list[int]:
    names = [name.casefold() for name in header]
    wrong = next((name for name in COLUMNS if names.count(name) != 1), None)
    if wrong is not None:
        fault = "lacks the column" if wrong not in names else "has more than one column"
        raise InputError(
            f"{path}, line 1: the header {fault} {wrong}; it names the columns, of which x, y, z once each."
        )
    return [names.index(name) for name in COLUMNS]
