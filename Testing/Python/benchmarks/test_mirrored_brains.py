"""The benchmark of mirrored brains: what is mirrored, and what counts as a gain."""

from __future__ import annotations

import numpy as np
import pytest

from LightRegistrationLib.core.geometry.volume import Volume

from .conftest import FOLDER


@pytest.fixture
def mirrored_brains(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import mirrored_brains

    return mirrored_brains


@pytest.mark.parametrize("axes", [np.diag([-1.0, -1, 1, 1]), np.eye(4)[[2, 0, 1, 3]]])
def test_left_and_right_are_exchanged_and_the_header_stays(mirrored_brains, axes):
    volume = Volume(np.arange(24.0).reshape(2, 3, 4), axes, "head")
    mirrored = mirrored_brains.mirror(volume)
    np.testing.assert_array_equal(mirrored.affine, volume.affine)
    points = volume.geometry.points_mm
    across = points[..., 0].max() + points[..., 0].min() - points[..., 0]
    for place, value in zip(np.argwhere(volume.array >= 0), mirrored.array.ravel(), strict=True):
        target = [across[tuple(place)], *points[tuple(place)][1:]]
        source = np.argmin(np.linalg.norm(points.reshape(-1, 3) - target, axis=1))
        assert value == volume.array.ravel()[source]


def test_a_gain_is_more_correlation_and_less_deformation(mirrored_brains):
    row = {"correlation, as loaded": 0.8, "correlation, mirrored": 0.7}
    row |= {"SD log J, as loaded": 0.3, "SD log J, mirrored": 0.2}
    assert mirrored_brains.compute_gains([row], "correlation") == pytest.approx([0.1])
    assert mirrored_brains.compute_gains([row], "SD log J") == pytest.approx([-0.1])
