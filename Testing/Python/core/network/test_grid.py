"""Volumes are resampled to the network grid at the right position for any geometry, and without aliasing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from LightRegistrationLib.core.geometry.geometry import apply_affine
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.network.grid import compute_network_grid, resample_to_grid, shrink
from LightRegistrationLib.core.network.intensity import IntensityNormalization
from LightRegistrationLib.core.network.settings import GridSettings

from ..geometries import AWKWARD, make_geometry

ANGLES = st.floats(-40, 40)
SPACINGS = st.floats(0.4, 5)


@settings(max_examples=60, deadline=None)
@given(
    rotation=st.tuples(ANGLES, ANGLES, ANGLES),
    spacing=st.tuples(SPACINGS, SPACINGS, SPACINGS),
    flips=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    order=st.permutations([0, 1, 2]),
    size=st.tuples(*[st.integers(5, 300)] * 3),
)
def test_the_grid_covers_the_volume_with_a_margin_of_more_than_a_voxel(rotation, spacing, flips, order, size):
    rule = GridSettings(2.0)
    volume = make_geometry(size, spacing, rotation, flips, tuple(order), (100, -50, 20))
    grid = compute_network_grid(volume, rule)
    indices = apply_affine(grid.inverse_affine, volume.corners_mm)
    assert indices.min() >= 0.5
    assert (indices <= grid.size_ijk - 1.5).all()
    assert all(n % 16 == 0 and n >= 32 for n in grid.shape)
    assert np.prod(grid.shape) <= rule.max_voxels
    assert np.ptp(grid.spacing_mm) < 1e-9


@pytest.mark.parametrize("name", AWKWARD)
def test_grid_axes_point_right_anterior_and_superior(name):
    grid = compute_network_grid(AWKWARD[name], GridSettings())
    axes = grid.affine[:3, :3] / grid.spacing_mm
    assert (np.diag(axes) > 0.8).all()
    assert np.linalg.det(axes) > 0


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("spacing_mm", [1.0, 2.0, 5.0])
def test_a_linear_ramp_in_the_world_is_the_same_ramp_on_the_grid(name, spacing_mm):
    """A shift of half a voxel anywhere on the way (block means, flips, orders) would show as an offset."""
    geometry = AWKWARD[name]
    k, j, i = np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij")
    slope = np.array([0.9, -0.5, 0.7]) / 400
    points = apply_affine(geometry.affine, np.stack([i, j, k], -1)) - geometry.center_mm
    volume = Volume((0.5 + points @ slope).astype(np.float32), geometry.affine)
    grid = compute_network_grid(geometry, GridSettings(spacing_mm))
    image = (
        resample_to_grid(shrink(volume, spacing_mm, IntensityNormalization("window", 0, 1)), grid, np.eye(4))
        .tensor[0, 0]
        .numpy()
    )
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    world = apply_affine(grid.affine, np.stack([i, j, k], -1))
    depth = apply_affine(geometry.inverse_affine, world)
    inner = ((depth > 4) & (depth < geometry.size_ijk - 5)).all(-1)
    assert inner.sum() > 200
    expected = 0.5 + (world - geometry.center_mm) @ slope
    np.testing.assert_allclose(image[inner], expected[inner], atol=2e-5)


def test_fine_stripes_do_not_alias_into_coarse_ones():
    array = np.zeros((64, 64, 64), np.float32)
    array[:, :, ::2] = 1
    geometry = make_geometry(array.shape, (0.5, 0.5, 0.5))
    grid = compute_network_grid(geometry, GridSettings(2.0))
    image = resample_to_grid(
        shrink(Volume(array, geometry.affine), 2.0, IntensityNormalization("window", 0, 1)), grid, np.eye(4)
    )
    inner = image.tensor[0, 0, 12:-12, 12:-12, 12:-12].numpy()
    assert abs(inner - 0.5).max() < 1e-3


def test_intensity_normalization():
    ramp = np.linspace(-1000, 1000, 2001)
    window = IntensityNormalization("window", -500, 500)
    assert window.apply(np.array([-900.0, 0.0, 900.0, np.nan]), window.find_levels(ramp)).tolist() == [0, 0.5, 1, 0]
    low, high = IntensityNormalization().find_levels(np.r_[np.zeros(1000), np.linspace(100, 200, 1001)])
    assert low == 0
    assert high == pytest.approx(199.5, abs=0.1)
    constant = IntensityNormalization().find_levels(np.full(10, 7.0))
    assert np.isfinite(IntensityNormalization().apply(np.full(10, 7.0), constant)).all()
