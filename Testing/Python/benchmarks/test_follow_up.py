"""The lesions that the follow-up benchmark makes have their volumes, and it measures known changes of volume."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from LightRegistrationLib.commands.phantom.pair import make_head
from LightRegistrationLib.core.geometry.transforms import DisplacementField

from .conftest import FOLDER

HEAD = make_head(3, 2.5)[0]
SCALE = 1.1


@pytest.fixture
def lesions(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import follow_up_lesions

    yield follow_up_lesions
    sys.modules.pop("follow_up_lesions", None)


def scaling_field(factor: float) -> DisplacementField:
    """x -> factor x about the center of the head."""
    points = HEAD.geometry.points_mm
    return DisplacementField((factor - 1) * (points - HEAD.geometry.center_mm), HEAD.affine)


def test_shares_have_the_volumes_and_one_shape(lesions):
    large, small = lesions.make_shares(HEAD.geometry, HEAD.geometry.center_mm, (8.0, 2.0), np.random.default_rng(0))
    voxel_ml = HEAD.geometry.voxel_volume_mm3 / 1000
    assert large.sum() * voxel_ml == pytest.approx(8.0, rel=0.01)
    assert small.sum() * voxel_ml == pytest.approx(2.0, rel=0.01)
    assert (large >= small).all()


def test_painted_visits_differ_where_the_lesions_are(lesions):
    pair = lesions.paint_visits(HEAD, HEAD, (1.0, 4.0), 0)
    assert [str(lesion.course) for lesion in pair.lesions] == ["new", "gone"]
    painted = np.abs(pair.moving.array.astype(float) - pair.fixed.array) > 1
    shown = (pair.lesions[0].in_moving > 0) | (pair.lesions[1].in_fixed > 0)
    assert not painted[~shown].any()
    assert painted[pair.lesions[0].in_moving == 1].all()


@pytest.mark.parametrize(("factor", "new", "gone"), [(1.0, 1.0, 1.0), (SCALE, SCALE**-3, SCALE**3)])
def test_a_known_change_of_volume_is_measured(lesions, factor, new, gone):
    """A fixed point lies at 1.1 x in the moving scan: what the moving scan shows shrinks on the fixed grid."""
    pair = lesions.paint_visits(HEAD, HEAD, (4.0, 4.0), 0)
    field = scaling_field(factor)
    first, second = (lesions.measure_volume_ratio(lesion, field, None) for lesion in pair.lesions)
    assert first == pytest.approx(new, rel=0.02)
    assert second == pytest.approx(gone, rel=0.02)


def test_the_known_deformation_is_taken_as_the_truth(lesions):
    """Against the field that the benchmark's own motion would be without its deformation: ratios near 1."""
    pair = lesions.make_known_pair(HEAD, (3.0,), 0)
    lesion = pair.lesions[0]
    # The motion maps moving to fixed points; the inverse by fixed-point iteration at the nodes.
    points, moved = HEAD.geometry.points_mm, pair.moved_mm
    back = DisplacementField(moved - points, HEAD.affine)
    found = points.copy()
    for _ in range(30):
        found = found - (back(found) - points)
    true = DisplacementField(found - points, HEAD.affine)
    assert lesions.measure_volume_ratio(lesion, true, moved) == pytest.approx(1.0, abs=0.03)
    center = lesions.find_fixed_center(lesion, true)
    assert np.linalg.norm(center - lesion.center_mm) < 2
