"""The field beyond the fixed volume: it falls to the initial alignment, without folding, and is unchanged inside."""

from __future__ import annotations

import numpy as np
import pytest

from LightRegistrationLib.core.deformation.folding import repair_margin
from LightRegistrationLib.core.deformation.inverse import invert
from LightRegistrationLib.core.deformation.jacobian import compute_corner_determinants
from LightRegistrationLib.core.deformation.tapering import find_nodes_of, taper_field
from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine
from LightRegistrationLib.core.geometry.transforms import AffineTransform, DisplacementField
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.sampling.warping import compute_moving_coordinates, warp_volume

from ...analytic import follow_with, points_around, smooth_field, tapered_field, turned
from ..geometries import AWKWARD, make_geometry

every_geometry = pytest.mark.parametrize("geometry", AWKWARD.values(), ids=AWKWARD)


@every_geometry
def test_the_field_inside_the_volume_is_unchanged_bit_for_bit(geometry: Geometry) -> None:
    field = follow_with(smooth_field(geometry), turned(geometry))
    tapered = taper_field(field, turned(geometry), geometry)
    kept = find_nodes_of(geometry, tapered.geometry)
    assert np.array_equal(tapered.array[kept], field.array[find_nodes_of(geometry, field.geometry)])
    corners = apply_affine(tapered.geometry.inverse_affine, geometry.corners_mm)
    assert (corners >= [part.start for part in kept[::-1]] - np.full(3, 1e-6)).all()
    assert (corners <= [part.stop - 1 for part in kept[::-1]] + np.full(3, 1e-6)).all()
    repaired, _ = repair_margin(tapered, geometry)
    assert np.array_equal(repaired.array[kept], tapered.array[kept])


@every_geometry
def test_far_outside_the_field_is_the_initial_alignment(geometry: Geometry) -> None:
    field = tapered_field(geometry)
    points = points_around(geometry, beyond_mm=300)
    outside = ~field.geometry.contains(points)
    assert outside.sum() > 100
    np.testing.assert_allclose(field(points[outside]), turned(geometry)(points[outside]), atol=1e-9)


@every_geometry
def test_the_map_has_no_jump(geometry: Geometry) -> None:
    """Neighbors a hundredth of a millimeter apart stay neighbors, also across the border of the grid."""
    field = tapered_field(geometry)
    points = points_around(field.geometry, beyond_mm=1.0, count=20000)
    step = np.array([0.01, 0, 0])
    stretch = np.linalg.norm(field(points + step) - field(points), axis=-1) / 0.01
    assert stretch.max() < 3


def pushing_field(grid: Geometry, center_mm: np.ndarray, sign: float) -> DisplacementField:
    """Displacements away from the center (1) or toward it (-1) of up to 24 mm, in waves along the other axes."""
    offset = grid.points_mm - center_mm
    waves = 1 + 0.3 * np.sin(offset[..., [1, 2, 0]] / 7)
    return DisplacementField(sign * 12 * np.tanh(offset / 20) * waves, grid.affine)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_strong_displacement_at_the_border_does_not_fold(sign: float) -> None:
    volume = make_geometry((30, 34, 38), (3, 3, 3), (10, -20, 5), center_mm=(20, 30, -50))
    field = pushing_field(
        make_geometry((36, 40, 44), (3, 3, 3), (10, -20, 5), center_mm=(20, 30, -50)), volume.center_mm, sign
    )
    assert compute_corner_determinants(field).min() > 0
    identity = AffineTransform.identity()
    narrow = pushing_field(volume, volume.center_mm, sign).array
    padded = DisplacementField(np.pad(narrow, [(2, 2)] * 3 + [(0, 0)]), volume.affine)
    assert compute_corner_determinants(padded).min() < 0, "a margin that is too narrow folds"
    repaired, is_folded = repair_margin(taper_field(field, identity, volume), volume)
    assert compute_corner_determinants(repaired).min() > 0
    assert not is_folded


def test_folds_in_the_margin_are_repaired_and_the_volume_stays() -> None:
    volume = AWKWARD["oblique"]
    tapered = tapered_field(volume)
    array = tapered.array.copy()
    array[2, 9, 9] += (9.0, -9.0, 0)
    folded = DisplacementField(array, tapered.affine, tapered.outside)
    assert compute_corner_determinants(folded).min() < 0
    repaired, is_folded = repair_margin(folded, volume)
    assert not is_folded
    kept = find_nodes_of(volume, tapered.geometry)
    assert kept[0].start > 3
    assert compute_corner_determinants(repaired).min() > 0
    assert np.array_equal(repaired.array[kept], tapered.array[kept])
    assert repair_margin(tapered, volume) == (tapered, False)
    with_residual, _ = repair_margin(folded.with_residual(), volume)
    assert np.abs(with_residual.compute_residual() - repaired.compute_residual()).max() < 1e-3


def test_a_fold_at_the_nodes_that_have_to_stay_is_said() -> None:
    volume = AWKWARD["oblique"]
    tapered = tapered_field(volume)
    kept = find_nodes_of(volume, tapered.geometry)
    array = tapered.array.copy()
    array[kept[0].start, 9:14, 9:14] += (0, 0, 60.0)
    repaired, is_folded = repair_margin(DisplacementField(array, tapered.affine, tapered.outside), volume)
    assert is_folded
    assert compute_corner_determinants(repaired).min() <= 0


def test_padding_of_the_volume_does_not_enlarge_the_grid() -> None:
    scanned = make_geometry((40, 40, 40), (2, 2, 2))
    padded = make_geometry((160, 160, 160), (2, 2, 2))
    field = follow_with(smooth_field(padded), turned(scanned))
    tapered = taper_field(field, turned(scanned), scanned)
    assert max(tapered.array.shape) < 0.8 * max(field.array.shape)
    assert tapered.geometry.contains(scanned.corners_mm).all()


@every_geometry
def test_a_volume_that_reaches_beyond_the_field_is_warped_by_the_initial_alignment_there(geometry: Geometry) -> None:
    field = tapered_field(geometry)
    matrix = geometry.affine @ np.diag([3.3, 3.1, 2.9, 1])
    matrix[:3, 3] = geometry.center_mm - matrix[:3, :3] @ ((geometry.size_ijk - 1) / 2)
    wide = Geometry(geometry.shape, matrix)
    assert not field.geometry.contains(wide.corners_mm).any()
    moving = make_geometry((50, 60, 70), (4, 4, 4), center_mm=tuple(geometry.center_mm))
    expected = apply_affine(moving.inverse_affine, field(wide.points_mm))
    found = compute_moving_coordinates(wide, moving, field)[0].movedim(0, -1)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    bright = Volume(np.full(moving.shape, 5, np.float32) + np.indices(moving.shape)[2], moving.affine)
    inside = moving.contains(field(wide.points_mm))
    assert (warp_volume(bright, field, wide).array[inside] > 4.9).all()


@every_geometry
def test_the_inverse_undoes_the_field_everywhere(geometry: Geometry) -> None:
    field = tapered_field(geometry, amplitude_mm=3.0)
    inverse = invert(field)
    nodes = inverse.geometry.points_mm.reshape(-1, 3)[::211]
    np.testing.assert_allclose(field(inverse(nodes)), nodes, atol=0.02)
    points = field(points_around(geometry, beyond_mm=200))
    np.testing.assert_allclose(field(inverse(points)), points, atol=0.5)


def test_a_field_that_does_not_end_in_its_transform_outside_is_refused() -> None:
    field = smooth_field(AWKWARD["plain"])
    with pytest.raises(InputError, match="does not end in an affine transform"):
        DisplacementField(field.array, field.affine, AffineTransform.identity())
    with pytest.raises(ValueError, match="no transform outside"):
        field.compute_residual()
