"""Beyond the fixed volume: SimpleITK, ANTs and Slicer map every point as the field itself does."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine
from LightRegistrationLib.core.geometry.transforms import AffineTransform, DisplacementField
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.sampling.warping import warp_volume
from LightRegistrationLib.scene.display.deformation_grid import remove_rigid_motion
from LightRegistrationLib.scene.files.saving import save_node, save_scene
from LightRegistrationLib.scene.files.transform_loading import load_transform_node
from LightRegistrationLib.scene.nodes.transforms import (
    field_from_transform_node,
    transform_node_from_field,
    transform_points,
    use_linear_interpolation,
)
from LightRegistrationLib.scene.nodes.volumes import volume_from_node, volume_node_from_volume

from ..analytic import map_points, points_around, points_inside, smooth_field, tapered_field, turned
from .nodes import GEOMETRIES, GEOMETRY_NAMES, linear_transform_node, tilted

TOLERANCE_MM = 0.01
LPS = np.array([-1.0, -1.0, 1.0])
every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES, ids=GEOMETRY_NAMES)


def sample_points(geometry: Geometry) -> np.ndarray:
    """Points inside the volume, in the margin and at the border of the grid, and up to 30 cm beyond the volume."""
    grid = tapered_field(geometry).geometry
    return np.concatenate(
        [points_inside(geometry), points_around(grid, 3.0), points_around(geometry, 100), points_around(geometry, 300)]
    )


def distance_mm(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max())


@every_geometry
def test_the_node_and_its_file_map_every_point_as_the_field_does(scene, tmp_path, geometry: Geometry) -> None:
    field, points = tapered_field(geometry), sample_points(geometry)
    expected = field(points)
    inside = geometry.contains(points)
    assert distance_mm(map_points(field, points[inside]), expected[inside]) < 1e-4
    node = transform_node_from_field(scene, field, "warp")
    assert distance_mm(transform_points(node.GetTransformFromParent(), points), expected) < 1e-3
    save_node(node, tmp_path / "transform.h5")
    by_simpleitk = sitk.ReadTransform(str(tmp_path / "transform.h5"))
    found = np.array([by_simpleitk.TransformPoint(tuple(p * LPS)) for p in points]) * LPS
    assert distance_mm(found, expected) < TOLERANCE_MM
    loaded = load_transform_node(scene, tmp_path / "transform.h5")
    assert distance_mm(transform_points(loaded.GetTransformFromParent(), points), expected) < TOLERANCE_MM
    again = field_from_transform_node(loaded)
    assert again.geometry.matches(field.geometry, 1e-3)
    assert distance_mm(again.outside.matrix, field.outside.matrix) < 1e-9
    assert distance_mm(again(points), expected) < TOLERANCE_MM


@every_geometry
def test_ants_maps_every_point_as_the_field_does(scene, tmp_path, geometry: Geometry) -> None:
    ants = pytest.importorskip("ants", reason="ANTs was NOT tried: install the extra `benchmarks`")
    field, points = tapered_field(geometry), sample_points(geometry)
    save_node(transform_node_from_field(scene, field, "warp"), tmp_path / "transform.h5")
    for precision in ("float", "double"):
        transform = ants.read_transform(str(tmp_path / "transform.h5"), precision=precision)
        found = np.array([transform.apply_to_point(tuple(p * LPS)) for p in points]) * LPS
        assert distance_mm(found, field(points)) < TOLERANCE_MM


@every_geometry
def test_slicers_own_reader_agrees_far_outside_and_nearly_inside(scene, tmp_path, geometry: Geometry) -> None:
    """Slicer's reader sets cubic interpolation, which differs between the nodes; beyond the grid there is none."""
    field, points = tapered_field(geometry), sample_points(geometry)
    save_node(transform_node_from_field(scene, field, "warp"), tmp_path / "transform.h5")
    node, storage = slicer.vtkMRMLTransformNode(), slicer.vtkMRMLTransformStorageNode()
    storage.SetFileName(str(tmp_path / "transform.h5"))
    assert storage.ReadData(node)
    found, expected = transform_points(node.GetTransformFromParent(), points), field(points)
    outside = ~field.geometry.contains(points)
    assert distance_mm(found[outside], expected[outside]) < TOLERANCE_MM
    assert distance_mm(found, expected) < 0.5


@every_geometry
def test_a_saved_scene_maps_every_point_as_before(scene, tmp_path, geometry: Geometry) -> None:
    field, points = tapered_field(geometry), sample_points(geometry)
    transform_node_from_field(scene, field, "warp")
    save_scene(scene, tmp_path / "scene.mrb")
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"), True)
    node = scene.GetFirstNodeByName("warp")
    use_linear_interpolation(node)
    assert distance_mm(transform_points(node.GetTransformFromParent(), points), field(points)) < TOLERANCE_MM
    there_and_back = transform_points(node.GetTransformToParent(), field(points))
    assert distance_mm(there_and_back, points) < 0.05


def test_a_copied_node_maps_every_point_alike(scene) -> None:
    geometry = GEOMETRIES[1]
    field, points = tapered_field(geometry), sample_points(geometry)
    node = transform_node_from_field(scene, field, "warp")
    copy = scene.AddNewNodeByClass("vtkMRMLTransformNode", "copy")
    copy.CopyContent(node)
    scene.RemoveNode(node)
    assert distance_mm(field_from_transform_node(copy)(points), field(points)) < TOLERANCE_MM


def test_points_under_the_transform_far_outside_follow_the_initial_alignment(scene) -> None:
    geometry = GEOMETRIES[1]
    field = tapered_field(geometry)
    node = transform_node_from_field(scene, field, "warp")
    fixed_points = points_around(geometry, 400)[:50]
    markups = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "contour")
    for point in field(fixed_points):
        markups.AddControlPoint(point)
    markups.SetAndObserveTransformNodeID(node.GetID())
    world = np.array([markups.GetNthControlPointPositionWorld(n) for n in range(50)])
    assert distance_mm(world, fixed_points) < 0.05
    markups.HardenTransform()
    hardened = np.array([markups.GetNthControlPointPosition(n) for n in range(50)])
    assert distance_mm(hardened, world) < 1e-6


def test_a_hardened_moving_volume_equals_the_warped_one_also_beyond_the_grid(scene) -> None:
    """The moving volume is much larger than the fixed one; outside the grid it is placed by the alignment alone."""
    geometry = GEOMETRIES[0]
    field = tapered_field(geometry)
    large = Geometry((60, 60, 60), np.diag([6.0, 6, 6, 1]))
    large = Geometry(large.shape, large.affine + np.outer([*(geometry.center_mm - 177), 0], [0, 0, 0, 1]))
    waves = 100 * np.sin(large.points_mm / 30).sum(-1).astype(np.float32)
    node = transform_node_from_field(scene, field, "warp")
    volume = volume_node_from_volume(scene, Volume(waves, large.affine), "whole body")
    volume.SetAndObserveTransformNodeID(node.GetID())
    assert volume.HardenTransform()
    hardened = volume_from_node(volume)
    warped = warp_volume(Volume(waves, large.affine), field, hardened.geometry)
    known = large.contains(field(hardened.geometry.points_mm))
    beyond = known & ~field.geometry.contains(hardened.geometry.points_mm)
    assert beyond.sum() > 10000
    assert np.abs(hardened.array - warped.array)[beyond].mean() < 0.5


@every_geometry
def test_a_transform_set_to_parent_is_inverted_everywhere(scene, geometry: Geometry) -> None:
    field = tapered_field(geometry, amplitude_mm=3)
    node = transform_node_from_field(scene, field, "warp")
    node.Inverse()
    inverse = field_from_transform_node(node)
    moving = field(sample_points(geometry))
    errors = np.linalg.norm(field(inverse(moving)) - moving, axis=-1)  # the inverse is trilinear between its nodes
    assert errors.mean() < 0.05
    assert errors.max() < 1.0
    nodes = inverse.geometry.points_mm.reshape(-1, 3)[::97]
    assert distance_mm(field(inverse(nodes)), nodes) < 0.05
    assert distance_mm(inverse.outside.matrix, field.outside.inverse().matrix) < 1e-9


def test_the_file_grows_by_the_alignment_alone(scene, tmp_path) -> None:
    field = tapered_field(GEOMETRIES[0])
    for name, saved in (("composite", field), ("single", DisplacementField(field.array, field.affine))):
        save_node(transform_node_from_field(scene, saved, name), tmp_path / f"{name}.h5")
    sizes = {name: (tmp_path / f"{name}.h5").stat().st_size for name in ("composite", "single")}
    assert 0 < sizes["composite"] - sizes["single"] < 4096


def test_the_residual_grid_is_zero_at_its_border(scene) -> None:
    field = tapered_field(GEOMETRIES[4])
    node = transform_node_from_field(scene, field, "warp")
    grid = node.GetTransformFromParent().GetConcatenatedTransform(0)
    values = vtk_to_numpy(grid.GetDisplacementGrid().GetPointData().GetScalars()).reshape(field.array.shape)
    inner = np.zeros(values.shape[:3], bool)
    inner[1:-1, 1:-1, 1:-1] = True
    assert (values[~inner] == 0).all()
    assert np.abs(values[inner]).max() > 3


def test_a_composite_that_jumps_at_its_border_is_refused(scene) -> None:
    """Programs would read it differently."""
    field, then = smooth_field(GEOMETRIES[0]), turned(GEOMETRIES[0])
    single = transform_node_from_field(scene, field, "single")
    composite = vtk.vtkGeneralTransform()
    composite.PostMultiply()
    composite.Concatenate(single.GetTransformFromParent())
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(then.matrix.ravel().tolist())
    composite.Concatenate(matrix)
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "torn")
    node.SetAndObserveTransformFromParent(composite)
    with pytest.raises(InputError, match=r"torn: .*does not end in an affine transform"):
        field_from_transform_node(node)
    composite.Concatenate(single.GetTransformFromParent())
    with pytest.raises(InputError, match="torn is not a displacement field"):
        field_from_transform_node(node)


def test_a_parent_transform_is_still_refused(scene) -> None:
    node = transform_node_from_field(scene, tapered_field(GEOMETRIES[0]), "warp")
    node.SetAndObserveTransformNodeID(linear_transform_node(scene, "above", tilted()).GetID())
    with pytest.raises(InputError, match="under another transform"):
        field_from_transform_node(node)


def test_the_drawn_grid_shows_the_deformation_beyond_the_volume_too() -> None:
    geometry = GEOMETRIES[1]
    field = tapered_field(geometry)
    drawn = remove_rigid_motion(field, geometry)
    points = points_around(geometry, 200)
    rigid = AffineTransform(drawn.outside.matrix @ np.linalg.inv(field.outside.matrix))
    assert distance_mm(drawn(points), apply_affine(rigid.matrix, field(points))) < TOLERANCE_MM
    assert distance_mm(rigid.matrix[:3, :3] @ rigid.matrix[:3, :3].T, np.eye(3)) < 1e-9
