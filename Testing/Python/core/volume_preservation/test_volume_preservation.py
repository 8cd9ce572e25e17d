"""Volume preservation: volumes counted by SimpleITK, on fields whose effect on volume is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from LightRegistrationLib.core.deformation.jacobian import compute_corner_determinants
from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import Geometry
from LightRegistrationLib.core.geometry.transforms import DisplacementField
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation
from LightRegistrationLib.core.sampling.warping import warp_segmentation
from LightRegistrationLib.core.volume_preservation.correction import preserve_volumes

from ..fields import sitk_resample
from ..geometries import make_geometry

CENTER = np.array([12.0, -30.0, 55.0])
FIXED = make_geometry((66, 78, 72), (1.3, 1.1, 1.2), (11, -17, 23), center_mm=tuple(CENTER))
MOVING = make_geometry((84, 72, 100), (1.2, 1.4, 1.0), (-5, 9, 13), flips=(-1, 1, 1), center_mm=(10, -28, 52))
GRID = make_geometry((40, 40, 40), (2.5, 2.5, 2.5), (11, -17, 23), center_mm=tuple(CENTER))
SPOT = CENTER + [8, -5, 6]


def field_of(function, grid: Geometry = GRID) -> DisplacementField:
    points = grid.points_mm
    return DisplacementField(function(points) - points, grid.affine)


def scaling(factor: float, grid: Geometry = GRID) -> DisplacementField:
    """Uniform expansion: what it maps becomes smaller in the fixed volume."""
    return field_of(lambda points: CENTER + factor * (points - CENTER), grid)


def swelling(strength: float, width_mm: float, grid: Geometry = GRID) -> DisplacementField:
    """The deformation that matches a tumor that shrank between the scans (strength < 0: that grew)."""

    def function(points: np.ndarray) -> np.ndarray:
        offset = points - SPOT
        return points + strength * offset * np.exp(-(offset**2).sum(-1, keepdims=True) / (2 * width_mm**2))

    return field_of(function, grid)


def balls(*places: tuple[np.ndarray, float], grid: Geometry = MOVING) -> Segmentation:
    """One segment for each ball (center, radius mm), each in a layer of its own."""
    layers = tuple((np.linalg.norm(grid.points_mm - c, axis=-1) <= r).astype(np.uint8) for c, r in places)
    segments = tuple(Segment(f"tumor {n}", 1, n) for n in range(len(layers)))
    return Segmentation(layers, grid.affine, segments)


def counted_change_percent(structures: Segmentation, field: DisplacementField, view: Geometry = FIXED) -> list[float]:
    """Percent change of each structure's volume: SimpleITK warps it, and its voxels are counted."""
    changes = []
    for layer in structures.layers:
        warped = sitk_resample((layer, structures.affine), field, view, sitk.sitkNearestNeighbor, 0)
        before = np.count_nonzero(layer) * structures.geometry.voxel_volume_mm3
        changes.append(100 * (np.count_nonzero(warped) * view.voxel_volume_mm3 / before - 1))
    return changes


def moved_mm(field: DisplacementField, uncorrected: DisplacementField) -> np.ndarray:
    """Distance (k, j, i) in mm between the corrected and the uncorrected field at the nodes of the latter."""
    points = uncorrected.geometry.points_mm
    return np.linalg.norm(field(points) - (points + uncorrected.array), axis=-1)


@pytest.mark.parametrize("factor", [1.2, 0.8])
@pytest.mark.parametrize(("radius_mm", "tolerance"), [(3.0, 3.0), (6.5, 1.0), (18.0, 1.0)])
def test_the_volume_of_a_ball_in_a_uniform_expansion_is_preserved(radius_mm, tolerance, factor):
    uncorrected, structures = scaling(factor), balls((SPOT, radius_mm))
    corrected, (report,) = preserve_volumes(uncorrected, structures, FIXED)
    (change,) = counted_change_percent(structures, corrected)
    (change_free,) = counted_change_percent(structures, uncorrected)
    assert abs(change) < tolerance
    assert report.name == "tumor 0"
    # SimpleITK's count differs only by ties between two voxels.
    assert report.change_percent == pytest.approx(change, abs=0.2)
    assert report.change_percent_free == pytest.approx(change_free, abs=0.2)
    assert change_free == pytest.approx(100 * (factor**-3 - 1), abs=12)
    assert compute_corner_determinants(corrected).min() > 0.2


@pytest.mark.parametrize(("strength", "width_mm"), [(-0.7, 12.0), (0.9, 12.0), (-0.5, 8.0)])
def test_the_volume_of_a_tumor_that_grew_or_was_resorbed_is_preserved(strength, width_mm):
    uncorrected, structures = swelling(strength, width_mm), balls((SPOT, 10.0))
    corrected, (report,) = preserve_volumes(uncorrected, structures, FIXED)
    assert abs(report.change_percent_free) > 40
    assert abs(counted_change_percent(structures, corrected)[0]) < 1
    assert compute_corner_determinants(corrected).min() > 0.1


def test_the_determinant_is_1_everywhere_inside():
    uncorrected = swelling(0.4, 12.0)
    corrected, _ = preserve_volumes(uncorrected, balls((SPOT, 14.0)), FIXED)
    determinants = compute_corner_determinants(corrected).mean(0)
    cells = corrected.geometry.points_mm[:-1, :-1, :-1] + corrected.affine[:3, :3] @ [0.5, 0.5, 0.5]
    inside = np.linalg.norm(corrected(cells) - SPOT, axis=-1) < 10
    assert compute_corner_determinants(uncorrected).mean(0)[inside].max() > 2
    assert determinants[inside] == pytest.approx(1, abs=0.05)


def test_the_field_beyond_the_margin_is_bit_identical():
    uncorrected, structures = scaling(1.2), balls((SPOT, 10.0))
    corrected, _ = preserve_volumes(uncorrected, structures, FIXED)
    image = CENTER + (SPOT - CENTER) / 1.2
    distance = np.linalg.norm(uncorrected.geometry.points_mm - image, axis=-1)
    assert (corrected.array[distance > 34] == uncorrected.array[distance > 34]).all()
    assert 1 < moved_mm(corrected, uncorrected).max() < 4  # 1.7 mm is what the surface has to go


def test_rigid_motion_is_not_changed():
    turn = Rotation.from_euler("xyz", [14, -9, 20], degrees=True).as_matrix()
    uncorrected = field_of(lambda points: (points - CENTER) @ turn.T + CENTER + [5, -3, 2])
    corrected, reports = preserve_volumes(uncorrected, balls((SPOT, 8.0), (SPOT - [25, 0, 0], 4.0)), FIXED)
    assert moved_mm(corrected, uncorrected).max() < 1e-3
    assert [r.change_percent for r in reports] == [r.change_percent_free for r in reports]


def test_volumes_of_near_and_overlapping_structures_are_preserved_together():
    structures = balls((SPOT, 8.0), (SPOT - [18, -6, 4], 7.0), (SPOT + [5, 2, 0], 9.0))
    corrected, reports = preserve_volumes(scaling(1.15), structures, FIXED)
    assert np.abs(counted_change_percent(structures, corrected)).max() < 1
    assert [r.name for r in reports] == ["tumor 0", "tumor 1", "tumor 2"]
    assert compute_corner_determinants(corrected).min() > 0.2


def test_the_volume_of_each_distant_piece_of_a_segment_is_preserved():
    places = ((SPOT, 9.0), (SPOT - [44, 0, 28], 7.0))
    layer = np.maximum(*balls(*places).layers)
    corrected, (report,) = preserve_volumes(scaling(1.1), Segmentation.from_labels(layer, MOVING.affine), FIXED)
    assert np.abs(counted_change_percent(balls(*places), corrected)).max() < 1
    assert report.name == "Label_1"
    assert report.change_percent_free == pytest.approx(100 * (1.1**-3 - 1), abs=1.5)
    assert abs(report.change_percent) < 1


def test_other_structures_of_the_same_layer_are_not_preserved():
    chosen, other = balls((SPOT, 9.0), (SPOT - [44, 0, 28], 7.0)).layers
    both = Segmentation((chosen + 2 * other,), MOVING.affine, (Segment("tumor", 1),))
    uncorrected = scaling(1.1)
    corrected, (report,) = preserve_volumes(uncorrected, both, FIXED)
    assert abs(report.change_percent) < 1
    other_only = Segmentation((other,), MOVING.affine, (Segment("other", 1),))
    assert counted_change_percent(other_only, corrected) == counted_change_percent(other_only, uncorrected)


def test_of_a_structure_cut_off_by_the_field_of_view_the_part_inside_is_preserved():
    view = make_geometry((60, 60, 60), (1, 1, 1), center_mm=tuple(CENTER))
    uncorrected = scaling(1.2, make_geometry((32, 32, 32), (2.1, 2.1, 2.1), center_mm=tuple(CENTER)))
    structures = balls((CENTER + [34, 0, 0], 12.0))
    corrected, (report,) = preserve_volumes(uncorrected, structures, view)
    assert report.change_percent_free == pytest.approx(-42, abs=1)
    assert abs(report.change_percent) < 1
    # The tissue shown by the voxels of the structure has the same volume in the moving volume.
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in view.shape), indexing="ij"), -1)
    points = corrected(view.points_mm)
    jacobian = np.linalg.det(np.stack(np.gradient(points, axis=(0, 1, 2)), -1)[..., ::-1])
    inside = warp_segmentation(structures, corrected, view).layers[0] > 0
    assert ijk[inside].max() == 59
    assert jacobian[inside].mean() == pytest.approx(1, abs=0.015)


def test_a_structure_outside_the_field_of_view_changes_nothing_and_is_reported_as_lost():
    view = make_geometry((40, 40, 40), (1, 1, 1), center_mm=tuple(CENTER))
    uncorrected = scaling(1.2, make_geometry((24, 24, 24), (2, 2, 2), center_mm=tuple(CENTER)))
    corrected, (report,) = preserve_volumes(uncorrected, balls((CENTER + [-36, 0, 0], 6.0)), view)
    assert corrected is uncorrected
    assert (report.change_percent_free, report.change_percent) == (-100, -100)


def test_a_tumor_smaller_than_the_cells_of_the_field_gets_a_finer_grid():
    coarse = make_geometry((28, 28, 28), (4, 4, 4), (11, -17, 23), center_mm=tuple(CENTER))
    uncorrected, structures = swelling(-0.5, 12.0, coarse), balls((SPOT, 4.0))
    corrected, _ = preserve_volumes(uncorrected, structures, FIXED)
    assert corrected.array.shape == (82, 82, 82, 3)
    np.testing.assert_allclose(corrected.array[::3, ::3, ::3][:5], uncorrected.array[:5], atol=1e-5)
    assert abs(counted_change_percent(structures, corrected)[0]) < 3
    assert compute_corner_determinants(corrected).min() > 0.2


def test_volumes_are_preserved_without_folding_in_a_field_that_bends_everywhere():
    noise = gaussian_filter(np.random.default_rng(3).normal(size=(*GRID.shape, 3)), (5, 5, 5, 0))
    uncorrected = DisplacementField(12 * noise / np.abs(noise).max(), GRID.affine)
    structures = balls((SPOT, 12.0), (SPOT - [28, -10, 4], 7.0), (SPOT - [22, -28, -4], 8.0))
    corrected, reports = preserve_volumes(uncorrected, structures, FIXED)
    assert max(abs(r.change_percent_free) for r in reports) > 15
    assert np.abs(counted_change_percent(structures, corrected)).max() < 1
    assert compute_corner_determinants(corrected).min() > 0.2
    assert moved_mm(corrected, uncorrected).max() < 3


def test_an_empty_segment_is_refused_by_name():
    structures = balls((SPOT, 5.0), (CENTER + 500, 5.0))
    with pytest.raises(InputError, match="segment 'tumor 1' is empty"):
        preserve_volumes(scaling(1.1), structures, FIXED)
