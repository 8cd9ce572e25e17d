"""Volumes and segmentations warped by a displacement field, compared with SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter

from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine, homogeneous
from LightRegistrationLib.core.geometry.transforms import DisplacementField
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation, Volume
from LightRegistrationLib.core.sampling.warping import (
    compute_moving_coordinates,
    warp_segmentation,
    warp_volume,
    warp_volume_and_segmentation,
)

from ..fields import bending_field, sitk_resample, to_sitk
from ..geometries import AWKWARD, make_geometry

GEOMETRIES = AWKWARD | {
    # Parallel to the axes of the field, which is then interpolated axis by axis; flipped and permuted.
    "supine": make_geometry((33, 40, 47), (1.2, 1.7, 2.6), flips=(-1, -1, 1), center_mm=(40, -35, 80)),
    "sagittal": make_geometry((31, 44, 36), (2.2, 1.3, 1.9), flips=(1, -1, -1), order=(1, 2, 0)),
}
PAIRS = [
    ("plain", "oblique"),
    ("oblique", "left-handed"),
    ("permuted", "plain"),
    ("left-handed", "permuted"),
    ("supine", "oblique"),
    ("sagittal", "far away"),
]


def recentered(name: str, center_mm: np.ndarray) -> Geometry:
    geometry = GEOMETRIES[name]
    return Geometry(geometry.shape, homogeneous(np.eye(3), center_mm - geometry.center_mm) @ geometry.affine)


@pytest.mark.parametrize(("fixed_name", "moving_name"), PAIRS)
def test_a_warped_volume_equals_that_of_simpleitk(fixed_name, moving_name):
    fixed = GEOMETRIES[fixed_name]
    moving_geometry = recentered(moving_name, fixed.center_mm + 5)
    rng = np.random.default_rng(0)
    array = (gaussian_filter(rng.normal(size=moving_geometry.shape), 2) * 4000 - 300).astype(np.int16)
    moving = Volume(array, moving_geometry.affine)
    field = bending_field(fixed)
    ours = warp_volume(moving, field, fixed)
    theirs = sitk_resample((array.astype(np.float32), moving.affine), field, fixed, sitk.sitkLinear, float(array.min()))
    assert ours.array.dtype == np.int16
    assert (np.abs(ours.array - theirs) > 1).mean() < 1e-3  # only at the border, where rounding decides what is inside
    assert np.ptp(ours.array) > 300


@pytest.mark.parametrize(("fixed_name", "moving_name"), PAIRS)
def test_a_warped_segmentation_equals_simpleitks_nearest_neighbor(fixed_name, moving_name):
    fixed = GEOMETRIES[fixed_name]
    moving_geometry = recentered(moving_name, fixed.center_mm - 4)
    rng = np.random.default_rng(1)
    labels = np.digitize(gaussian_filter(rng.normal(size=moving_geometry.shape), 3) * 30, [-1, 0, 1]).astype(np.uint8)
    field = bending_field(fixed)
    ours = warp_segmentation(Segmentation.from_labels(labels, moving_geometry.affine), field, fixed)
    theirs = sitk_resample((labels, moving_geometry.affine), field, fixed, sitk.sitkNearestNeighbor, 0)
    assert (ours.layers[0] != theirs).mean() < 2e-4  # ties between two voxels
    assert [s.value for s in ours.segments] == [1, 2, 3]


@pytest.mark.parametrize("fixed_name", ["oblique", "supine", "sagittal"])
@pytest.mark.parametrize("reach", ["inside", "beyond"])
def test_moving_coordinates_equal_the_mapped_points(fixed_name, reach):
    """To a thousandth of a voxel, also where the fixed grid reaches beyond the field and its border is used."""
    fixed = GEOMETRIES[fixed_name]
    moving = recentered("left-handed", fixed.center_mm)
    field = bending_field(fixed)
    if reach == "beyond":
        shift = homogeneous(np.eye(3), field.affine[:3, :3] @ (9, 8, 7))
        field = DisplacementField(field.array[7:-6, 8:-4, 9:-3], shift @ field.affine)
    expected = apply_affine(moving.inverse_affine, field(fixed.points_mm))
    found = compute_moving_coordinates(fixed, moving, field)[0].movedim(0, -1)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", ">i2", "int32", "uint32", "float32", "float64"])
def test_the_voxel_type_and_its_values_are_kept(dtype):
    """Half a voxel along i lies between two voxels; the last one is at the border, and a voxel further outside."""
    geometry = make_geometry((4, 5, 6), (1, 1, 1))
    ramp = np.broadcast_to(np.array([0, 0, 1, 1, 1, 0]), (4, 5, 6)) if dtype == "bool" else np.indices((4, 5, 6))[2]
    scale = 1 if dtype == "bool" else {"uint16": 12000}.get(dtype, 20)
    moving = Volume((ramp * scale).astype(dtype), geometry.affine)
    shift = DisplacementField(np.broadcast_to((1.25, 0, 0), (4, 5, 6, 3)), geometry.affine)
    warped = warp_volume(moving, shift, geometry).array
    expected = np.array([0, 1, 1, 1, 0, 0]) if dtype == "bool" else np.array([1.25, 2.25, 3.25, 4.25, 5, 0]) * scale
    assert warped.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(warped, np.broadcast_to(expected, (4, 5, 6)).astype(dtype))


def test_nan_does_not_hide_the_smallest_value():
    array = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4) - 7
    array[0, 0, 0] = np.nan
    geometry = make_geometry((2, 3, 4), (1, 1, 1))
    far = make_geometry((2, 3, 4), (1, 1, 1), center_mm=(100, 0, 0))
    assert (warp_volume(Volume(array, geometry.affine), None, far).array == -6).all()


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_do_not_change_a_voxel(threads):
    fixed = GEOMETRIES["supine"]
    moving = recentered("oblique", fixed.center_mm)
    volume = Volume(np.random.default_rng(4).normal(size=moving.shape).astype(np.float32), moving.affine)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    warped = warp_volume(volume, bending_field(fixed), fixed).array
    assert torch.get_num_threads() == threads
    torch.set_num_threads(2)
    np.testing.assert_array_equal(warped, warp_volume(volume, bending_field(fixed), fixed).array)
    torch.set_num_threads(before)


PARALLEL = {
    "finer": make_geometry((61, 50, 70), (1.13, 1.71, 0.93), center_mm=(3.1, -4.2, 7.3)),
    "flipped": make_geometry((30, 44, 40), (2.31, 2, 2), flips=(-1, 1, -1), center_mm=(-8.3, 2.5, 4.4)),
    "beside": make_geometry((20, 20, 20), (2, 2, 2), center_mm=(0, 500, 0)),
    "almost parallel": make_geometry((40, 44, 48), (2, 2, 2), (0, 0, 0.2)),
}


@pytest.mark.parametrize("name", PARALLEL)
def test_labels_on_a_parallel_grid_equal_those_of_simpleitk(name):
    """Without a field, grids with parallel axes are read along each axis; SimpleITK looks up every voxel."""
    fixed, moving = AWKWARD["plain"], PARALLEL[name]
    labels = np.random.default_rng(2).integers(0, 200, moving.shape).astype(np.uint8)
    segmentation = Segmentation((labels,), moving.affine, ())
    reference = to_sitk(np.zeros(fixed.shape, np.uint8), fixed.affine)
    expected = sitk.Resample(to_sitk(labels, moving.affine), reference, sitk.Transform(), sitk.sitkNearestNeighbor)
    agree = warp_segmentation(segmentation, None, fixed).layers[0] == sitk.GetArrayFromImage(expected)
    assert agree.mean() > 0.999  # ties between two voxels may differ


@pytest.mark.parametrize("same_grid", [True, False])
def test_warping_a_volume_and_its_structures_together_equals_each_alone(same_grid):
    fixed, moving = AWKWARD["plain"], recentered("oblique", AWKWARD["plain"].center_mm)
    own = moving if same_grid else recentered("permuted", fixed.center_mm)
    random = np.random.default_rng(5)
    volume = Volume(random.integers(-500, 900, moving.shape).astype(np.int16), moving.affine)
    labels = np.zeros(own.shape, np.uint8)
    labels[12:20, 15:25, 9:21] = random.integers(0, 9, (8, 10, 12))
    segmentation = Segmentation((labels, np.roll(labels, 3, 0)), own.affine, ())
    field = bending_field(fixed)
    warped, structures = warp_volume_and_segmentation(volume, segmentation, field, fixed)
    np.testing.assert_array_equal(warped.array, warp_volume(volume, field, fixed).array)
    alone = warp_segmentation(segmentation, field, fixed)
    for together, separate in zip(structures.layers, alone.layers, strict=True):
        assert together.any()
        np.testing.assert_array_equal(together, separate)
    assert warp_volume_and_segmentation(volume, None, field, fixed)[1] is None


def test_overlapping_layers_are_warped_and_keep_their_segments():
    geometry = AWKWARD["plain"]
    first = np.zeros(geometry.shape, np.uint8)
    first[10:30, 10:30, 10:30] = 5
    second = np.roll(first, 4, axis=0)
    segments = (Segment("liver", 5, 0), Segment("lesion", 5, 1))
    both = Segmentation((first, second), geometry.affine, segments)
    warped = warp_segmentation(both, bending_field(geometry), geometry)
    alone = warp_segmentation(Segmentation((second,), geometry.affine, ()), bending_field(geometry), geometry)
    assert warped.segments == segments
    assert (warped.mask(segments[1]) == (alone.layers[0] == 5)).all()
    assert (warped.mask(segments[0]) != warped.mask(segments[1])).any()
