"""The mean of a group against analytic answers: poses, sizes, opposite deformations, composition, intensities."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from LightRegistrationLib.core.geometry.geometry import Geometry, homogeneous
from LightRegistrationLib.core.geometry.transforms import AffineTransform, DisplacementField
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.template.grid import choose_field_grid, choose_spacing_mm, choose_template_grid
from LightRegistrationLib.core.template.image import (
    ImageMean,
    IntensityMap,
    find_foreground,
    find_intensity_map,
    measure_gradient_energy,
    warp_scan,
)
from LightRegistrationLib.core.template.shape import (
    MeanStretch,
    ShapeMean,
    compose,
    find_rigid_part,
    fit_affine,
    invert_mean,
    make_affine_field,
)

from ...analytic import points_inside

TURN = Rotation.from_euler("xyz", (8, -11, 25), degrees=True).as_matrix()
OBLIQUE = Geometry((29, 33, 31), homogeneous(TURN @ np.diag([-2.0, 2.0, 2.0]), (40.0, -90.0, 15.0)))
"""An image grid that is turned, flipped and far from the origin."""
GRID = choose_field_grid(OBLIQUE)
POSES = [
    AffineTransform(homogeneous(Rotation.from_euler("xyz", angles, degrees=True).as_matrix(), shift))
    for angles, shift in (
        ((0, 0, 0), (0, 0, 0)),
        ((20, -30, 5), (120, 3, -60)),
        ((-70, 10, 40), (-5, 200, 30)),
        ((5, 80, -15), (9, -8, 7)),
    )
]


def find_ball() -> np.ndarray:
    """The nodes of the grid in a ball around the center of the image: no direction is longer than another."""
    return np.linalg.norm(GRID.points_mm - OBLIQUE.center_mm, axis=-1) < 22


def bulge(points: np.ndarray, sign: float) -> np.ndarray:
    """Displacements along the gradient of a potential, which turn nothing around."""
    x, y, z = np.moveaxis((points - OBLIQUE.center_mm) / 16, -1, 0)
    return sign * 3.0 * np.stack([np.sin(x) * np.cos(y), np.cos(x) * np.sin(y), 0.6 * np.sin(2 * z)], axis=-1)


def sample_map(pose: AffineTransform, sign: float, stretch: np.ndarray | None = None) -> np.ndarray:
    points = GRID.points_mm
    center = OBLIQUE.center_mm
    stretched = center + (points + bulge(points, sign) - center) @ (np.eye(3) if stretch is None else stretch).T
    return pose(stretched) - points


def test_the_rigid_part_of_a_map_is_its_nearest_rotation() -> None:
    stretch = np.array([[1.2, 0.1, 0.0], [0.1, 0.9, 0.05], [0.0, 0.05, 1.05]])
    center = np.array([30.0, -40.0, 60.0])
    inner = AffineTransform(homogeneous(stretch, center - stretch @ center))
    for pose in POSES:
        affine = pose.after(inner)
        np.testing.assert_allclose(find_rigid_part(affine, center).matrix, pose.matrix, atol=1e-9)
        points = points_inside(OBLIQUE)
        np.testing.assert_allclose(fit_affine(points, affine(points)).matrix, affine.matrix, atol=1e-9)


def test_poses_change_no_mean_and_opposite_shapes_cancel() -> None:
    mean = ShapeMean(GRID, find_ball())
    for pose, sign in zip(POSES, (1, -1, 1, -1), strict=True):
        mean.add(sample_map(pose, sign))
    shape = mean.compute()
    assert np.abs(shape.array[find_ball()]).max() < 0.02
    assert mean.measure_rms_mm(shape) < 0.01
    # The same without poses, but not balanced: the mean is a third of the bulge.
    uneven = ShapeMean(GRID, find_ball())
    for pose, sign in zip(POSES, (1, -1, 1, 0.3333), strict=True):
        uneven.add(sample_map(pose, sign))
    expected = bulge(GRID.points_mm, 1.3333 / 4)
    np.testing.assert_allclose(uneven.compute().array[find_ball()], expected[find_ball()], atol=0.12)


def test_the_mean_size_is_the_mean_of_the_sizes() -> None:
    sizes = (0.8, 1.0, 1.1, 1.3)
    mean = ShapeMean(GRID, find_ball())
    found = [mean.add(sample_map(p, 0, s * np.eye(3))) for p, s in zip(POSES, sizes, strict=True)]
    np.testing.assert_allclose(found, sizes, rtol=1e-5)
    expected = 0.05 * (GRID.points_mm - GRID.points_mm[find_ball()].mean(0))
    np.testing.assert_allclose(mean.compute().array, expected, atol=1e-3)

    center = OBLIQUE.center_mm
    affines = [
        p.after(AffineTransform(homogeneous(s * np.eye(3), (1 - s) * center)))
        for p, s in zip(POSES, sizes, strict=True)
    ]
    stretch = MeanStretch.average(affines, center)
    for affine, size in zip(affines, sizes, strict=True):
        to_scan = stretch.compose(affine).matrix[:3, :3]
        assert np.linalg.det(to_scan) ** (1 / 3) == pytest.approx(size / 1.05)


def test_maps_are_composed_with_the_inverse_of_the_mean() -> None:
    shape = ShapeMean(GRID, find_ball())
    for pose in POSES[:2]:
        shape.add(sample_map(pose, 1.0))
    mean = shape.compute()
    inverse = invert_mean(mean, OBLIQUE)
    field = compose(sample_map(POSES[1], 0.5), inverse, OBLIQUE)
    template = points_inside(OBLIQUE, 300, margin_voxels=3)
    in_mean_shape = mean(template)
    is_inside = OBLIQUE.contains(in_mean_shape)
    assert is_inside.sum() > 200
    expected = POSES[1](template + bulge(template, 0.5))[is_inside]
    # SimpleITK evaluates the field as other programs do: LPS, on its oblique grid.
    lps = np.diag([-1.0, -1.0, 1.0])
    image = sitk.GetImageFromArray((field.array @ lps).astype(np.float64), isVector=True)
    axes = field.affine[:3, :3] / field.geometry.spacing_mm
    image.SetSpacing(field.geometry.spacing_mm.tolist())
    image.SetOrigin((lps @ field.affine[:3, 3]).tolist())
    image.SetDirection((lps @ axes).ravel().tolist())
    transform = sitk.DisplacementFieldTransform(image)
    found = np.array([transform.TransformPoint(p) for p in (in_mean_shape[is_inside] @ lps).tolist()]) @ lps
    assert np.abs(found - expected).max() < 0.25
    assert np.linalg.norm(found - expected, axis=1).mean() < 0.05


# Images


def test_the_grid_covers_the_median_field_of_view() -> None:
    scans = [Geometry((20, 30, 40), OBLIQUE.affine @ homogeneous(np.eye(3), (i, -i, 2 * i))) for i in (0, 1, 2, 3, 40)]
    assert choose_spacing_mm(scans) == pytest.approx(2.0)
    grid = choose_template_grid([scan.corners_mm for scan in scans], OBLIQUE.affine, 1.0)
    assert grid.contains(scans[2].corners_mm).all()
    assert np.linalg.det(grid.affine[:3, :3]) == pytest.approx(1.0), "right-handed, along the axes of the scans"
    np.testing.assert_allclose(np.abs(grid.affine[:3, :3]), np.abs(OBLIQUE.affine[:3, :3]) / 2, atol=1e-9)
    assert grid.size_ijk == pytest.approx(1.08 * 2 * scans[0].size_ijk, abs=1.01)
    fields = choose_field_grid(grid)
    steps = (grid.inverse_affine @ fields.affine)[:3, 3]
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9, err_msg="its nodes are voxels of the image")
    assert fields.contains(grid.corners_mm).all()


def test_scans_of_other_units_have_one_mean_and_unknown_voxels_count_nowhere() -> None:
    rng = np.random.default_rng(3)
    body = np.zeros(OBLIQUE.shape, np.float32)
    body[6:-6, 6:-6, 6:-6] = rng.uniform(80, 120, (17, 21, 19))
    field = make_affine_field(AffineTransform.identity(), choose_field_grid(OBLIQUE))
    mean = ImageMean(OBLIQUE.shape)
    arrays = [body, 7 * body - 300, 0.01 * body + 5]
    arrays[2][:10] = np.nan
    for array in arrays:
        levels = find_intensity_map(body if array is arrays[2] else array)
        if array is arrays[2]:
            levels = IntensityMap(5 + 0.01 * levels.offset, levels.gain / 0.01)
        warped = warp_scan(Volume(array, OBLIQUE.affine), field, OBLIQUE, levels)
        mean.add(warped)
    assert np.isnan(warped[:9]).all()
    found = mean.compute()
    expected = (body - find_intensity_map(body).offset) * find_intensity_map(body).gain
    np.testing.assert_allclose(found[11:], expected[11:], atol=0.5)
    np.testing.assert_allclose(found[:9], expected[:9], atol=0.5)
    assert np.median(found[find_foreground(found)]) == pytest.approx(1000, rel=0.01)

    alone = ImageMean((1, 1, 3))
    for row in ([1.0, 5.0, np.nan], [3.0, np.nan, np.nan], [5.0, np.nan, np.nan]):
        alone.add(np.array([[row]], np.float32))
    np.testing.assert_allclose(alone.compute()[0, 0], [3.0, 3.0, 3.0], err_msg="shown by too few: the smallest mean")


def test_gradient_energy_is_that_of_the_slope() -> None:
    k, j, i = np.indices((8, 9, 10)).astype(np.float32)
    inside = np.zeros((8, 9, 10), bool)
    inside[2:5] = True
    assert measure_gradient_energy(3 * k + 4 * j + 12 * i, inside, 0.5) == pytest.approx(4 * 169)


def test_an_affine_map_is_exact_on_two_nodes_an_axis() -> None:
    field = make_affine_field(POSES[1], GRID)
    points = points_inside(OBLIQUE)
    np.testing.assert_allclose(DisplacementField(field.array, field.affine)(points), POSES[1](points), atol=1e-3)
