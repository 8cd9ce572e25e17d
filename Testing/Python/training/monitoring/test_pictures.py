"""Validation pictures: positions and orientation as in Slicer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from LightRegistrationLib.training.data.pairs import Pair
from LightRegistrationLib.training.monitoring.pictures import (
    CAPTION,
    COLUMNS,
    FIXED_COLOR,
    GAP,
    GRID_COLOR,
    MOVING_COLOR,
    TILE_PIXELS,
    boundaries,
    draw_validation,
)
from LightRegistrationLib.training.monitoring.validation import Validation, ValidationPair, validate

SIDE = TILE_PIXELS + GAP
SHAPE = (28, 28, 28)
VIEWS = ("axial", "coronal", "sagittal")


def sheet_of(*pairs: Pair, i_flow: float = 0.0) -> np.ndarray:
    flow = torch.zeros(1, 3, *SHAPE)
    flow[:, 0] = i_flow
    kept = [ValidationPair.from_pair(pair) for pair in pairs]
    return draw_validation(validate(kept, lambda pair: flow))


def tile(sheet: np.ndarray, view: str, column: str) -> np.ndarray:
    top, left = 2 * CAPTION + VIEWS.index(view) * SIDE, COLUMNS.index(column) * SIDE
    return sheet[top : top + SIDE, left : left + SIDE]


def pair_of(fixed: torch.Tensor, moving: torch.Tensor, labels: bool = False) -> Pair:
    images = [x.float().view(1, 1, *SHAPE) for x in (fixed, moving)]
    return Pair(*images, *images, *([x.round() for x in images] if labels else []))


def box(k: slice, j: slice, i: slice) -> torch.Tensor:
    image = torch.zeros(SHAPE)
    image[k, j, i] = 1
    return image


EVERYWHERE = slice(None)
MIDDLE = slice(10, 18)


@pytest.mark.parametrize(
    ("view", "image", "side"),
    [
        ("axial", box(EVERYWHERE, EVERYWHERE, slice(20, None)), "left"),
        ("axial", box(EVERYWHERE, slice(20, None), EVERYWHERE), "top"),
        ("coronal", box(EVERYWHERE, EVERYWHERE, slice(20, None)), "left"),
        ("coronal", box(slice(20, None), EVERYWHERE, EVERYWHERE), "top"),
        ("sagittal", box(EVERYWHERE, slice(20, None), EVERYWHERE), "left"),
        ("sagittal", box(slice(20, None), EVERYWHERE, EVERYWHERE), "top"),
    ],
    ids=["R", "A", "R in coronal", "S", "A in sagittal", "S in sagittal"],
)
def test_right_and_anterior_are_left_and_superior_is_up(view: str, image: torch.Tensor, side: str) -> None:
    seen = tile(sheet_of(pair_of(image, image)), view, "fixed").mean(2)
    along_rows, along_columns = seen.mean(1), seen.mean(0)
    profile, flat = (along_rows, along_columns) if side == "top" else (along_columns, along_rows)
    third = SIDE // 4
    assert profile[:third].mean() > 150
    assert profile[-third:].max() < 5
    inner = flat[GAP:-GAP]
    assert inner.max() - inner.min() < 1


def test_the_difference_is_gray_where_the_warped_image_agrees() -> None:
    fixed = box(MIDDLE, MIDDLE, MIDDLE)
    sheet = sheet_of(pair_of(fixed, torch.roll(fixed, 3, dims=2)), i_flow=3.0)
    before, after = (tile(sheet, "axial", f"difference {when}")[GAP:-GAP, GAP:-GAP] for when in ("before", "after"))
    assert set(np.unique(after)) == {127}
    assert before.max() == 255
    assert before.min() == 0
    np.testing.assert_array_equal(tile(sheet, "axial", "warped"), tile(sheet, "axial", "fixed"))


def painted(seen: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return (seen == np.array(color)).all(2)


def test_outlines_run_along_the_edges_of_the_structures() -> None:
    fixed, moving = box(MIDDLE, MIDDLE, slice(4, 12)), box(MIDDLE, MIDDLE, slice(16, 24))
    sheet = sheet_of(pair_of(fixed, moving, labels=True))
    scale = TILE_PIXELS / 28
    for column, color, first, last in (("fixed", FIXED_COLOR, 4, 12), ("moving", MOVING_COLOR, 16, 24)):
        rows, columns = np.nonzero(painted(tile(sheet, "axial", column), color))
        # i runs to the left, j up; both images are in the middle of the frame.
        edges = [GAP / 2 + scale * (28 - n) for n in (last, first)]
        np.testing.assert_allclose([columns.min(), columns.max()], edges, atol=1.5)
        edges = [GAP / 2 + scale * (28 - n) for n in (18, 10)]
        np.testing.assert_allclose([rows.min(), rows.max()], edges, atol=1.5)
    assert not painted(tile(sheet, "axial", "fixed"), MOVING_COLOR).any()


def test_without_labels_only_the_grid_has_color() -> None:
    sheet = sheet_of(pair_of(torch.rand(SHAPE), torch.rand(SHAPE)))
    colored = (np.ptp(sheet.astype(int), axis=2) > 0).any(0)
    assert not colored[: COLUMNS.index("deformation grid") * SIDE].any()
    assert colored[COLUMNS.index("deformation grid") * SIDE :].any()


def grid_columns(sheet: np.ndarray) -> np.ndarray:
    """The columns of the axial tile that the grid's upright lines fill."""
    return np.flatnonzero(painted(tile(sheet, "axial", "deformation grid"), GRID_COLOR)[GAP:-GAP].mean(0) > 0.9)


def test_grid_lines_are_even_without_a_deformation_and_move_against_it() -> None:
    still = pair_of(torch.zeros(SHAPE), torch.zeros(SHAPE))
    lines = grid_columns(sheet_of(still))
    assert set(np.diff(lines)) == {TILE_PIXELS // 28}
    stretched = torch.zeros(1, 3, *SHAPE)
    stretched[:, 0] = torch.arange(28.0) - 13.5
    twice = grid_columns(draw_validation(validate([ValidationPair.from_pair(still)], lambda pair: stretched)))
    assert set(np.diff(twice)) == {TILE_PIXELS // 28 // 2}
    # Half a cell toward higher i, which is left in the picture, is where the fixed image looks: lines go to the right.
    shifted = grid_columns(sheet_of(still, i_flow=0.5))
    assert shifted[1] - lines[1] in (TILE_PIXELS // 28 // 2, -TILE_PIXELS // 28 // 2)
    assert len(shifted) == pytest.approx(len(lines), abs=1)


def test_every_pair_has_a_block_with_its_numbers() -> None:
    image = torch.rand(SHAPE)
    one, three = sheet_of(pair_of(image, image)), sheet_of(*[pair_of(image, image)] * 3)
    assert three.shape == (3 * one.shape[0], one.shape[1], 3)
    assert one[:CAPTION].max() > 150
    assert one.dtype == np.uint8
    assert isinstance(Validation(()), Validation)


def test_boundaries_are_one_pixel_wide() -> None:
    numbers = np.zeros((6, 6), np.int64)
    numbers[2:5, 2:5] = 7
    expected = np.zeros((6, 6), bool)
    expected[1, 2:5] = expected[4, 2:5] = True
    expected[2:5, 1] = expected[2:5, 4] = True
    np.testing.assert_array_equal(boundaries(numbers), expected)
