"""What matches stays, what surrounds a body changes nothing, and turned headers and half scans are aligned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import permutations, product

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from LightRegistrationLib.core.affine.stage import align_affine
from LightRegistrationLib.core.deformation.jacobian import compute_corner_determinants
from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine, homogeneous
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.network.intensity import IntensityNormalization
from LightRegistrationLib.core.registration import register
from LightRegistrationLib.core.result.result import RegistrationResult
from LightRegistrationLib.core.result.settings import RegistrationSettings

from .anatomies import anatomy, world
from .geometries import make_geometry

GRID = make_geometry((50, 64, 54), (3, 3, 3), (4, -6, 9), flips=(-1, -1, 1))
BEND_MM = 6.0
Map = Callable[[np.ndarray], np.ndarray]


def show(geometry: Geometry, to_anatomy: Map = lambda p: p, seed: int = 1, noise: float = 8.0) -> Volume:
    """A scan whose point p shows anatomy(to_anatomy(p)); the outside is dark, with noise as everywhere."""
    values = anatomy(to_anatomy(world(geometry)))
    values = values + np.random.default_rng(seed).normal(scale=noise, size=geometry.shape)
    return Volume(values.astype(np.float32), geometry.affine, "scan")


def bend(points: np.ndarray) -> np.ndarray:
    return points + BEND_MM * np.sin(points[..., [1, 2, 0]] / 25)


def pad(volume: Volume, voxels: int, value: float) -> Volume:
    array = np.pad(volume.array, voxels, constant_values=value)
    return replace(volume, array=array, affine=volume.affine @ homogeneous(np.eye(3), (-voxels,) * 3))


def move_header(volume: Volume, matrix: np.ndarray) -> Volume:
    return replace(volume, affine=matrix @ volume.affine)


def turn_about(center: np.ndarray, linear: np.ndarray) -> np.ndarray:
    return homogeneous(linear, center - linear @ center)


def body_points(inside: Geometry | None = None) -> np.ndarray:
    points = np.random.default_rng(3).uniform(-75, 75, (6000, 3))
    points = points[anatomy(points) > 250]
    return points if inside is None else points[inside.contains(points)]


def displacement_mm(result: RegistrationResult, points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(result.field(points) - points, axis=1)


@cache
def fixed_scan() -> Volume:
    return show(GRID)


@cache
def bent_scan() -> Volume:
    """Its point p shows anatomy(bend(p)): the fixed point bend(p) corresponds to it."""
    return show(make_geometry((56, 64, 58), (3, 2.8, 3)), bend, seed=2)


def bent_error_mm(to_moving: Map, inside: Geometry | None = None) -> float:
    """The mean error of a map from the fixed scan to the bent one."""
    points = body_points(inside)
    return float(np.linalg.norm(to_moving(bend(points)) - points, axis=1).mean())


@cache
def bent_result() -> RegistrationResult:
    return register(fixed_scan(), bent_scan())


# What matches already


@pytest.mark.parametrize("initial", ["affine", "none"])
def test_identical_volumes_are_moved_by_less_than_a_twentieth_of_a_millimeter(initial):
    result = register(fixed_scan(), fixed_scan(), RegistrationSettings(initial=initial))
    assert displacement_mm(result, body_points()).max() < 0.05


def test_a_second_scan_of_the_same_body_stays_where_it_is():
    result = register(show(GRID, seed=5), show(GRID, seed=6))
    moved = displacement_mm(result, body_points())
    assert np.median(moved) < 0.05
    assert moved.max() < 0.3


@pytest.mark.parametrize("seed", range(3))
def test_a_second_scan_in_another_position_gets_a_rigid_transform(seed):
    rng = np.random.default_rng(seed)
    rotation = Rotation.from_rotvec(rng.uniform(-10, 10, 3), degrees=True).as_matrix()
    truth = homogeneous(rotation, rng.uniform(-15, 15, 3))
    grid = make_geometry((60, 54, 66), (2.7, 3, 3), (0, 5, -7), center_mm=tuple(truth[:3, 3]))
    moving = show(grid, lambda p: apply_affine(np.linalg.inv(truth), p), seed=seed + 10)
    result = register(fixed_scan(), moving)
    scales = np.linalg.svd(result.initial.matrix[:3, :3], compute_uv=False)
    np.testing.assert_allclose(scales, 1, atol=1e-3)
    errors = np.linalg.norm(result.field(body_points()) - apply_affine(truth, body_points()), axis=1)
    assert np.median(errors) < 0.3
    assert errors.max() < 1.0


def test_a_body_of_another_size_is_still_scaled():
    truth = homogeneous(np.diag([1.08, 0.93, 1.0]), (4, -6, 3))
    moving = show(GRID, lambda p: apply_affine(np.linalg.inv(truth), p), seed=4)
    found = align_affine(fixed_scan(), moving, IntensityNormalization()).transform
    errors = np.linalg.norm(found(body_points()) - apply_affine(truth, body_points()), axis=1)
    assert errors.max() < 1.0


def test_a_real_deformation_is_kept():
    result = bent_result()
    assert bent_error_mm(result.field) < 0.9 * bent_error_mm(result.initial)


@pytest.mark.parametrize("bend_mm", [0.0, 0.5])
def test_where_the_headers_are_right_the_result_is_never_worse_than_as_loaded(bend_mm):
    def to_fixed(points: np.ndarray) -> np.ndarray:
        return points + bend_mm * np.sin(points[..., [1, 2, 0]] / 25)

    result = register(fixed_scan(), show(GRID, to_fixed, seed=7))
    points = body_points()
    loaded = np.linalg.norm(to_fixed(points) - points, axis=1).mean()
    assert np.linalg.norm(result.field(to_fixed(points)) - points, axis=1).mean() <= loaded + 0.02


# What surrounds the body


@pytest.mark.parametrize("value", [0.0, -1024.0, np.nan], ids=["zeros", "-1024", "NaN"])
@pytest.mark.parametrize("padded", ["fixed", "moving", "both"])
def test_padded_volumes_end_as_the_unpadded_ones_do(padded, value):
    fixed = fixed_scan() if padded == "moving" else pad(fixed_scan(), 40, value)
    moving = bent_scan() if padded == "fixed" else pad(bent_scan(), 40, value)
    result, points = register(fixed, moving), body_points()
    assert np.linalg.norm(result.field(points) - bent_result().field(points), axis=1).max() < 0.05
    if padded != "moving":  # the padding follows the initial alignment
        corners = fixed.geometry.corners_mm
        np.testing.assert_allclose(result.field(corners), result.initial(corners), atol=0.01)


def test_a_wide_margin_on_one_side_changes_nothing():
    moving = bent_scan()
    array = np.pad(moving.array, ((0, 0), (0, 0), (0, 90)))
    result, points = register(fixed_scan(), replace(moving, array=array)), body_points()
    assert np.linalg.norm(result.field(points) - bent_result().field(points), axis=1).max() < 0.05


@pytest.mark.parametrize("part", [slice(0, 17), slice(36, None)], ids=["lower", "upper"])
def test_empty_slabs_of_a_third_are_no_tissue(part):
    array = np.array(bent_scan().array)
    array[part] = 0
    result = register(fixed_scan(), replace(bent_scan(), array=array))
    kept = (slice(17, None) if part.start == 0 else slice(0, 36),)
    shown = Geometry(array[kept].shape, bent_scan().affine @ homogeneous(np.eye(3), (0, 0, kept[0].start)))
    assert bent_error_mm(result.field, shown) < bent_error_mm(bent_result().field, shown) + 0.5


# Half a scan


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("axis", range(3))
def test_half_of_the_moving_scan_ends_near_where_the_whole_one_does(axis, side):
    moving = bent_scan()
    size = moving.array.shape[axis]
    start, stop = (size // 2, size) if side else (0, size // 2)
    cut = tuple(slice(start, stop) if a == axis else slice(None) for a in range(3))
    offset = np.array([float(start) if a == axis else 0.0 for a in (2, 1, 0)])
    half = replace(moving, array=moving.array[cut], affine=moving.affine @ homogeneous(np.eye(3), offset))
    result = register(fixed_scan(), half)
    assert bent_error_mm(result.field, half.geometry) < bent_error_mm(bent_result().field, half.geometry) + 0.7
    assert any("different extents: the moving volume shows only" in line for line in result.warnings)


def test_a_slab_from_the_middle_of_the_moving_scan_pulls_no_tissue_to_its_edges():
    """Its center is that of the whole scan, as if both were framed alike, but its edges lie inside the anatomy."""
    moving = bent_scan()
    size = moving.array.shape[0]
    start, stop = round(0.4 * size), round(0.6 * size)
    slab = replace(moving, array=moving.array[start:stop], affine=moving.affine @ homogeneous(np.eye(3), (0, 0, start)))
    result = register(fixed_scan(), slab, RegistrationSettings(initial="none"))
    assert bent_error_mm(result.field, slab.geometry) < 0.8 * bent_error_mm(result.initial, slab.geometry)


def test_volumes_that_show_the_same_have_no_different_extents():
    assert not any("different extents" in line for line in bent_result().warnings)
    padded = register(pad(fixed_scan(), 30, 0.0), bent_scan())
    assert not any("different extents" in line for line in padded.warnings)


# Turned headers


def all_rotations() -> list[np.ndarray]:
    signs = list(product((1.0, -1.0), repeat=3))
    matrices = [np.eye(3)[list(p)] * np.array(s)[:, None] for p in permutations(range(3)) for s in signs]
    return [m for m in matrices if np.linalg.det(m) > 0]


def test_all_24_rotations_of_a_header_are_found():
    grid = make_geometry((40, 48, 42), (4, 4, 4))
    fixed, moving = show(grid), show(grid, bend, seed=2)
    lost = []
    for number, rotation in enumerate(all_rotations()):
        header = turn_about(np.array([5.0, -8.0, 3.0]), rotation)
        found = align_affine(fixed, move_header(moving, header), IntensityNormalization()).transform
        matrix = np.linalg.inv(header) @ found.matrix
        if bent_error_mm(lambda p, m=matrix: apply_affine(m, p)) > BEND_MM:
            lost.append(number)
    assert lost == []


def test_a_turned_header_ends_as_the_right_one_and_does_not_fold():
    """The turn is a displacement of centimeters that grows linearly: no smoothing and no padding may bend it."""
    header = turn_about(np.zeros(3), np.diag([-1.0, -1.0, 1.0]))
    fixed = pad(fixed_scan(), 12, 0)
    result = register(fixed, move_header(bent_scan(), header))
    assert bent_error_mm(lambda p: apply_affine(np.linalg.inv(header), result.field(p))) < 1.1 * bent_error_mm(
        bent_result().field
    )
    assert compute_corner_determinants(result.field).min() > 0
