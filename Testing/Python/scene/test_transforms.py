from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from vtk.util.numpy_support import vtk_to_numpy

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import Geometry
from LightRegistrationLib.scene.files.saving import save_node, save_scene
from LightRegistrationLib.scene.files.transform_loading import load_transform_node
from LightRegistrationLib.scene.nodes.transforms import (
    field_from_transform_node,
    read_result_details,
    set_field,
    transform_node_from_field,
    transform_points,
    use_linear_interpolation,
)

from ..analytic import map_points, points_inside, smooth_field
from .nodes import GEOMETRIES, GEOMETRY_NAMES, linear_transform_node, tilted

TOLERANCE_MM = 0.01
every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES, ids=GEOMETRY_NAMES)
LPS = np.array([-1.0, -1.0, 1.0])


def mapped(node, points: np.ndarray) -> np.ndarray:
    return transform_points(node.GetTransformFromParent(), points)


def mapped_by_simpleitk(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    return np.array([transform.TransformPoint(tuple(p * LPS)) for p in points]) * LPS


@every_geometry
def test_the_node_maps_fixed_points_to_moving_points(scene, geometry: Geometry) -> None:
    field = smooth_field(geometry)
    node = transform_node_from_field(scene, field, "warp")
    points = points_inside(geometry)
    assert np.abs(mapped(node, points) - map_points(field, points)).max() < 1e-3


@every_geometry
def test_a_moving_node_under_the_transform_appears_on_the_fixed_one(scene, geometry: Geometry) -> None:
    field = smooth_field(geometry)
    node = transform_node_from_field(scene, field, "warp")
    fixed_points = points_inside(geometry, 50, margin_voxels=8)
    markups = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "moving points")
    for point in map_points(field, fixed_points):
        markups.AddControlPoint(point)
    markups.SetAndObserveTransformNodeID(node.GetID())
    world = np.array([markups.GetNthControlPointPositionWorld(n) for n in range(50)])
    assert np.abs(world - fixed_points).max() < 0.02


@every_geometry
@pytest.mark.parametrize("suffix", [".h5", ".nrrd", ".nii.gz"])
def test_simpleitk_reads_the_same_from_the_saved_file(scene, tmp_path, geometry: Geometry, suffix: str) -> None:
    field = smooth_field(geometry)
    path = tmp_path / f"transform{suffix}"
    save_node(transform_node_from_field(scene, field, "warp"), path)
    if suffix == ".h5":
        transform = sitk.ReadTransform(str(path))
    else:
        transform = sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
    points = points_inside(geometry)
    assert np.abs(mapped_by_simpleitk(transform, points) - map_points(field, points)).max() < TOLERANCE_MM


@every_geometry
@pytest.mark.parametrize("suffix", [".h5", ".nrrd", ".nii.gz"])
def test_a_saved_transform_comes_back_the_same(scene, tmp_path, geometry: Geometry, suffix: str) -> None:
    field = smooth_field(geometry)
    path = tmp_path / f"transform{suffix}"
    save_node(transform_node_from_field(scene, field, "warp"), path)
    loaded = load_transform_node(scene, path)
    points = points_inside(geometry)
    assert np.abs(mapped(loaded, points) - map_points(field, points)).max() < TOLERANCE_MM
    again = field_from_transform_node(loaded)
    assert np.abs(again.array - field.array).max() < 1e-4
    assert again.geometry.matches(field.geometry, 1e-3)


def test_a_transform_survives_in_a_saved_scene(scene, tmp_path) -> None:
    geometry = GEOMETRIES[1]
    field = smooth_field(geometry)
    transform_node_from_field(scene, field, "warp", details={"Model": "brain-mri"})
    path = tmp_path / "scene.mrb"
    save_scene(scene, path)
    scene.Clear(0)
    assert scene.ReadFromMRB(str(path), True)
    loaded = scene.GetFirstNodeByName("warp")
    use_linear_interpolation(loaded)
    points = points_inside(geometry)
    assert np.abs(mapped(loaded, points) - map_points(field, points)).max() < TOLERANCE_MM
    assert read_result_details(loaded) == {"Model": "brain-mri"}


def test_a_field_set_as_transform_to_parent_is_inverted(scene) -> None:
    geometry = GEOMETRIES[1]
    field = smooth_field(geometry, amplitude_mm=3)
    node = transform_node_from_field(scene, field, "warp")
    node.Inverse()
    inverse = field_from_transform_node(node)
    points = points_inside(geometry, margin_voxels=5)
    there_and_back = map_points(field, map_points(inverse, points))
    assert np.abs(there_and_back - points).max() < 0.1
    assert np.abs(map_points(inverse, points) - points).max() > 1


def test_an_output_node_is_updated_in_place(scene) -> None:
    first, second = smooth_field(GEOMETRIES[0]), smooth_field(GEOMETRIES[1], 3)
    node = transform_node_from_field(scene, first, "warp", details={"Model": "a", "Seconds": "1"})
    node.SetAndObserveTransformNodeID(linear_transform_node(scene, "above", tilted()).GetID())
    identity = node.GetID()
    set_field(node, second, details={"Model": "b"})
    points = points_inside(GEOMETRIES[1])
    assert node.GetID() == identity
    assert node.GetParentTransformNode() is None
    assert np.abs(mapped(node, points) - map_points(second, points)).max() < 1e-3
    assert read_result_details(node) == {"Model": "b"}


def test_the_node_does_not_share_memory_with_the_field(scene) -> None:
    field = smooth_field(GEOMETRIES[0])
    node = transform_node_from_field(scene, field, "warp")
    before = field.array.copy()
    grid = node.GetTransformFromParentAs("vtkOrientedGridTransform")
    vtk_to_numpy(grid.GetDisplacementGrid().GetPointData().GetScalars())[:] = 0
    assert (field.array == before).all()


def test_a_transform_that_is_not_a_displacement_field_is_refused(scene) -> None:
    linear = linear_transform_node(scene, "rigid", tilted())
    with pytest.raises(InputError, match="rigid is not a displacement field"):
        field_from_transform_node(linear)
    node = transform_node_from_field(scene, smooth_field(GEOMETRIES[0]), "warp")
    node.SetAndObserveTransformNodeID(linear.GetID())
    with pytest.raises(InputError, match="under another transform"):
        field_from_transform_node(node)
