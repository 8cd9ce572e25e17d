"""The share of a body that another field of view shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from LightRegistrationLib.core.geometry.geometry import Geometry, homogeneous
from LightRegistrationLib.core.network.extents import measure_shown_share
from LightRegistrationLib.core.network.grid import ShrunkImage


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
    ("low", "high", "share"),
    [
        ((-60, -60, -60), (60, 60, 60), 1.0),
        ((-20, -20, -20), (20, 20, 20), 1.0),
        ((-60, -60, 0), (60, 60, 60), 0.5),
        ((-10, 0, -60), (60, 60, 60), 0.375),
        ((30, 30, 30), (60, 60, 60), 0.0),
    ],
)
def test_the_share_of_a_cube_that_a_box_shows(low, high, share):
    assert measure_shown_share(cube(), box(low, high), np.eye(4)) == pytest.approx(share, abs=0.03)


def test_the_share_follows_the_alignment():
    shift = homogeneous(np.eye(3), (0, 20, 0))
    assert measure_shown_share(cube(), box((-60, 20, -60), (60, 60, 60)), shift) == pytest.approx(0.5, abs=0.03)


def test_an_image_without_a_body_is_wholly_shown():
    image = ShrunkImage(torch.zeros(1, 1, 8, 8, 8), Geometry((8, 8, 8), np.eye(4)))
    assert measure_shown_share(image, box((30, 30, 30), (60, 60, 60)), np.eye(4)) == 1.0
