"""The pictures of the review page, on volumes and fields that are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine
from LightRegistrationLib.core.geometry.transforms import DisplacementField
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation, Volume
from LightRegistrationLib.core.review.drawing import (
    FOLDED_COLOR,
    GRID_COLOR,
    add_grid,
    add_outlines,
    draw_checkerboard,
    draw_determinants,
    draw_gray,
    draw_two_colors,
)
from LightRegistrationLib.core.review.pictures import ReviewedPair, draw_thumbnail
from LightRegistrationLib.core.review.planes import (
    Plane,
    compute_determinants,
    find_center,
    make_planes,
    sample_labels,
    sample_values,
)

from ..geometries import AWKWARD, make_geometry


def linear_field(matrix: np.ndarray, geometry: Geometry) -> DisplacementField:
    """Make the field of x -> center + matrix (x - center)."""
    points = geometry.points_mm.reshape(*geometry.shape, 3)
    return DisplacementField((points - geometry.center_mm) @ (matrix - np.eye(3)).T, geometry.affine)


@pytest.mark.parametrize("name", AWKWARD)
def test_pictures_have_the_patients_right_on_the_left_and_up_is_up(name: str) -> None:
    geometry = AWKWARD[name]
    points = geometry.points_mm.reshape(*geometry.shape, 3)
    axial, coronal, sagittal = make_planes(geometry, geometry.center_mm)
    for plane, (across, down) in ((axial, (0, 1)), (coronal, (0, 2)), (sagittal, (1, 2))):
        for axis, slope in ((across, (0, -plane.pixel_mm)), (down, (-plane.pixel_mm, 0))):
            values = sample_values(Volume(points[..., axis].astype(np.float32), geometry.affine), plane.points_mm)
            rows, columns = np.gradient(values)
            seen = np.isfinite(rows) & np.isfinite(columns)
            assert seen.sum() > 1000
            np.testing.assert_allclose(rows[seen], slope[0], atol=2e-3)
            np.testing.assert_allclose(columns[seen], slope[1], atol=2e-3)


@pytest.mark.parametrize("name", AWKWARD)
def test_planes_show_every_corner_and_nothing_beyond_is_drawn(name: str) -> None:
    geometry = AWKWARD[name]
    for plane in make_planes(geometry, geometry.center_mm):
        projected = geometry.corners_mm.reshape(-1, 3) @ plane.directions.T
        shown = plane.points_mm.reshape(-1, 3) @ plane.directions.T
        assert (shown.min(axis=0) <= projected.min(axis=0) + 1e-6).all()
        assert (shown.max(axis=0) >= projected.max(axis=0) - 1e-6).all()
        values = sample_values(Volume(np.ones(geometry.shape, np.int16), geometry.affine), plane.points_mm)
        inside = geometry.contains(plane.points_mm.reshape(-1, 3)).reshape(values.shape)
        assert np.isnan(values[~inside]).all()
        np.testing.assert_allclose(values[np.isfinite(values)], 1)


def test_the_planes_go_through_the_structures() -> None:
    geometry = AWKWARD["oblique"]
    labels = np.zeros(geometry.shape, np.uint8)
    labels[10:15, 30:35, 5:10] = 3
    center = find_center(geometry, Segmentation.from_labels(labels, geometry.affine))
    np.testing.assert_allclose(center, apply_affine(geometry.affine, (7, 32, 12)), atol=3)
    for plane in make_planes(geometry, center):
        assert sample_labels(Segmentation.from_labels(labels, geometry.affine), plane.points_mm).any()
    np.testing.assert_array_equal(find_center(geometry, None), geometry.center_mm)


def test_labels_of_overlapping_layers_keep_their_segments() -> None:
    geometry = make_geometry((10, 10, 10), (1, 1, 1))
    first, second = (np.zeros(geometry.shape, np.uint8) for _ in range(2))
    first[2:8], second[4:6] = 1, 1
    segments = (Segment("large", 1, 0), Segment("small", 1, 1))
    labels = sample_labels(Segmentation((first, second), geometry.affine, segments), geometry.points_mm)
    np.testing.assert_array_equal(np.unique(labels), (0, 1, 2))
    np.testing.assert_array_equal(labels.reshape(geometry.shape)[:, 5, 5], (0, 0, 1, 1, 2, 2, 1, 1, 0, 0))


@pytest.mark.parametrize("name", AWKWARD)
def test_determinants_of_a_linear_map(name: str) -> None:
    matrix = np.array([[1.2, 0.1, 0], [-0.05, 0.9, 0.2], [0, 0.1, 1.1]])
    field = linear_field(matrix, AWKWARD[name])
    plane = make_planes(AWKWARD[name], AWKWARD[name].center_mm)[0]
    shape = plane.points_mm.shape
    middle = Plane(plane.title, plane.points_mm[shape[0] // 2 :][:5, shape[1] // 2 :][:, :5], plane.directions, 1.0)
    np.testing.assert_allclose(compute_determinants(field, middle), np.linalg.det(matrix), rtol=1e-3)


def test_folding_and_changes_of_volume_are_told_apart_by_color() -> None:
    picture = draw_determinants(np.array([[1.0, 2.0, 0.5, 0.0, -3.0]]))
    assert picture[0].tolist() == [[255, 255, 255], [255, 0, 0], [0, 0, 255], [*FOLDED_COLOR], [*FOLDED_COLOR]]


def test_grid_lines_lie_where_the_moving_lines_come_to() -> None:
    geometry = make_geometry((20, 40, 40), (1, 1, 1), center_mm=(0.3, 0.3, 0.3))
    plane = make_planes(geometry, geometry.center_mm)[0]
    black = draw_gray(np.zeros(plane.points_mm.shape[:2], np.float32))

    def lines(shift_mm: float) -> np.ndarray:
        drawn = add_grid(black, plane, plane.points_mm + (shift_mm, 0, 0), 10.0)
        return plane.points_mm[0, (drawn == GRID_COLOR).all(axis=-1).all(axis=0), 0]

    np.testing.assert_allclose(lines(0), (20, 10, 0, -10), atol=plane.pixel_mm)
    np.testing.assert_allclose(lines(3), (17, 7, -3, -13), atol=plane.pixel_mm)


def test_two_colors_and_checkerboard_show_both_images() -> None:
    fixed, moving = np.ones((80, 80), np.float32), np.zeros((80, 80), np.float32)
    assert (draw_two_colors(fixed, moving) == (255, 0, 0)).all()
    assert (draw_two_colors(moving, fixed) == (0, 255, 255)).all()
    board = draw_checkerboard(fixed, moving)
    assert board[5, 5].tolist() == [255] * 3
    assert board[5, 15].tolist() == [0] * 3
    assert board.mean() == pytest.approx(127.5)


def test_a_thumbnail_is_colored_before_and_gray_after() -> None:
    geometry = make_geometry((20, 40, 30), (2, 2, 2))
    ball = (np.linalg.norm(geometry.points_mm - geometry.center_mm, axis=-1) < 15).astype(np.float32)
    shift_mm = np.array([8.0, 0, 0])
    moving = Volume(ball, geometry.affine @ np.array([[1, 0, 0, 4], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    displacement = np.broadcast_to(moving.geometry.center_mm - geometry.center_mm, (*geometry.shape, 3))
    assert np.linalg.norm(displacement[0, 0, 0]) == np.linalg.norm(shift_mm)
    pair = ReviewedPair(Volume(ball, geometry.affine), moving, DisplacementField(displacement, geometry.affine))
    picture = draw_thumbnail(pair).astype(int)
    half = (picture.shape[1] - 4) // 2
    before, after = picture[:, :half], picture[:, -half:]
    is_colored = [np.abs(side[..., 0] - side[..., 1]) > 100 for side in (before, after)]
    assert is_colored[0].mean() > 0.05
    assert is_colored[1].mean() == 0
    assert (after[..., 0] == 255).mean() > 0.1
    assert max(before.shape[:2]) in (120, 121)


def test_outlines_follow_the_edge_and_dashes_leave_gaps() -> None:
    labels = np.zeros((60, 60), int)
    labels[20:40, 20:40] = 1
    black = np.zeros((60, 60, 3), np.uint8)
    solid, dashed = (add_outlines(black, labels, (1, 2, 3), is_dashed=d)[..., 0] == 1 for d in (False, True))
    assert solid.sum() == 4 * 20 - 1  # the corner counts once
    assert solid[20, 20:40].all()
    assert not solid[25:35, 25:35].any()
    assert 0.3 * solid.sum() < (solid & dashed).sum() == dashed.sum() < 0.7 * solid.sum()
