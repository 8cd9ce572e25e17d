"""Draws a validation: slices of each pair before and after registration, differences, outlines, deformation grid."""

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
"""Approximate number of deformation grid lines along the longest axis."""
_VIEWS = ((2, (0, 1)), (3, (0, 2)), (4, (1, 2)))
"""Axial, coronal, sagittal: the normal axis of a (N, C, k, j, i) tensor, and the in-plane displacement components."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _View:
    """A slice orientation: normal axis, in-plane components, pixels per voxel."""

    axis: int
    components: tuple[int, int]
    scale: float

    def plane(self, volume: Tensor, mode: str = "bilinear") -> NDArray[np.float32]:
        """The middle slice of (1, C, D, H, W), enlarged, (C, rows, columns); patient right is on the left."""
        middle = volume.float().select(self.axis, volume.shape[self.axis] // 2)
        size = [round(n * self.scale) for n in middle.shape[2:]]
        smooth = {"align_corners": False} if mode == "bilinear" else {}
        enlarged = F.interpolate(middle, size=size, mode=mode, **smooth)
        return np.asarray(enlarged[0].flip(1, 2).numpy())


def draw_validation(validation: Validation) -> Pixels:
    """Draw all pairs of a validation, one below the other, (rows, columns, 3) RGB.

    Each pair has a caption with its numbers and an axial, a coronal and a sagittal row through the middle of the grid.
    Difference images are gray where the images agree. Outlines: fixed structures green, moving structures orange. The
    deformation grid is regular in the moving image and drawn in the space of the fixed image, as in the viewers.
    """
    blocks = [_draw_case(number, case) for number, case in enumerate(validation.cases, start=1)]
    width = max(block.shape[1] for block in blocks)
    padded = [np.pad(b, ((0, 2 * GAP), (0, width - b.shape[1]), (0, 0))) for b in blocks]
    return np.concatenate(padded)


def _draw_case(number: int, case: ValidationCase) -> Pixels:
    shape = case.flow.shape[2:]
    scale = TILE_PIXELS / max(shape)
    rows = [_draw_row(case, _View(axis, components, scale)) for axis, components in _VIEWS]
    titles = _draw_captions(COLUMNS, rows[0].shape[1] // len(COLUMNS))
    heading = _draw_text(_format_heading(number, case.numbers()), rows[0].shape[1])
    return np.concatenate([heading, titles, *rows])


def _draw_row(case: ValidationCase, view: _View) -> Pixels:
    source = case.validation_pair
    pair = source.pair
    fixed, moving, warped = (_to_gray(view.plane(x)[0]) for x in (pair.fixed, pair.moving, case.warped))
    before, after = (_draw_difference(view.plane(pair.fixed - x)[0]) for x in (pair.moving, case.warped))
    fixed_lines, moving_lines, warped_lines = (
        _outlines(labels, view) for labels in (source.fixed_labels, source.moving_labels, case.warped_labels)
    )
    tiles = [
        _paint(fixed, fixed_lines, FIXED_COLOR),
        _paint(moving, moving_lines, MOVING_COLOR),
        _paint(_paint(warped, fixed_lines, FIXED_COLOR), warped_lines, MOVING_COLOR),
        before,
        after,
        _paint(_to_gray(0.6 * view.plane(pair.fixed)[0]), _grid_lines(case.flow, view), GRID_COLOR),
    ]
    return np.concatenate([_center_in_frame(tile) for tile in tiles], axis=1)


def _to_gray(plane: NDArray[np.float32]) -> Pixels:
    values = np.clip(255 * plane, 0, 255).astype(np.uint8)
    return np.repeat(values[..., None], 3, axis=2)


def _draw_difference(plane: NDArray[np.float32]) -> Pixels:
    return _to_gray(0.5 + plane)


def _outlines(labels: Tensor | None, view: _View) -> NDArray[np.bool_] | None:
    return None if labels is None else boundaries(view.plane(labels, mode="nearest")[0].astype(np.int64))


def _grid_lines(flow: Tensor, view: _View) -> NDArray[np.bool_]:
    """The pixels of the fixed image where the lines of a regular grid of the moving image are."""
    step = max(1, round(max(flow.shape[2:]) / GRID_LINES))
    points = view.plane(sampling_points(flow))[list(view.components)]
    cells = np.floor((points + 0.5) / step).astype(np.int64)
    return boundaries(cells[0]) | boundaries(cells[1])


def boundaries(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The pixels (rows, columns) whose number differs from that of the pixel below or to the right."""
    lines = np.zeros(numbers.shape, dtype=bool)
    lines[:-1] |= numbers[1:] != numbers[:-1]
    lines[:, :-1] |= numbers[:, 1:] != numbers[:, :-1]
    return lines


def _paint(tile: Pixels, lines: NDArray[np.bool_] | None, color: tuple[int, int, int]) -> Pixels:
    if lines is None:
        return tile
    return np.where(lines[..., None], np.array(color, dtype=np.uint8), tile)


def _center_in_frame(tile: Pixels) -> Pixels:
    """Pad a tile with black to a square."""
    side = TILE_PIXELS + GAP
    rest = [max(0, side - n) for n in tile.shape[:2]]
    return np.pad(tile, [*((n // 2, n - n // 2) for n in rest), (0, 0)])


def _draw_captions(names: tuple[str, ...], width: int) -> Pixels:
    return np.concatenate([_draw_text(name, width) for name in names], axis=1)


def _format_heading(number: int, numbers: Mapping[str, float]) -> str:
    """The numbers of a pair in one line."""
    parts = [f"pair {number}"]
    for name in ("correlation", "dice"):
        if name in numbers:
            parts.append(f"{name.capitalize()} {numbers[f'{name}_before']:.3f} to {numbers[name]:.3f}")
    parts.append(f"folding {numbers['folding_percent']:.3f} %")
    return "    ".join(parts)


def _draw_text(text: str, width: int) -> Pixels:
    image = Image.new("RGB", (width, CAPTION))
    ImageDraw.Draw(image).text((GAP, 3), text, fill=(225, 225, 225), font=ImageFont.load_default(12))
    return np.asarray(image)
