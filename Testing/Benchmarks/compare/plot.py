"""The comparison as a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common import new_figure
from matplotlib.ticker import NullFormatter
from peers.registry import FROM_OUR_AFFINE, METHODS

from .bars import OURS
from .plan import SETS
from .report import summaries
from .statistics import AFFINE, UNREGISTERED, Row, Summary

_TOOLS = tuple(dict.fromkeys(name.removesuffix(FROM_OUR_AFFINE) for name in METHODS if name != UNREGISTERED))
_COLORS = (*(f"C{number}" for number in range(10)), "black", "tan")


def plot(rows: Sequence[Row]) -> Any:
    """Plot accuracy over CPU seconds, one panel a set, without failed runs.

    The line joins the methods that no other one beats in both. One color a tool; hollow: from our affine stage.
    """
    found = summaries(rows)
    columns, lines = min(3, max(1, len(found))), 1 + (len(found) > 3)
    figure, panels = new_figure(columns, width=1 + 3.2 * columns, height=1.2 + 3.0 * lines, rows=lines)
    for unused in panels.ravel()[max(1, len(found)) :]:
        unused.remove()
    handles: dict[str, Any] = {}
    for axes, (group, methods) in zip(panels.ravel(), found.items(), strict=False):
        measure = SETS[group].measure
        own = points(methods, measure)
        for name, (seconds, value) in own.items():
            handles[METHODS[name].title] = axes.plot(seconds, value, **style_of(name))[0]
        front = pareto_front(own, measure)
        axes.plot([p[0] for p in front], [p[1] for p in front], color="0.6", linewidth=1, zorder=0)
        _describe(axes, group, measure)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8)
    return figure


def style_of(name: str) -> dict[str, Any]:
    """Choose the marker of a method: circles are ours, diamonds our affine stage, squares peers."""
    color = _COLORS[_TOOLS.index(name.removesuffix(FROM_OUR_AFFINE))]
    marker = "o" if name in OURS else "D" if name == AFFINE else "s"
    face = "none" if name.endswith(FROM_OUR_AFFINE) else color
    return {"marker": marker, "color": color, "markerfacecolor": face, "linestyle": ""}


def _describe(axes: Any, group: str, measure: str) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())  # their labels would overlap
    if measure == "tre_mm":
        axes.invert_yaxis()
    axes.set_title(SETS[group].title, fontsize=9)
    axes.set_xlabel("CPU seconds a pair", fontsize=8)
    axes.set_ylabel("Dice" if measure == "dice" else "TRE, mm", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)


def points(methods: Mapping[str, Summary], measure: str) -> dict[str, tuple[float, float]]:
    """Find the CPU seconds and the accuracy of each method that takes time and was run on all pairs of its set."""
    most = max((own.pairs for own in methods.values()), default=0)
    complete = {n: own for n, own in methods.items() if n != UNREGISTERED and own.pairs + len(own.errors) == most}
    found = {name: (own.mean["cpu_seconds"], own.mean_of_good[measure]) for name, own in complete.items()}
    return {name: (s, v) for name, (s, v) in found.items() if s is not None and v is not None}


def pareto_front(found: Mapping[str, tuple[float, float]], measure: str) -> list[tuple[float, float]]:
    """Find the points that no other is both faster and more accurate than, from the fastest on."""
    sign = -1 if measure == "tre_mm" else 1
    front: list[tuple[float, float]] = []
    for point in sorted(found.values(), key=lambda p: (p[0], -sign * p[1])):
        if not front or sign * point[1] > sign * front[-1][1]:
            front.append(point)
    return front
