"""Validation as a picture: slices of each pair before and after, what still differs, outlines and deformation grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .validation import Validation, ValidationCase, sampling_points

TILE_PIXELS = 168
GAP, CAPTION = 4, 20
FIXED_COLOR, MOVING_COLOR, GRID_COLOR = (90, 230, 110), (255, 150, 40), (80, 190, 255)
COLUMNS = ("fixed", "moving", "warped", "difference before", "difference after", "deformation grid")
GRID_LINES = 20
"""About so many lines of the deformation grid lie along the longest axis."""
_VIEWS = ((2, (0, 1)), (3, (0, 2)), (4, (1, 2)))
"""Axial, coronal, sagittal: the axis of a (N, C, k, j, i) tensor that is cut, and the components seen in the slice."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _View:
    """One direction to look at the grid from: the cut axis, the in-plane components, the size of a tile in pixels."""

    axis: int
    components: tuple[int, int]
    scale: float

    def plane(self, volume: Tensor, mode: str = "bilinear") -> NDArray[np.float32]:
        """The middle slice of (1, C, D, H, W), enlarged, (C, rows, columns); as Slicer shows it: right is left."""
        middle = volume.float().select(self.axis, volume.shape[self.axis] // 2)
        size = [round(n * self.scale) for n in middle.shape[2:]]
        smooth = {"align_corners": False} if mode == "bilinear" else {}
        enlarged = F.interpolate(middle, size=size, mode=mode, **smooth)
        return np.asarray(enlarged[0].flip(1, 2).numpy())


def draw_validation(validation: Validation) -> Pixels:
    """All pairs of a validation below one another, (rows, columns, 3) RGB.

    Each has its numbers as a caption, then an axial, a coronal and a sagittal row through the middle of the grid.
    Differences are gray where the images agree. Outlines: fixed structures green, moving ones orange. The grid's lines
    are evenly spaced in the moving image; they are shown where the fixed image lies, as the viewers show them.
    """
    blocks = [_case_block(number, case) for number, case in enumerate(validation.cases, start=1)]
    width = max(block.shape[1] for block in blocks)
    padded = [np.pad(b, ((0, 2 * GAP), (0, width - b.shape[1]), (0, 0))) for b in blocks]
    return np.concatenate(padded)


def _case_block(number: int, case: ValidationCase) -> Pixels:
    shape = case.flow.shape[2:]
    scale = TILE_PIXELS / max(shape)
    rows = [_row(case, _View(axis, components, scale)) for axis, components in _VIEWS]
    titles = _captions(COLUMNS, rows[0].shape[1] // len(COLUMNS))
    heading = _text_line(_heading(number, case.numbers()), rows[0].shape[1])
    return np.concatenate([heading, titles, *rows])


def _row(case: ValidationCase, view: _View) -> Pixels:
    pair, kept = case.kept.pair, case.kept
    fixed, moving, warped = (_gray(view.plane(x)[0]) for x in (pair.fixed, pair.moving, case.warped))
    before, after = (_difference(view.plane(pair.fixed - x)[0]) for x in (pair.moving, case.warped))
    inside, outside, result = (_outlines(x, view) for x in (kept.fixed_labels, kept.moving_labels, case.warped_labels))
    tiles = [
        _painted(fixed, inside, FIXED_COLOR),
        _painted(moving, outside, MOVING_COLOR),
        _painted(_painted(warped, inside, FIXED_COLOR), result, MOVING_COLOR),
        before,
        after,
        _painted(_gray(0.6 * view.plane(pair.fixed)[0]), _grid_lines(case.flow, view), GRID_COLOR),
    ]
    return np.concatenate([_in_frame(tile) for tile in tiles], axis=1)


def _gray(plane: NDArray[np.float32]) -> Pixels:
    values = np.clip(255 * plane, 0, 255).astype(np.uint8)
    return np.repeat(values[..., None], 3, axis=2)


def _difference(plane: NDArray[np.float32]) -> Pixels:
    return _gray(0.5 + plane)


def _outlines(labels: Tensor | None, view: _View) -> NDArray[np.bool_] | None:
    return None if labels is None else boundaries(view.plane(labels, mode="nearest")[0].astype(np.int64))


def _grid_lines(flow: Tensor, view: _View) -> NDArray[np.bool_]:
    """Where the lines of a regular grid of the moving image come to lie in the fixed one."""
    step = max(1, round(max(flow.shape[2:]) / GRID_LINES))
    places = view.plane(sampling_points(flow))[list(view.components)]
    cells = np.floor((places + 0.5) / step).astype(np.int64)
    return boundaries(cells[0]) | boundaries(cells[1])


def boundaries(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The pixels (rows, columns) whose number is another one than that of the pixel below or to the right."""
    lines = np.zeros(numbers.shape, dtype=bool)
    lines[:-1] |= numbers[1:] != numbers[:-1]
    lines[:, :-1] |= numbers[:, 1:] != numbers[:, :-1]
    return lines


def _painted(tile: Pixels, lines: NDArray[np.bool_] | None, color: tuple[int, int, int]) -> Pixels:
    if lines is None:
        return tile
    return np.where(lines[..., None], np.array(color, dtype=np.uint8), tile)


def _in_frame(tile: Pixels) -> Pixels:
    """In the middle of a square, black around."""
    side = TILE_PIXELS + GAP
    rest = [max(0, side - n) for n in tile.shape[:2]]
    return np.pad(tile, [*((n // 2, n - n // 2) for n in rest), (0, 0)])


def _captions(names: tuple[str, ...], width: int) -> Pixels:
    return np.concatenate([_text_line(name, width) for name in names], axis=1)


def _heading(number: int, numbers: Mapping[str, float]) -> str:
    """A pair's numbers in one line."""
    parts = [f"pair {number}"]
    for name in ("correlation", "dice"):
        if name in numbers:
            parts.append(f"{name.capitalize()} {numbers[f'{name}_before']:.3f} to {numbers[name]:.3f}")
    parts.append(f"folding {numbers['folding_percent']:.3f} %")
    return "    ".join(parts)


def _text_line(text: str, width: int) -> Pixels:
    image = Image.new("RGB", (width, CAPTION))
    ImageDraw.Draw(image).text((GAP, 3), text, fill=(225, 225, 225), font=ImageFont.load_default(12))
    return np.asarray(image)
