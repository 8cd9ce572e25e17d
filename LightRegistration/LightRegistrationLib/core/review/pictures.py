"""The pictures of a registration on one plane, with their captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..geometry.geometry import FloatArray
from ..geometry.transforms import DisplacementField
from ..geometry.volume import Segmentation, Volume
from .drawing import (
    FIXED_COLOR,
    FOLDED_COLOR,
    WARPED_COLOR,
    Gray,
    Picture,
    add_grid,
    add_outlines,
    choose_grid_spacing,
    draw_checkerboard,
    draw_determinants,
    draw_difference,
    draw_gray,
    draw_two_colors,
    find_window,
    scale_to_gray,
)
from .planes import Plane, compute_determinants, find_center, make_planes, sample_labels, sample_values
from .settings import REVIEW

_GAP_PIXELS = 4


@dataclass(frozen=True, eq=False)
class ReviewedPair:
    """What is shown. Segmentations: both or none; the warped one lies on the fixed grid."""

    fixed: Volume
    moving: Volume
    field: DisplacementField
    fixed_segmentation: Segmentation | None = None
    warped_segmentation: Segmentation | None = None


@dataclass(frozen=True, eq=False)
class PlaneImages:
    """What lies on a plane: the fixed volume, the moving one as loaded, and the result, 0 to 1.

    mapped_mm: the moving points (rows, columns, 3), RAS mm, of the plane's points.
    """

    plane: Plane
    mapped_mm: FloatArray
    fixed: Gray
    before: Gray
    warped: Gray


def sample_planes(pair: ReviewedPair, planes: Sequence[Plane]) -> list[PlaneImages]:
    """Sample a pair on some planes."""
    fixed_window, moving_window = find_window(pair.fixed), find_window(pair.moving)
    result = []
    for plane in planes:
        mapped_mm = pair.field(plane.points_mm)
        fixed = scale_to_gray(sample_values(pair.fixed, plane.points_mm), fixed_window)
        before, warped = (
            scale_to_gray(sample_values(pair.moving, points), moving_window) for points in (plane.points_mm, mapped_mm)
        )
        result.append(PlaneImages(plane, mapped_mm, fixed, before, warped))
    return result


def draw_plane(pair: ReviewedPair, images: PlaneImages) -> dict[str, Picture]:
    """Draw all pictures of a plane, by their captions in HTML."""
    plane, fixed, before, warped = images.plane, images.fixed, images.before, images.warped
    spacing_mm = choose_grid_spacing(plane)
    pictures = {
        "Two colors as loaded: fixed red, moving cyan, gray where both agree": draw_two_colors(fixed, before),
        "Two colors after registration": draw_two_colors(fixed, warped),
        "Checkerboard of fixed and result": draw_checkerboard(fixed, warped),
        "Difference, result - fixed: gray where equal": draw_difference(fixed, warped),
    }
    if pair.fixed_segmentation is not None and pair.warped_segmentation is not None:
        caption = f"Structures: fixed {_name_color(FIXED_COLOR, 'solid')}, warped {_name_color(WARPED_COLOR, 'dashed')}"
        outlined = add_outlines(draw_gray(fixed), sample_labels(pair.fixed_segmentation, plane.points_mm), FIXED_COLOR)
        labels = sample_labels(pair.warped_segmentation, plane.points_mm)
        pictures[caption] = add_outlines(outlined, labels, WARPED_COLOR, is_dashed=True)
    caption = f"Deformation grid: lines of the moving volume, {spacing_mm:g} mm apart, where they lie in the result"
    pictures[caption] = add_grid(draw_gray(warped), plane, images.mapped_mm, spacing_mm)
    bound = REVIEW.jacobian_range
    caption = (
        f"Jacobian determinant: blue tissue is smaller in the moving volume (1/{bound:g} and less), red larger "
        f"({bound:g} and more), {_name_color(FOLDED_COLOR, 'folded')}"
    )
    pictures[caption] = draw_determinants(compute_determinants(pair.field, plane))
    return pictures


def draw_thumbnail(pair: ReviewedPair) -> Picture:
    """Draw a small axial picture as loaded and, to its right, after registration: fixed red, moving cyan.

    The colors have 16 levels, of which noise makes a third of the bytes that 256 levels take.
    """
    center = find_center(pair.fixed.geometry, pair.fixed_segmentation)
    axial = make_planes(pair.fixed.geometry, center, REVIEW.thumbnail_pixels)[0]
    (images,) = sample_planes(pair, [axial])
    before, after = (draw_two_colors(images.fixed, moving) for moving in (images.before, images.warped))
    picture = np.concatenate([before, np.zeros_like(before[:, :_GAP_PIXELS]), after], axis=1)
    return picture // 16 * np.uint8(17)


def _name_color(color: tuple[int, int, int], word: str) -> str:
    return f'<span class="key" style="background: rgb{color}">&nbsp;</span> {word}'
