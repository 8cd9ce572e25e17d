"""The affine stage on analytic anatomy: wrong headers, parts of the body, multimodal pairs, masks, and warnings."""

from __future__ import annotations

import re

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.spatial.transform import Rotation

from LightRegistrationLib.core.affine.header_checks import MIRRORED_HEADER
from LightRegistrationLib.core.affine.level import make_level
from LightRegistrationLib.core.affine.pyramid import build_pyramid, compute_fine_spacing_mm, shrink_further
from LightRegistrationLib.core.affine.search import HALF_TURNS, find_nearest_turn, find_starts, list_quarter_turns
from LightRegistrationLib.core.affine.similarity import AffineSimilarity
from LightRegistrationLib.core.affine.stage import Alignment, align_affine
from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine, homogeneous
from LightRegistrationLib.core.geometry.transforms import AffineTransform
from LightRegistrationLib.core.geometry.volume import Segmentation, Volume
from LightRegistrationLib.core.network.grid import shrink
from LightRegistrationLib.core.network.intensity import IntensityNormalization

from ..geometries import AWKWARD, make_geometry

RULE = IntensityNormalization()
GRID = make_geometry((62, 78, 66), (2.2, 2.2, 2.2), (4, -6, 9), flips=(-1, -1, 1))
ROTATED = homogeneous(
    Rotation.from_rotvec((9, -7, 11), degrees=True).as_matrix() @ np.diag((1.06, 0.95, 1.02)), (8, -5, 12)
)


def body(points_mm: np.ndarray, remapped: bool = False) -> np.ndarray:
    """An asymmetric body of about 120 x 140 x 110 mm with organs; remapped: in the contrast of another sequence."""
    rng = np.random.default_rng(7)
    x, y, z = np.moveaxis(points_mm, -1, 0)
    radius = np.sqrt((x / 60) ** 2 + ((y + 0.15 * x) / 72) ** 2 + ((z - 0.1 * y) / 54) ** 2)
    values = np.full(x.shape, 450.0)
    for _ in range(16):
        center = rng.uniform(-1, 1, 3) * (38, 45, 32)
        width, height = rng.uniform(6, 13), rng.uniform(-350, 450)
        squared = sum((p - c) ** 2 for p, c in zip((x, y, z), center, strict=True))
        values = values + height * np.exp(-squared / (2 * width**2))
    values = np.clip(values, 60, 1000)
    if remapped:
        values = np.interp(values, [60, 300, 450, 600, 1000], [950, 700, 250, 500, 820])
    return values / (1 + np.exp((radius - 1) * 25))


def scan(geometry: Geometry, matrix: np.ndarray = ROTATED, remapped: bool = False, seed: int = 1) -> Volume:
    """The body moved by a matrix fixed -> moving, with some noise, on a grid."""
    points = apply_affine(np.linalg.inv(matrix), geometry.points_mm)
    noise = np.random.default_rng(seed).normal(scale=8, size=geometry.shape)
    return Volume((body(points, remapped) + noise).astype(np.float32), geometry.affine, f"scan {seed}")


def grid_around(center_mm: tuple[float, ...] = (8, -5, 12), shape: tuple[int, int, int] = (66, 70, 60)) -> Geometry:
    return make_geometry(shape, (2.4, 2.2, 2), (0, 8, -5), center_mm=center_mm)


def wrong_header(volume: Volume, matrix: np.ndarray) -> Volume:
    return Volume(volume.array, matrix @ volume.affine, volume.name)


def error_mm(found: Alignment, truth: np.ndarray) -> float:
    """The largest error among points of the body."""
    points = np.random.default_rng(3).uniform(-1, 1, (2000, 3)) * (50, 60, 45)
    points = points[np.linalg.norm(points / (55, 65, 50), axis=1) < 0.9]
    return float(np.linalg.norm(found.transform(points) - apply_affine(truth, points), axis=1).max())


@pytest.fixture(scope="module")
def fixed() -> Volume:
    return scan(GRID, np.eye(4), seed=0)


@pytest.fixture(scope="module")
def moving() -> Volume:
    return scan(grid_around())


def test_correct_headers_give_no_warning(fixed, moving):
    found = align_affine(fixed, moving, RULE)
    assert error_mm(found, ROTATED) < 1.0
    assert found.warnings == ()


@pytest.mark.parametrize("offset", [(180, -170, 170), (-1000, 0, 0), (0, 30, 990)])
def test_offsets_of_decimeters_are_found_and_reported(fixed, moving, offset):
    shift = homogeneous(np.eye(3), offset)
    found = align_affine(fixed, wrong_header(moving, shift), RULE)
    assert error_mm(found, shift @ ROTATED) < 1.0
    (warning,) = found.warnings
    centimeters = int(warning.removeprefix("The headers disagree by ").split(" cm; the volumes were aligned by")[0])
    assert abs(10 * centimeters - np.linalg.norm(offset)) < 40


@pytest.mark.parametrize(("axis", "degrees"), [(0, 180), (1, 180), (2, 180), (2, 90), (0, -90)])
def test_turned_headers_are_found_and_reported(fixed, moving, axis, degrees):
    turn = homogeneous(Rotation.from_rotvec(degrees * np.eye(3)[axis], degrees=True).as_matrix(), (30, 20, -10))
    found = align_affine(fixed, wrong_header(moving, turn), RULE)
    assert error_mm(found, turn @ ROTATED) < 1.0
    (warning,) = found.warnings
    assert warning.startswith(f"The moving volume lies turned by {abs(degrees)}° about the {'RAS'[axis]} axis")


def test_a_tilt_that_no_head_has_is_reported(fixed, moving):
    turn = homogeneous(Rotation.from_rotvec(50 * np.array((0.6, 0.64, 0.48)), degrees=True).as_matrix(), (10, 0, 5))
    found = align_affine(fixed, wrong_header(moving, turn), RULE)
    assert error_mm(found, turn @ ROTATED) < 1.0
    (warning,) = found.warnings
    assert re.match("The moving volume lies turned by (4|5).° about an oblique axis", warning)


def test_a_turn_is_reported_only_if_the_alignment_has_it(fixed):
    """Noise in place of a body: whatever was searched, nothing is turned."""
    noise = Volume(np.random.default_rng(5).normal(200, 60, GRID.shape), GRID.affine)
    found = align_affine(fixed, noise, RULE)
    turned = not np.array_equal(find_nearest_turn(found.transform.matrix), np.eye(3))
    assert any("turned by" in line for line in found.warnings) <= turned


def test_a_round_body_in_inverted_contrast_is_not_turned():
    """The rotation of a round body is not known: the one with less of it wins."""
    geometry = Geometry((40, 44, 40), homogeneous(np.diag([4.0] * 3), (-80, -88, -80)))

    def layers(size: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        radius = np.linalg.norm(geometry.points_mm / (size * np.array((60, 72, 66))), axis=-1)
        image = np.select([radius < 0.4, radius < 0.8, radius < 1], [130.0, 60.0, 100.0])
        return image, radius < 1, np.random.default_rng(seed).normal(0, 2, geometry.shape)

    image, _, noise = layers(1.0, 1)
    other, is_body, other_noise = layers(1.1, 2)
    inverted = np.where(is_body, 200 - other, 0)
    found = align_affine(Volume(image + noise, geometry.affine), Volume(inverted + other_noise, geometry.affine), RULE)
    left, _, right = np.linalg.svd(found.transform.matrix[:3, :3])
    assert np.degrees(Rotation.from_matrix(left @ right).magnitude()) < 3
    assert found.warnings == ()


@pytest.mark.parametrize("axis", range(3))
def test_a_mirrored_header_is_reported_and_never_mirrored_back(fixed, moving, axis):
    mirror = np.diag([-1.0 if a == axis else 1.0 for a in (0, 1, 2, 3)])
    found = align_affine(fixed, wrong_header(moving, mirror), RULE)
    assert MIRRORED_HEADER in found.warnings
    assert np.linalg.det(found.transform.matrix[:3, :3]) > 0


def test_a_symmetric_body_is_not_turned():
    """Half a turn fits nearly as well: the orientation of the headers is kept."""

    def ball(points: np.ndarray, bump: float) -> np.ndarray:
        radius = np.linalg.norm(points / (60, 75, 55), axis=-1)
        shell = 500 / (1 + np.exp((radius - 1) * 25)) - 300 / (1 + np.exp((radius - 0.5) * 15))
        return shell + bump * np.exp(-((points - (0, 15, 20)) ** 2).sum(-1) / 200)

    volumes = [
        Volume((ball(GRID.points_mm, bump) + np.random.default_rng(n).normal(0, 30, GRID.shape)), GRID.affine)
        for n, bump in enumerate((30, -30))
    ]
    found = align_affine(*volumes, RULE)
    np.testing.assert_array_equal(find_nearest_turn(found.transform.matrix), np.eye(3))
    assert found.warnings == ()


@pytest.mark.parametrize("name", AWKWARD)
def test_every_moving_geometry_is_aligned(fixed, name):
    geometry = AWKWARD[name]
    wide = make_geometry(
        (60, 64, 60), (2.6, 2.4, 2.5), (6, -9, 12), center_mm=tuple(geometry.center_mm)
    )  # all of the body, where the awkward grid shows a part
    axes = geometry.affine[:3, :3] / geometry.spacing_mm
    size = np.abs(np.linalg.inv(axes) @ np.full(3, 150.0)) / geometry.spacing_mm
    shape = tuple(int(n) for n in np.maximum(size, 40)[::-1])
    affine = homogeneous(
        geometry.affine[:3, :3], wide.center_mm - geometry.affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    )
    truth = homogeneous(ROTATED[:3, :3], wide.center_mm)
    found = align_affine(fixed, scan(Geometry(shape, affine), truth), RULE)
    assert error_mm(found, truth) < 1.5


@pytest.mark.parametrize("cut", ["half", "slab"])
def test_a_part_of_the_body_is_found_and_the_border_of_the_field_of_view_has_no_effect(fixed, moving, cut):
    keep = (slice(0, 36), slice(None), slice(None)) if cut == "half" else (slice(20, 48), slice(None), slice(8, 52))
    start = np.array([s.start or 0 for s in keep], dtype=float)[::-1]
    part = Volume(moving.array[keep], moving.affine @ homogeneous(np.eye(3), start), cut)
    found = align_affine(fixed, part, RULE)
    inside = part.geometry.points_mm[4:-4:6, 4:-4:6, 4:-4:6].reshape(-1, 3)
    points = apply_affine(np.linalg.inv(ROTATED), inside)
    points = points[body(points) > 100]
    assert np.linalg.norm(found.transform(points) - apply_affine(ROTATED, points), axis=1).max() < 1.5


def test_a_multimodal_pair_is_aligned(fixed):
    """Remapped gray values: the darkest and the brightest organs become bright, so that a line explains little."""
    other = scan(grid_around(), remapped=True)
    inside = body(GRID.points_mm) > 200
    seen = np.corrcoef(body(GRID.points_mm)[inside], body(GRID.points_mm, remapped=True)[inside])[0, 1]
    assert abs(seen) < 0.5
    found = align_affine(fixed, other, RULE)
    assert error_mm(found, ROTATED) < 4.0  # one voxel of the finest level
    assert found.warnings == ()


def test_only_the_masked_part_is_compared(fixed, moving):
    """Half of the moving volume shows something else, and the mask leaves it out."""
    spoiled = moving.array.copy()
    spoiled[:30] = np.random.default_rng(0).permutation(spoiled[:30].ravel()).reshape(spoiled[:30].shape)
    labels = np.zeros(moving.array.shape, np.uint8)
    labels[30:] = 3
    mask = Segmentation.from_labels(labels, moving.affine, "upper half")
    found = align_affine(fixed, Volume(spoiled, moving.affine), RULE, moving_mask=mask)
    points = np.random.default_rng(3).uniform((-35, -40, 10), (35, 40, 35), (500, 3))
    assert np.linalg.norm(found.transform(points) - apply_affine(ROTATED, points), axis=1).max() < 1.5


def test_a_mask_outside_the_volume_is_refused_by_name(fixed, moving):
    labels = np.ones((5, 5, 5), np.uint8)
    mask = Segmentation.from_labels(labels, homogeneous(np.eye(3), (900, 0, 0)), "tumor")
    with pytest.raises(InputError, match="tumor: the mask shows nothing inside scan 0"):
        align_affine(fixed, moving, RULE, fixed_mask=mask)


def test_volumes_that_were_shrunk_before_are_aligned_as_well(fixed, moving):
    small = shrink(fixed, 2.5, RULE), shrink(moving, 2.5, RULE)
    again = align_affine(fixed, moving, RULE, shrunk=small)
    assert error_mm(again, ROTATED) < 1.0


def test_shrinking_in_two_steps_keeps_every_point_where_it_was(fixed):
    once, twice = shrink(fixed, 8.8, RULE), shrink_further(shrink(fixed, 4.4, RULE), 8.8)
    assert once.geometry.matches(twice.geometry)
    assert float((once.tensor - twice.tensor).abs().mean()) < 0.03


def test_the_same_call_gives_the_same_bits(fixed, moving):
    first, second = (align_affine(fixed, moving, RULE).transform.matrix for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_each_turn_finds_a_copy_turned_by_it(fixed):
    """A copy turned by each of the 24 rotations of a cube is found by that turn."""
    images = build_pyramid(fixed, 4.0, RULE, None)[2]
    axes = images.geometry.affine[:3, :3] / images.geometry.spacing_mm
    for turn in (*HALF_TURNS, *list_quarter_turns()):
        matrix = homogeneous(axes @ turn @ np.linalg.inv(axes), (300, -200, 100))
        image = type(images)(
            images.tensor, images.valid, Geometry(images.geometry.shape, matrix @ images.geometry.affine)
        )
        start = max(find_starts(images, image, [turn]), key=lambda s: s.merit)
        points = fixed.geometry.center_mm + np.random.default_rng(0).uniform(-40, 40, (50, 3))
        error = np.linalg.norm(apply_affine(start.matrix, points) - apply_affine(matrix, points), axis=1)
        assert error.max() < images.geometry.spacing_mm[0]
        assert start.merit > 0.9


@pytest.mark.parametrize("is_multimodal", [False, True])
@pytest.mark.parametrize("parameters", [6, 12])
def test_the_slope_is_the_derivative_of_the_similarity(fixed, moving, is_multimodal, parameters):
    """Against finite differences: the slope is minus half the derivative of the missed share of the variance."""
    spacing = compute_fine_spacing_mm(fixed.geometry, moving.geometry)
    images = [build_pyramid(v, spacing, RULE, None)[0] for v in (fixed, moving)]
    comparison = AffineSimilarity(make_level(*images, 4000, with_local_contrast=True), is_multimodal)
    near = torch.from_numpy(homogeneous(np.eye(3), (3, 2, -2)) @ ROTATED)[None]
    state = comparison.evaluate(near, parameters)
    shifts = torch.eye(4, dtype=torch.float64).repeat(6, 1, 1)
    for axis in range(3):
        shifts[2 * axis, axis, 3], shifts[2 * axis + 1, axis, 3] = 0.5, -0.5
    missed = 1 - comparison.evaluate(shifts @ near, parameters).correlation ** 2
    measured = -(missed[::2] - missed[1::2]) / 2
    np.testing.assert_allclose(state.slope[0, -3:], measured, rtol=0.25, atol=0.15 * float(measured.abs().max()))


def test_as_accurate_as_simpleitk(fixed, moving):
    ours = error_mm(align_affine(fixed, moving, RULE), ROTATED)
    assert ours <= _simpleitk_error_mm(fixed, moving) + 0.2


def _simpleitk_error_mm(fixed: Volume, moving: Volume) -> float:
    lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    images = []
    for volume in (fixed, moving):
        image = sitk.GetImageFromArray(volume.array)
        affine = lps @ volume.affine
        image.SetSpacing(volume.geometry.spacing_mm.tolist())
        image.SetDirection((affine[:3, :3] / volume.geometry.spacing_mm).ravel().tolist())
        image.SetOrigin(affine[:3, 3].tolist())
        images.append(image)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(50)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.2, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsGradientDescent(1.0, 60)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetSmoothingSigmasPerLevel([2, 1])
    moments = sitk.CenteredTransformInitializerFilter.MOMENTS
    start = sitk.CenteredTransformInitializer(*images, sitk.AffineTransform(3), moments)
    method.SetInitialTransform(start, True)
    method.Execute(*images)
    transform = sitk.AffineTransform(start)
    linear = np.array(transform.GetMatrix()).reshape(3, 3)
    center = np.array(transform.GetCenter())
    matrix = homogeneous(linear, np.array(transform.GetTranslation()) + center - linear @ center)

    return error_mm(Alignment(AffineTransform(lps @ matrix @ lps)), ROTATED)
