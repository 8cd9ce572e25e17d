"""Jacobian determinants of fields that are known exactly."""

from __future__ import annotations

import numpy as np
import pytest

from LightRegistrationLib.core.deformation.jacobian import compute_corner_determinants, summarize_jacobian
from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine, homogeneous
from LightRegistrationLib.core.geometry.transforms import DisplacementField

from ..fields import nodes
from ..geometries import AWKWARD, make_geometry


def affine_field(matrix: np.ndarray, geometry: Geometry) -> DisplacementField:
    points = nodes(geometry)
    return DisplacementField(apply_affine(matrix, points) - points, geometry.affine)


@pytest.mark.parametrize("name", AWKWARD)
def test_the_jacobian_of_an_affine_map_is_its_determinant(name):
    matrix = np.array([[1.2, 0.1, 0], [-0.2, 0.9, 0.1], [0, 0.05, 1.1]])
    field = affine_field(homogeneous(matrix, (3, 4, 5)), AWKWARD[name])
    np.testing.assert_allclose(compute_corner_determinants(field), np.linalg.det(matrix), rtol=2e-3)
    summary = summarize_jacobian(field, AWKWARD[name])
    assert summary.percent_nonpositive == 0
    assert summary.std_log < 2e-3


def test_the_percentiles_are_those_of_the_volume_changes():
    geometry = make_geometry((10, 12, 101), (2, 2, 2))
    x = nodes(geometry)[..., 0]
    # Along x from -100 to 100 mm the determinant rises from 0.5 to 1.5.
    field = DisplacementField(np.stack([x**2 / 400, 0 * x, 0 * x], axis=-1), geometry.affine)
    summary = summarize_jacobian(field, geometry)
    assert summary.minimum == pytest.approx(0.505, abs=1e-4)
    assert (summary.percentile_1, summary.percentile_99) == pytest.approx((0.51, 1.49), abs=0.01)


def test_a_fold_of_one_cell_is_counted_and_only_inside_the_fixed_volume():
    geometry = make_geometry((12, 12, 12), (2, 2, 2))
    array = np.zeros((12, 12, 12, 3))
    array[6, 6, 6, 0] = -3.0
    field = DisplacementField(array, geometry.affine)
    summary = summarize_jacobian(field, geometry)
    folded = compute_corner_determinants(field) <= 0
    assert folded.sum() == 8  # four cells share the edge that is turned over, each at its two ends
    assert summary.percent_nonpositive == pytest.approx(100 * folded.mean())
    assert summary.minimum == pytest.approx(-0.5)
    away = make_geometry((3, 3, 3), (2, 2, 2), center_mm=(-8, -8, -8))
    assert summarize_jacobian(field, away).percent_nonpositive == 0
