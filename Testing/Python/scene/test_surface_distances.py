"""Surfaces and their distances against spheres whose distance is known; the difference volume against its voxels."""

from __future__ import annotations

import numpy as np
import pytest
import vtk

from LightRegistrationLib.core.geometry.geometry import Geometry
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation
from LightRegistrationLib.scene.display.difference import add_difference_node
from LightRegistrationLib.scene.display.surface_distances import (
    DISTANCE_ARRAY,
    add_distances,
    iterate_surfaces,
    read_points,
)
from LightRegistrationLib.scene.nodes.volumes import image_array, set_volume, volume_from_node, world_affine

from ..analytic import voxel_centers_mm
from .nodes import GEOMETRIES, GEOMETRY_NAMES
from .pair import make_pair

every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES, ids=GEOMETRY_NAMES)


def balls(geometry: Geometry, offset_mm: float, *radii_mm: float) -> list[vtk.vtkPolyData]:
    """Surfaces of balls around the center of the volume, moved along R."""
    distances = np.linalg.norm(voxel_centers_mm(geometry) - geometry.center_mm - [offset_mm, 0, 0], axis=-1)
    masks = [distances <= radius for radius in radii_mm]
    segmentation = Segmentation(
        tuple(mask.astype(np.uint8) * 3 for mask in masks),
        geometry.affine,
        tuple(Segment(f"ball {number}", 3, number) for number in range(len(masks))),
    )
    return list(iterate_surfaces(segmentation, list(segmentation.segments)))


def measured(surface: vtk.vtkPolyData) -> np.ndarray:
    array = surface.GetPointData().GetArray(DISTANCE_ARRAY)
    return np.array([array.GetValue(number) for number in range(array.GetNumberOfValues())])


@every_geometry
def test_the_distance_of_concentric_spheres_is_that_of_their_radii(geometry: Geometry) -> None:
    small, large = balls(geometry, 0.0, 15.0, 21.0)
    for surface, radius in ((small, 15.0), (large, 21.0)):
        found = np.linalg.norm(read_points(surface) - geometry.center_mm, axis=1)
        assert found.mean() == pytest.approx(radius, abs=0.3)
        assert found.std() < 0.5
    add_distances(large, small, float(geometry.spacing_mm.max()))
    assert measured(large).mean() == pytest.approx(6, abs=0.4)
    assert np.abs(measured(large) - 6).max() < 2.0


def test_equal_surfaces_have_no_distance_and_moved_ones_up_to_the_shift() -> None:
    geometry = GEOMETRIES[1]
    (fixed,), (same,), (moved,) = balls(geometry, 0.0, 20.0), balls(geometry, 0.0, 20.0), balls(geometry, 5.0, 20.0)
    for surface, longest in ((same, 0.0), (moved, 5.0)):
        add_distances(surface, fixed, 2.4)
        assert measured(surface).max() == pytest.approx(longest, abs=0.6)
        assert measured(surface).min() < 0.2


def test_a_structure_without_voxels_is_infinitely_far() -> None:
    geometry = GEOMETRIES[0]
    labels = np.zeros(geometry.shape, np.uint8)
    labels[5:9, 5:9, 5:9] = 2
    segmentation = Segmentation((labels,), geometry.affine, (Segment("box", 2), Segment("none", 7)))
    box, nothing = iterate_surfaces(segmentation, list(segmentation.segments))
    add_distances(box, nothing, 2.0)
    add_distances(nothing, box, 2.0)
    assert np.isinf(measured(box)).all()
    assert nothing.GetNumberOfPoints() == 0


def test_the_difference_is_zero_where_both_are_equal_and_has_the_sign_of_the_result(scene) -> None:
    pair = make_pair(scene, GEOMETRIES[1])
    nodes = pair.publish(scene)
    fixed = volume_from_node(pair.fixed)
    changed = fixed.array.copy()
    low, high = np.percentile(changed, (1, 99))
    changed[10:14, 10:14, 10:14], changed[20:24, 10:14, 10:14] = high, low
    set_volume(nodes.warped, type(fixed)(changed, fixed.affine))
    node = add_difference_node(scene, nodes)
    found = image_array(node).astype(int)
    np.testing.assert_allclose(world_affine(node), fixed.affine)
    expected = np.clip((changed.astype(float) - fixed.array) / (high - low), -1, 1) * 100
    assert np.abs(found - expected).max() < 8, "the windows of both volumes differ a little"
    assert (found[10:14, 10:14, 10:14] >= 0).all()
    assert (found[20:24, 10:14, 10:14] <= 0).all()
    assert not node.GetSaveWithScene()
    assert node.GetHideFromEditors()
    set_volume(nodes.warped, type(fixed)(changed[1:], fixed.affine))
    assert add_difference_node(scene, nodes) is None
