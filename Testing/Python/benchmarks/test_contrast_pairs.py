"""The pairs of two contrasts that the benchmark makes: their truth is true."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from LightRegistrationLib.commands.phantom.pair import make_head
from LightRegistrationLib.core.geometry.geometry import apply_affine, homogeneous
from LightRegistrationLib.core.geometry.transforms import AffineTransform
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation, Volume

from .conftest import FOLDER

HEAD = make_head(3, 3.0)[0]


@pytest.fixture
def pairs(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import contrast_pairs

    yield contrast_pairs
    sys.modules.pop("contrast_pairs", None)


def other_contrast(volume: Volume) -> np.ndarray:
    values = volume.array.astype(np.float32) / np.percentile(volume.array, 99)
    return np.where(values > 0.1, 1.15 - values, values)


def test_the_points_that_a_field_takes_to_targets(pairs):
    field = pairs.random_field(HEAD.geometry, 1)
    targets = pairs.points_in_brain(HEAD)
    assert len(targets) > 200
    np.testing.assert_allclose(field(pairs.invert_field_at(field, targets)), targets, atol=0.02)
    assert 1 < np.linalg.norm(field(targets) - targets, axis=1).mean() < 6


def test_a_known_motion_of_the_head_is_found_in_another_contrast(pairs):
    turn = np.deg2rad(2.0)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    center = HEAD.geometry.center_mm
    known = AffineTransform(homogeneous(rotation, center - rotation @ center + np.array([1.0, -1.5, 2.5])))
    positions = known.inverse()(HEAD.geometry.points_mm)
    indices = apply_affine(HEAD.geometry.inverse_affine, positions)
    moved = map_coordinates(other_contrast(HEAD), np.moveaxis(indices[..., ::-1], -1, 0), order=1, mode="nearest")
    found = pairs.rigid_motion(HEAD, Volume(moved, HEAD.affine))
    points = pairs.points_in_brain(HEAD)
    assert np.linalg.norm(found(points) - known(points), axis=1).mean() < 0.5


def test_remapped_scans_have_the_order_of_the_other_contrast(pairs):
    """White matter, gray matter and fluid as in T1, 1000 voxels each and more."""
    labels = np.repeat(np.array([0, 51, 120, 44], dtype=np.int32), 5)[:, None, None] * np.ones((1, 20, 20), np.int32)
    scan = np.choose(np.searchsorted([0, 44, 51, 120], labels), [0, 900, 300, 600]).astype(np.int16)
    segmentation = Segmentation((labels,), np.eye(4), tuple(Segment(str(v), v) for v in (44, 51, 120)))
    expected = {"T2": [51, 120, 44], "FLAIR": [120, 44, 51]}
    for contrast, order in expected.items():
        found = pairs.remapped(Volume(scan, np.eye(4)), segmentation, contrast, 0).array
        medians = {value: np.median(found[labels == value]) for value in order}
        assert sorted(medians, key=medians.get, reverse=True) == order
        assert np.median(found[labels == 0]) == 0
