"""How much of a body another field of view shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from LightRegistrationLib.core.geometry.geometry import Geometry, homogeneous
from LightRegistrationLib.core.network.extents import Shown, measure_shown
from LightRegistrationLib.core.network.grid import ShrunkImage
from LightRegistrationLib.core.result_warnings import WARNINGS, warn_of_extents


def cube(size: int = 20, margin: int = 10) -> ShrunkImage:
    """A bright cube of `size` voxels of 2 mm in a dark margin; its center lies at 0."""
    n = size + 2 * margin
    tensor = torch.zeros(1, 1, n, n, n)
    tensor[..., margin:-margin, margin:-margin, margin:-margin] = 0.8
    return ShrunkImage(tensor, Geometry((n, n, n), homogeneous(2 * np.eye(3), np.full(3, 1.0 - n))))


def box(low_mm: tuple[float, ...], high_mm: tuple[float, ...]) -> Geometry:
    """A grid of 1 mm voxels that fill a box."""
    size = np.array(high_mm) - low_mm
    return Geometry((int(size[2]), int(size[1]), int(size[0])), homogeneous(np.eye(3), np.array(low_mm) + 0.5))


@pytest.mark.parametrize(
    ("low", "high", "share", "length"),
    [
        ((-60, -60, -60), (60, 60, 60), 1.0, 1.0),
        ((-20, -20, -20), (20, 20, 20), 1.0, 1.0),
        ((-60, -60, 0), (60, 60, 60), 0.5, 0.5),
        ((-10, 0, -60), (60, 60, 60), 0.375, 0.0),
        ((30, 30, 30), (60, 60, 60), 0.0, 0.0),
    ],
)
def test_the_share_of_a_cube_that_a_box_shows(low, high, share, length):
    shown = measure_shown(cube(), box(low, high), np.eye(4))
    assert (shown.share, shown.length) == pytest.approx((share, length), abs=0.03)


def test_the_lower_half_of_a_neck_with_shoulders_shows_most_of_the_body_but_half_of_its_length():
    body = cube()
    body.tensor[..., 20:, :, :] = 0
    body.tensor[..., 20:30, 14:-14, 14:-14] = 0.8
    shown = measure_shown(body, box((-60, -60, -60), (60, 60, 0)), np.eye(4))
    assert shown.share > WARNINGS.min_shown_share
    assert (shown.length, shown.axis) == (0.5, "S")
    (line,) = warn_of_extents(shown, Shown(1.0, 1.0, "R"))
    assert "the moving volume shows only 50 % of the length, along S, of the body in the fixed one" in line


def test_the_share_follows_the_alignment():
    shift = homogeneous(np.eye(3), (0, 20, 0))
    assert measure_shown(cube(), box((-60, 20, -60), (60, 60, 60)), shift).share == pytest.approx(0.5, abs=0.03)


def test_an_image_without_a_body_is_wholly_shown():
    image = ShrunkImage(torch.zeros(1, 1, 8, 8, 8), Geometry((8, 8, 8), np.eye(4)))
    shown = measure_shown(image, box((30, 30, 30), (60, 60, 60)), np.eye(4))
    assert (shown.share, shown.length) == (1.0, 1.0)
