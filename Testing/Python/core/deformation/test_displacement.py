"""Lengths of displacements against those of an analytic field."""

from __future__ import annotations

import numpy as np
import pytest

from LightRegistrationLib.core.deformation.displacement import summarize_displacements
from LightRegistrationLib.core.deformation.tapering import taper_field
from LightRegistrationLib.core.geometry.geometry import Geometry
from LightRegistrationLib.core.geometry.transforms import DisplacementField

from ...analytic import turned
from ..geometries import AWKWARD


@pytest.mark.parametrize("geometry", AWKWARD.values(), ids=AWKWARD)
def test_only_what_lies_beyond_the_initial_alignment_counts(geometry: Geometry) -> None:
    """A shift of 3 mm, twice as long in a quarter of the volume, before a turn that moves by far more."""
    initial = turned(geometry)
    shift = np.broadcast_to([1.0, -2.0, 2.0], (*geometry.shape, 3)).copy()
    shift[: geometry.shape[0] // 4] *= 2
    field = DisplacementField(initial.displace(geometry, shift).astype(np.float32), geometry.affine)
    found = summarize_displacements(taper_field(field, initial, geometry), geometry)
    assert found.median_mm == pytest.approx(3.0, abs=1e-3)
    assert found.percentile_95_mm == pytest.approx(6.0, abs=1e-3)
    assert found.maximum_mm == pytest.approx(6.0, abs=1e-3)
