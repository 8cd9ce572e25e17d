"""The inverse of a field, and the refusal of folded fields."""

from __future__ import annotations

import numpy as np
import pytest

from LightRegistrationLib.core.deformation.inverse import invert, invert_for_volume
from LightRegistrationLib.core.deformation.inverse_check import (
    list_inverse_warnings,
    measure_consistency,
    measure_inverse,
)
from LightRegistrationLib.core.deformation.tapering import taper_field
from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine, homogeneous
from LightRegistrationLib.core.geometry.transforms import AffineTransform, DisplacementField

from ..fields import bending_field, nodes
from ..geometries import AWKWARD, make_geometry


def test_field_and_inverse_cancel():
    geometry = AWKWARD["oblique"]
    turn = homogeneous(np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.1]]), (40, -20, 10))
    grid = make_geometry((40, 40, 40), (4, 4, 4), center_mm=tuple(geometry.center_mm))
    points = nodes(grid)
    bent = points + 3 * np.sin((points - geometry.center_mm) / 20)[..., [1, 2, 0]]
    field = DisplacementField(apply_affine(turn, bent) - points, grid.affine)
    center = apply_affine(turn, geometry.center_mm)
    inverse = invert(field, make_geometry((40, 40, 40), (2, 2, 2), center_mm=tuple(center)))
    targets = center + np.random.default_rng(0).uniform(-30, 30, (500, 3))
    np.testing.assert_allclose(field(inverse(targets)), targets, atol=0.15)
    exact = nodes(inverse.geometry).reshape(-1, 3)[::97]
    np.testing.assert_allclose(field(inverse(exact)), exact, atol=0.02)


def test_a_folded_field_is_refused():
    geometry = make_geometry((12, 12, 12), (2, 2, 2))
    array = np.zeros((12, 12, 12, 3))
    array[6, 6, 6, 0] = -3.0
    with pytest.raises(InputError, match="folds and cannot be inverted"):
        invert(DisplacementField(array, geometry.affine), geometry)


VIEW = make_geometry((30, 34, 38), (1.5, 1.2, 1.1), center_mm=(5, -6, 8))
OUTSIDE = AffineTransform(homogeneous(np.array([[0.95, -0.1, 0], [0.1, 0.98, 0.05], [0, 0, 1.05]]), (4, -3, 2)))


def make_tapered_field(amplitude_mm: float = 3.0) -> DisplacementField:
    """A bent field in `VIEW` that falls to `OUTSIDE` beyond it."""
    bend = bending_field(VIEW, amplitude_mm)
    points = nodes(bend.geometry)
    return taper_field(DisplacementField(OUTSIDE(points + bend.array) - points, bend.affine), OUTSIDE, VIEW)


def test_the_inverse_for_a_volume_is_exact_there_and_affine_far_away():
    field = make_tapered_field()
    inverse = invert_for_volume(field, VIEW)
    assert inverse.geometry.spacing_mm.max() <= 1.75
    targets = field(VIEW.center_mm + np.random.default_rng(1).uniform(-15, 15, (2000, 3)))
    errors = np.linalg.norm(field(inverse(targets)) - targets, axis=1)
    assert errors.max() < 0.1
    far = np.array([[300.0, -200, 100]])
    np.testing.assert_allclose(inverse(OUTSIDE(far)), far, atol=1e-6)


def test_a_field_may_fold_beyond_the_volume_only():
    field = make_tapered_field()

    def fold(node: tuple[int, int, int]) -> DisplacementField:
        array = field.array.copy()
        array[node] += 9
        return DisplacementField(array, field.affine, OUTSIDE)

    beyond, inside = fold((1, 1, 1)), fold(tuple(n // 2 for n in field.geometry.shape))
    with pytest.raises(InputError, match="folds"):
        invert(beyond)
    inverse = invert_for_volume(beyond, VIEW)
    assert np.isfinite(inverse.array).all()
    accuracy = measure_inverse(beyond, inverse, VIEW, VIEW)
    assert accuracy.fixed.max_mm < 0.2
    with pytest.raises(InputError, match="folds"):
        invert_for_volume(inside, VIEW)


def test_the_check_measures_both_compositions():
    moving = Geometry(VIEW.shape, homogeneous(np.diag((2.0, 3.0, 4.0)), (50, 60, 70)))

    def shift(points):
        return points + (0, 0, 1.0)

    def shift_back_too_far(points):
        return points - (0, 0, 1.4)

    accuracy = measure_inverse(shift, shift_back_too_far, VIEW, moving)
    assert accuracy.tolerance_mm == pytest.approx(0.55)  # half of the finest voxel of both
    for errors in (accuracy.fixed, accuracy.moving):
        assert (errors.mean_mm, errors.max_mm, errors.percent_above) == (pytest.approx(0.4), pytest.approx(0.4), 0)
    assert list_inverse_warnings(accuracy) == []

    def break_in_moving(points):
        return np.where(points[:, 2:] > 100, points - (0, 0, 9.0), points - (0, 0, 1.0))

    (line,) = list_inverse_warnings(measure_inverse(shift, break_in_moving, VIEW, moving))
    assert "moving volume" in line
    assert "8.0 mm" in line


def test_consistency_is_measured_where_both_volumes_are():
    moving = Geometry(VIEW.shape, VIEW.affine @ homogeneous(np.eye(3), (0, 0, VIEW.shape[0] / 2)))  # the upper half

    def shift(points):
        return points + (2.0, 0, 0)

    def come_back_elsewhere(points):
        assert moving.contains(points).all()
        return points - (2.0, 0.6, 0.8)

    found = measure_consistency(shift, come_back_elsewhere, VIEW, moving)
    assert (found.mean_mm, found.percentile_95_mm, found.maximum_mm) == pytest.approx((1.0, 1.0, 1.0))
    elsewhere = Geometry(VIEW.shape, homogeneous(np.eye(3), (0, 0, 1e4)) @ VIEW.affine)
    with pytest.raises(InputError, match="nothing in common"):
        measure_consistency(shift, come_back_elsewhere, VIEW, elsewhere)
