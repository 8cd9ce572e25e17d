"""Folded cells are repaired, and the rest of the field is unchanged."""

from __future__ import annotations

import numpy as np

from LightRegistrationLib.core.deformation.folding import repair_folding
from LightRegistrationLib.core.deformation.jacobian import compute_corner_determinants
from LightRegistrationLib.core.geometry.transforms import DisplacementField

from ..fields import bending_field
from ..geometries import make_geometry


def test_folded_cells_are_repaired_and_the_rest_is_unchanged():
    geometry = make_geometry((30, 30, 30), (4, 4, 4), (10, -20, 5))
    smooth = bending_field(geometry, amplitude_mm=3.0)
    array = np.array(smooth.array)
    array[15, 15, 15] += (-9.0, 5.0, 0.0)
    repaired, rounds = repair_folding(DisplacementField(array, smooth.affine))
    assert (compute_corner_determinants(DisplacementField(array, smooth.affine)) <= 0).any()
    assert compute_corner_determinants(repaired).min() > 0
    assert 0 < rounds < 50
    change = np.linalg.norm(repaired.array - array, axis=-1)
    assert change[:8].max() == 0
    assert np.linalg.norm(repaired.array - smooth.array, axis=-1).max() < 4
    assert repair_folding(smooth) == (smooth, 0)


def test_folds_that_lie_apart_are_repaired_as_each_alone():
    """One is milder and lies at the border; what surrounds a fold must not depend on the others."""
    geometry = make_geometry((40, 24, 20), (4, 4, 4), (10, -20, 5))
    smooth = np.array(bending_field(geometry, amplitude_mm=3.0).array)
    places = ((slice(3, 4), slice(0, 1), slice(5, 6)), (-5.0, 3.0, 2.0)), ((slice(15, 16),) * 3, (-9.0, 5.0, 0.0))
    alone = []
    for place, step in places:
        array = smooth.copy()
        array[place] += step
        repaired, rounds = repair_folding(DisplacementField(array, geometry.affine))
        assert rounds > 0
        alone.append(repaired.array)
    both = smooth.copy()
    for place, step in places:
        both[place] += step
    repaired, _ = repair_folding(DisplacementField(both, geometry.affine))
    np.testing.assert_allclose(repaired.array, alone[0] + alone[1] - smooth, atol=1e-5)
    assert compute_corner_determinants(repaired).min() > 0
