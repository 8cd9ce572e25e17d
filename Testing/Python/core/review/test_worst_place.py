from __future__ import annotations

import numpy as np
import pytest

from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation
from LightRegistrationLib.core.metrics.surface_distance import measure_surface_distances
from LightRegistrationLib.core.review.worst_place import find_worst_place

from ..geometries import AWKWARD

every_geometry = pytest.mark.parametrize("geometry", list(AWKWARD.values()), ids=list(AWKWARD))


def box_and_spike(geometry: Geometry, length: int) -> tuple[Segmentation, Segmentation, tuple[float, ...]]:
    """A box beside another structure, the same with a spike along i, and the tip of the spike, RAS mm."""
    plain = np.zeros(geometry.shape, np.uint8)
    plain[10:20, 10:20, 5:15] = 3
    plain[10:20, 10:20, 1:4] = 7
    spiky = plain.copy()
    spiky[14, 15, 15 : 15 + length] = 3
    segments = (Segment("box", 3), Segment("other", 7))
    tip = apply_affine(geometry.affine, (14 + length, 15, 14))
    return *(Segmentation((labels,), geometry.affine, segments) for labels in (plain, spiky)), tuple(tip)


@every_geometry
@pytest.mark.parametrize("spike_in_fixed", [False, True])
def test_the_worst_place_is_the_tip_of_a_spike_in_either_direction(geometry: Geometry, spike_in_fixed: bool) -> None:
    plain, spiky, tip = box_and_spike(geometry, 6)
    pair = (spiky, plain) if spike_in_fixed else (plain, spiky)
    worst = find_worst_place(*pair, "box", 0)
    assert worst.position_mm == pytest.approx(tip)
    assert worst.distance_mm == pytest.approx(6 * geometry.spacing_mm[0])
    masks = [segmentation.layers[0] == 3 for segmentation in pair]
    assert worst.distance_mm > measure_surface_distances(*masks, geometry).hd95_mm
    assert find_worst_place(*pair, "a name of another program", 7).distance_mm == 0


def test_segmentations_on_different_grids() -> None:
    plain, _spiky, _tip = box_and_spike(AWKWARD["oblique"], 1)
    cropped = Segmentation((plain.layers[0][:15],), plain.affine, plain.segments)
    worst = find_worst_place(plain, cropped, "box", 3)
    index = apply_affine(np.linalg.inv(plain.affine), worst.position_mm)
    assert round(index[2]) == 19
    assert worst.distance_mm == pytest.approx(5 * AWKWARD["oblique"].spacing_mm[2])


def test_without_the_structure_there_is_no_place() -> None:
    plain, _spiky, _tip = box_and_spike(AWKWARD["plain"], 1)
    empty = Segmentation((np.zeros_like(plain.layers[0]),), plain.affine, plain.segments)
    assert find_worst_place(plain, empty, "box", 3) is None
    assert find_worst_place(plain, plain, "liver", 99) is None
