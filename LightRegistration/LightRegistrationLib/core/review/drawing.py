"""Pictures of a pair on a plane: RGB arrays (rows, columns, 3) of uint8."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..geometry.geometry import FloatArray
from ..geometry.volume import Volume
from .planes import Plane
from .settings import REVIEW

Picture = NDArray[np.uint8]
Gray = NDArray[np.float32]
FIXED_COLOR, WARPED_COLOR, GRID_COLOR, FOLDED_COLOR = (80, 220, 80), (255, 200, 0), (90, 170, 255), (255, 0, 255)
_DASH_PIXELS = 3


def find_window(volume: Volume) -> tuple[float, float]:
    """Find the intensities of a volume that are drawn black and white."""
    values = volume.array[::2, ::2, ::2].astype(np.float32)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, REVIEW.percentiles)
    return float(low), float(max(high, low + 1e-6))


def scale_to_gray(values: Gray, window: tuple[float, float]) -> Gray:
    """Scale intensities to 0 (black) to 1 (white); NaN is black."""
    low, high = window
    return np.clip((np.nan_to_num(values, nan=low) - low) / (high - low), 0, 1).astype(np.float32)


def draw_gray(gray: Gray) -> Picture:
    """Draw one image."""
    return _to_bytes(np.repeat(gray[..., None], 3, axis=-1))


def draw_two_colors(fixed: Gray, moving: Gray) -> Picture:
    """Draw the fixed image in red and the moving one in cyan: gray where they agree."""
    return _to_bytes(np.stack([fixed, moving, moving], axis=-1))


def draw_checkerboard(fixed: Gray, moving: Gray) -> Picture:
    """Draw tiles of both images in turn."""
    tile = max(max(fixed.shape) // REVIEW.checkerboard_tiles, 1)
    rows, columns = np.indices(fixed.shape) // tile
    return draw_gray(np.where((rows + columns) % 2, moving, fixed))


def draw_difference(fixed: Gray, moving: Gray) -> Picture:
    """Draw moving - fixed: gray where they are equal, brighter or darker where the moving image is."""
    return draw_gray((0.5 + (moving - fixed) / 2).astype(np.float32))


def draw_determinants(determinants: FloatArray) -> Picture:
    """Draw Jacobian determinants: white 1, red growth and blue shrinkage from fixed to moving, magenta folding."""
    with np.errstate(divide="ignore", invalid="ignore"):
        amount = np.clip(np.log(determinants) / np.log(REVIEW.jacobian_range), -1, 1)
    amount = np.nan_to_num(amount)
    fade = 1 - np.abs(amount)
    picture = _to_bytes(np.stack([np.where(amount < 0, fade, 1), fade, np.where(amount > 0, fade, 1)], axis=-1))
    picture[determinants <= 0] = FOLDED_COLOR
    return picture


def add_outlines(picture: Picture, labels: NDArray, color: tuple[int, int, int], *, is_dashed: bool = False) -> Picture:
    """Draw the edges of structures (rows, columns; 0: none) onto a copy of a picture."""
    edges = _find_edges(labels)
    if is_dashed:
        rows, columns = np.indices(labels.shape)
        edges &= (rows + columns) // _DASH_PIXELS % 2 == 0
    result = picture.copy()
    result[edges] = color
    return result


def choose_grid_spacing(plane: Plane) -> float:
    """Choose the distance of grid lines, mm."""
    extent = max(plane.points_mm.shape[:2]) * plane.pixel_mm
    return min(REVIEW.grid_lines_mm, key=lambda spacing: abs(extent / spacing - REVIEW.grid_lines))


def add_grid(picture: Picture, plane: Plane, mapped_mm: FloatArray, spacing_mm: float) -> Picture:
    """Draw the straight grid lines of the moving space, as they lie on the fixed volume, onto a copy of a picture.

    mapped_mm: the moving points (rows, columns, 3), RAS mm, of the plane's points.
    """
    result = picture.copy()
    for direction in plane.directions:
        result[_find_edges(np.floor(mapped_mm @ direction / spacing_mm))] = GRID_COLOR
    return result


def _find_edges(labels: NDArray) -> NDArray[np.bool_]:
    """Find the pixels that differ from the one above or to the left."""
    edges = np.zeros(labels.shape, dtype=bool)
    edges[1:] |= labels[1:] != labels[:-1]
    edges[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    return edges


def _to_bytes(colors: NDArray) -> Picture:
    return np.asarray(np.rint(np.clip(colors, 0, 1) * 255), dtype=np.uint8)
