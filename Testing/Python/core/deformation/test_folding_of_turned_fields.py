"""The repair of a few folded cells leaves the rest of a turned field as it is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from LightRegistrationLib.core.deformation.folding import repair_folding
from LightRegistrationLib.core.deformation.jacobian import compute_corner_determinants
from LightRegistrationLib.core.geometry.geometry import apply_affine, homogeneous
from LightRegistrationLib.core.geometry.transforms import DisplacementField

from ..geometries import make_geometry


@pytest.mark.parametrize("axis", "xyz")
def test_folds_at_the_border_of_a_turned_field_are_repaired_and_do_not_spread(axis):
    """As after the alignment of a volume whose header is turned by 180 degrees."""
    geometry = make_geometry((24, 24, 24), (4, 4, 4), (10, -20, 5))
    turn = homogeneous(Rotation.from_euler(axis, 180, degrees=True).as_matrix(), (20, 5, -10))
    turned = apply_affine(turn, geometry.points_mm) - geometry.points_mm
    for seed in range(6):
        array = np.array(turned)
        array[:4, :4, :4] += np.random.default_rng(seed).uniform(-7, 7, (4, 4, 4, 3))
        folded = DisplacementField(array, geometry.affine)
        assert (compute_corner_determinants(folded) <= 0).any()
        repaired, rounds = repair_folding(folded)
        assert compute_corner_determinants(repaired).min() > 0
        assert 0 < rounds < 50
        assert np.abs(repaired.array - turned)[10:, 10:, 10:].max() < 1e-3
