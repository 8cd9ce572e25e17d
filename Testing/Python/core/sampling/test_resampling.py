"""Volumes and labels resampled through any map of points, compared with SimpleITK and with a displacement field."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import Geometry
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation, Volume
from LightRegistrationLib.core.sampling.resampling import resample_segmentation, resample_volume
from LightRegistrationLib.core.sampling.settings import Interpolation
from LightRegistrationLib.core.sampling.warping import warp_segmentation, warp_volume

from ..fields import bending_field, nodes, sitk_resample
from ..geometries import make_geometry

FIXED = make_geometry((24, 28, 31), (1.7, 1.4, 1.2), flips=(-1, 1, 1), center_mm=(3, -4, 5))
MOVING = make_geometry((23, 26, 29), (1.9, 1.6, 1.4), center_mm=(4, -3, 6))


def noise(seed: int, sigma: float) -> np.ndarray:
    values = gaussian_filter(np.random.default_rng(seed).normal(size=MOVING.shape), sigma)
    return values / values.std()


def label_array(dtype: type = np.int16) -> np.ndarray:
    """Seven structures with values far apart, and background."""
    return np.digitize(noise(1, 2.0), [-1.2, -0.6, 0, 0.5, 1, 1.5]).astype(dtype) * 1000


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float32])
def test_smooth_labels_are_those_of_itk(dtype: type) -> None:
    field, labels = bending_field(FIXED), label_array(dtype)
    found = resample_volume(Volume(labels, MOVING.affine), field, FIXED, Interpolation.LABEL_SMOOTH).array
    expected = sitk_resample((labels, MOVING.affine), field, FIXED, sitk.sitkLabelLinear, 0)
    assert (found != 0).mean() > 0.5
    # Rounding decides where two labels have nearly the same weight.
    assert (found != expected).mean() < 1e-3


def test_smooth_labels_are_closer_to_a_ball_than_the_nearest() -> None:
    def draw_ball(geometry: Geometry) -> np.ndarray:
        return (np.linalg.norm(nodes(geometry) - MOVING.center_mm, axis=-1) < 13.3).astype(np.uint8) * 7

    fine = make_geometry(tuple(3 * n for n in MOVING.shape), tuple(MOVING.spacing_mm / 3), center_mm=(4, -3, 6))
    labels, truth = Volume(draw_ball(MOVING), MOVING.affine), draw_ball(fine)
    smooth, nearest = (
        resample_volume(labels, lambda points: points, fine, interpolation).array
        for interpolation in (Interpolation.LABEL_SMOOTH, Interpolation.NEAREST)
    )
    assert set(np.unique(smooth)) == {0, 7}
    assert (smooth != truth).sum() < 0.8 * (nearest != truth).sum()


def test_a_field_and_the_same_map_of_points_give_the_same() -> None:
    field, image = bending_field(FIXED), Volume(noise(3, 1.5).astype(np.float32), MOVING.affine)
    labels = Segmentation((label_array(),), MOVING.affine, (Segment("Liver", 1000),))
    by_points = resample_volume(image, lambda points: field(points), FIXED, Interpolation.LINEAR)
    np.testing.assert_allclose(by_points.array, warp_volume(image, field, FIXED).array, atol=2e-4)
    by_points = resample_segmentation(labels, lambda points: field(points), FIXED)
    assert (by_points.layers[0] != warp_segmentation(labels, field, FIXED).layers[0]).mean() < 1e-3
    assert by_points.segments == labels.segments


def test_scans_are_no_smooth_labels() -> None:
    scan = Volume(noise(4, 0.5), MOVING.affine)
    with pytest.raises(InputError, match="not a label map"):
        resample_volume(scan, lambda points: points, FIXED, Interpolation.LABEL_SMOOTH)
