"""Chosen points over time: read from a file, moved by the transform of each frame, written as a table and as a plot."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ...core.geometry.geometry import FloatArray
from ...scene.files.file_checks import OnWarning
from ...scene.files.shapes import list_placed_points, load_markups, read_control_points
from ...scene.nodes.removal import remove_new_nodes
from ..apply.shapes import read_points
from .frames import Frame

_LABEL_COLUMNS = ("label", "name", "id")
_LPS = np.array([-1.0, -1.0, 1.0])
_COLORS = ("#0b6bcb", "#d1495b", "#2e8b57", "#8a5cc2", "#c9781f", "#4c6e7b", "#b0338d", "#6b6b00")
_WIDTH, _HEIGHT, _LEFT, _TOP, _LEGEND = 560, 300, 70, 20, 170
"""Size of the plot, and space to its left, above it, and to its right, pixels."""
_MAX_LABEL, _MAX_TICKS = 22, 10
_AXIS_ENDS = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True, eq=False)
class Points:
    """Points of the reference: their names, and positions (n, 3), RAS mm."""

    names: tuple[str, ...]
    positions_mm: FloatArray


def read_series_points(scene: Any, path: Path, is_lps: bool, on_warning: OnWarning) -> Points:
    """Read a CSV file with the columns x, y, z and maybe label, name or id, or a .mrk.json file. Raises InputError."""
    if path.name.lower().endswith(".csv"):
        header, rows, positions = read_points(path, is_lps, on_warning=on_warning)
        columns = [header.index(name) for name in header if name.casefold() in _LABEL_COLUMNS][:1]
        names = [rows[n][columns[0]] if columns else str(n + 1) for n in range(len(rows))]
        return Points(tuple(names), positions * _LPS if is_lps else positions)
    with remove_new_nodes(scene):
        node = load_markups(scene, path, on_warning=on_warning)
        positions = read_control_points(node)
        labels = [node.GetNthControlPointLabel(n) or str(n + 1) for n in list_placed_points(node)]
    return Points(tuple(labels), positions)


def write_point_table(
    path: Path, points: Points, frames: Sequence[Frame], moved_mm: Sequence[FloatArray | None], index: str
) -> None:
    """Write a row for each point and frame: its place there and its displacement, RAS mm; empty where not known."""
    columns = ["point", "frame", *([] if index == "frame" else [index]), "x", "y", "z", "dx", "dy", "dz"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*columns, "distance_mm"])
        for n, name in enumerate(points.names):
            for frame, moved in zip(frames, moved_mm, strict=True):
                start = [name, frame.number, *([] if index == "frame" else [frame.value])]
                if moved is None:
                    writer.writerow([*start, *[""] * 7])
                    continue
                change = moved[n] - points.positions_mm[n]
                numbers = [*moved[n], *change, float(np.linalg.norm(change))]
                writer.writerow([*start, *(f"{value:.4f}" for value in numbers)])


def draw_points(points: Points, frames: Sequence[Frame], moved_mm: Sequence[FloatArray | None], axis: str) -> str:
    """Draw the distance of each point from its place in the reference over the frames, as an SVG document."""
    along = [float(frame.value) for frame in frames]
    known = [n for n, moved in enumerate(moved_mm) if moved is not None]
    distances = np.array([np.linalg.norm(m - points.positions_mm, axis=1) for m in moved_mm if m is not None])
    top = _round_up(float(distances.max(initial=0)))
    low, high = min(along), max(along)

    def place(value: float, distance: float) -> str:
        x = _LEFT + _WIDTH * (value - low) / max(high - low, 1e-9)
        return f"{x:.1f},{_TOP + _HEIGHT * (1 - distance / top):.1f}"

    parts = [_draw_axes([(value, place(value, 0).split(",")[0]) for value in along], top, axis)]
    for number, name in enumerate(points.names):
        color = _COLORS[number % len(_COLORS)]
        for run in _split_runs(known):
            line = " ".join(place(along[n], distances[known.index(n), number]) for n in run)
            parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
            for n in run:
                x, y = place(along[n], distances[known.index(n), number]).split(",")
                parts.append(f'<circle cx="{x}" cy="{y}" r="2.5" fill="{color}"/>')
        left, middle = _LEFT + _WIDTH + 20, _TOP + 14 + 18 * number
        parts.append(f'<rect x="{left}" y="{middle - 6}" width="12" height="4" fill="{color}"/>')
        parts.append(f'<text x="{left + 18}" y="{middle}">{escape(_shorten(name))}</text>')
    width = _LEFT + _WIDTH + _LEGEND
    height = max(_TOP + _HEIGHT + 50, _TOP + 30 + 18 * len(points.names))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _draw_axes(places: Sequence[tuple[float, str]], top: float, axis: str) -> str:
    """Draw the axes; places: the values of the frames, and where they are."""
    bottom, right = _TOP + _HEIGHT, _LEFT + _WIDTH
    parts = []
    for part in range(6):
        y = bottom - _HEIGHT * part / 5
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{top * part / 5:.4g}</text>')
    for value, x in places[:: -(-len(places) // _MAX_TICKS)]:
        parts.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{value:.4g}</text>')
    middle = _TOP + _HEIGHT / 2
    parts.append(f'<text x="{_LEFT + _WIDTH / 2}" y="{bottom + 38}" text-anchor="middle">{escape(axis)}</text>')
    parts.append(
        f'<text x="18" y="{middle}" text-anchor="middle" transform="rotate(-90 18 {middle})">distance, mm</text>'
    )
    return "".join(parts)


def _split_runs(numbers: Sequence[int]) -> list[list[int]]:
    """Split ascending numbers where one is missing."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


def _round_up(value: float) -> float:
    """Return the end of an axis, from which five equal steps have short numbers."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(power * step for step in _AXIS_ENDS if power * step >= value))


def _shorten(name: str) -> str:
    return name if len(name) <= _MAX_LABEL else f"{name[: _MAX_LABEL - 1]}…"
