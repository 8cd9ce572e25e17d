"""The inverse of a field, and the refusal of folded fields."""

from __future__ import annotations

import numpy as np
import pytest

from LightRegistrationLib.core.deformation.inverse import invert
from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import apply_affine, homogeneous
from LightRegistrationLib.core.geometry.transforms import DisplacementField

from ..fields import nodes
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
