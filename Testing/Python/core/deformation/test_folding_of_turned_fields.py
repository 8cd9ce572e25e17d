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


@pytest.mark.parametrize("node", [(15, 15, 15), (1, 15, 15), (0, 0, 0), (29, 14, 28)])
@pytest.mark.parametrize("axis", "xyz")
def test_a_fold_of_a_turned_field_is_repaired_even_at_its_border(node, axis):
    """As after the alignment of a volume whose header is turned by 180 degrees."""
    geometry = make_geometry((30, 30, 30), (4, 4, 4), (10, -20, 5))
    turn = homogeneous(Rotation.from_euler(axis, 180, degrees=True).as_matrix(), (20, 5, -10))
    points = geometry.points_mm
    turned = apply_affine(turn, points) - points
    array = np.array(turned)
    array[node] += np.where(np.array(node) > 15, -1, 1) * (9.0, 7.0, 8.0)
    folded = DisplacementField(array, geometry.affine)
    assert (compute_corner_determinants(folded) <= 0).any()
    repaired, rounds = repair_folding(folded)
    assert compute_corner_determinants(repaired).min() > 0
    assert 0 < rounds < 50
    assert np.linalg.norm(repaired.array - turned, axis=-1).max() < 15
    assert np.median(np.linalg.norm(repaired.array - turned, axis=-1)) < 1e-3
