"""Padding around a volume is cut off, in any geometry, and the field covers the padded volume all the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from LightRegistrationLib.core.geometry.geometry import homogeneous
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.sampling.field_of_view import crop_to_field_of_view, find_field_of_view
from LightRegistrationLib.core.sampling.settings import SAMPLING

from ..geometries import AWKWARD, make_geometry

WHOLE = ((10, 11), (9, 8), (7, 12))
"""At least 10 mm of padding at the spacings of all geometries."""


def make_scan(name: str = "plain", dtype: str = "float32") -> Volume:
    """Values that differ everywhere, as in a body that was cut at all six sides."""
    geometry = AWKWARD[name]
    values = np.random.default_rng(1).integers(0, 900, geometry.shape)
    return Volume(values.astype(dtype), geometry.affine, "scan")


def pad(volume: Volume, widths: tuple[tuple[int, int], ...], value: float) -> Volume:
    """Pad the array (k, j, i) and move the origin with it."""
    array = np.pad(volume.array, widths, constant_values=value)
    before = np.array([w[0] for w in widths[::-1]], float)
    return replace(volume, array=array, affine=volume.affine @ homogeneous(np.eye(3), -before))


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("value", [0, -1024, np.nan], ids=["zeros", "-1024", "NaN"])
def test_a_canvas_on_all_sides_is_cut_off_in_any_geometry(name, value):
    scan = make_scan(name)
    found = crop_to_field_of_view(pad(scan, WHOLE, value))
    np.testing.assert_array_equal(found.array, scan.array)
    np.testing.assert_allclose(found.affine, scan.affine, atol=1e-9)
    assert found.name == scan.name


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("side", range(2))
@pytest.mark.parametrize("dtype", ["float32", "int16", "uint8"])
def test_a_margin_on_one_side_is_cut_off(axis, side, dtype):
    scan = make_scan(dtype=dtype)
    widths = tuple(tuple(11 if (a, s) == (axis, side) else 0 for s in range(2)) for a in range(3))
    found = crop_to_field_of_view(pad(scan, widths, 0))
    assert found.array.shape == scan.array.shape
    np.testing.assert_array_equal(found.array, scan.array)
    np.testing.assert_allclose(found.affine, scan.affine, atol=1e-9)


def test_padding_of_two_kinds_is_cut_off_layer_by_layer():
    """A resampled volume with zeros around it, exported with -1024 around that."""
    scan = make_scan()
    found = crop_to_field_of_view(pad(pad(scan, WHOLE, 0), WHOLE, -1024))
    np.testing.assert_array_equal(found.array, scan.array)


@pytest.mark.parametrize("name", AWKWARD)
def test_a_volume_without_padding_stays_the_same_object(name):
    scan = make_scan(name)
    assert crop_to_field_of_view(scan) is scan


def make_ball(padding: int, value: float) -> tuple[Volume, np.ndarray]:
    """A ball that ends by itself in the padding; its voxels are 2.5 x 1.8 x 2 mm (i, j, k)."""
    shape = tuple(20 + 2 * padding for _ in range(3))
    geometry = make_geometry(shape, (2.5, 1.8, 2))
    offsets = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in shape], indexing="ij"))
    is_body = np.linalg.norm(offsets, axis=0) < 10
    array = np.where(is_body, 500 + offsets.sum(0), value)
    return Volume(array.astype(np.float32), geometry.affine, "ball"), np.argwhere(is_body)


@pytest.mark.parametrize("value", [0, np.nan], ids=["zeros", "NaN"])
def test_a_body_that_ends_by_itself_keeps_a_margin_of_background(value):
    ball, body = make_ball(30, value)
    box = find_field_of_view(ball)
    for part, spacing, low, high in zip(box, (2, 1.8, 2.5), body.min(0), body.max(0), strict=True):
        for margin in (low - part.start, part.stop - 1 - high):
            assert SAMPLING.background_margin_mm <= margin * spacing < SAMPLING.background_margin_mm + spacing


def test_a_margin_of_background_does_not_grow_beyond_the_volume():
    ball, _ = make_ball(3, 0)
    assert crop_to_field_of_view(ball) is ball


def test_a_body_that_was_cut_keeps_no_margin_on_the_cut_side():
    ball, body = make_ball(30, 0)
    array = np.array(ball.array)
    cut = int(body[:, 0].mean())
    array[cut:] = 0
    part = find_field_of_view(replace(ball, array=array))[0]
    assert part.stop == cut
    assert part.start < body[:, 0].min() - 5


def test_one_bright_voxel_in_the_padding_is_not_cut_off():
    padded = pad(make_scan(), WHOLE, 0)
    array = np.array(padded.array)
    array[1, 2, 1] = 5
    box = find_field_of_view(replace(padded, array=array))
    assert [part.start for part in box] <= [1, 2, 1]


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("side", range(2))
def test_thin_padding_stays_unless_it_is_nan(axis, side):
    scan = make_scan()
    voxels = int((SAMPLING.min_padding_mm - 1) / scan.geometry.spacing_mm[2 - axis])
    widths = tuple(tuple(voxels if (a, s) == (axis, side) else 0 for s in range(2)) for a in range(3))
    padded = pad(scan, widths, -1024)
    assert crop_to_field_of_view(padded) is padded
    np.testing.assert_array_equal(crop_to_field_of_view(pad(scan, widths, np.nan)).array, scan.array)
