"""Box plots of the Dice of each structure over all pairs, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

_ROW, _PLOT, _NAMES, _TOP = 26, 480, 230, 24
"""Height of a row, width of the plot, width of the names, height of the axis, pixels."""
_BOX = 7
_COLORS = {"before": "#999", "after": "#0b6bcb"}
_MAX_NAME = 34


def draw_box_plots(dice: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Draw for each structure a box before (gray) and after registration (blue), the least median first.

    dice: by structure the values of all pairs, by `before` and `after`. A box reaches from the first to the third
    quartile, its line is the median; the whiskers end at the smallest and the largest value. Returns an SVG element.
    """
    ordered = sorted(dice.items(), key=lambda item: float(np.median(item[1]["after"])))
    width, height = _NAMES + _PLOT + 60, _TOP + _ROW * len(ordered) + 6
    parts = [_draw_axis(tick / 10, height) for tick in range(0, 11, 2)]
    for number, (name, values) in enumerate(ordered):
        top = _TOP + number * _ROW
        parts.append(f'<text x="{_NAMES - 8}" y="{top + 17}" text-anchor="end">{escape(_shorten(name))}</text>')
        parts.append(f'<text x="{_NAMES + _PLOT + 12}" y="{top + 17}">{len(values["after"])}</text>')
        for kind, offset in (("before", 4), ("after", 14)):
            parts.append(_draw_box(values[kind], top + offset, _COLORS[kind]))
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" font-size="12" '
        f'font-family="sans-serif" aria-label="Dice of each structure over all pairs">{"".join(parts)}</svg>'
    )


def _draw_axis(value: float, height: int) -> str:
    x = _place(value)
    return (
        f'<line x1="{x}" x2="{x}" y1="{_TOP - 4}" y2="{height - 4}" stroke="#ddd"/>'
        f'<text x="{x}" y="{_TOP - 9}" text-anchor="middle" fill="#666">{value:g}</text>'
    )


def _draw_box(values: Sequence[float], top: int, color: str) -> str:
    low, first, median, third, high = (_place(v) for v in np.percentile(values, (0, 25, 50, 75, 100)))
    middle = top + _BOX / 2
    return (
        f'<line x1="{low}" x2="{high}" y1="{middle}" y2="{middle}" stroke="{color}"/>'
        f'<rect x="{first}" y="{top}" width="{max(third - first, 1):.1f}" height="{_BOX}" fill="{color}" '
        'fill-opacity="0.35" '
        f'stroke="{color}"/><line x1="{median}" x2="{median}" y1="{top}" y2="{top + _BOX}" stroke="{color}" '
        'stroke-width="2.5"/>'
    )


def _place(value: float) -> float:
    return round(_NAMES + _PLOT * float(np.clip(value, 0, 1)), 1)


def _shorten(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"
