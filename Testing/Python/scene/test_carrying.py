"""Other nodes that are carried along with a result: directions against the field and SimpleITK, and nothing lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import apply_affine
from LightRegistrationLib.core.geometry.transforms import DisplacementField
from LightRegistrationLib.scene.files.saving import save_node, save_scene
from LightRegistrationLib.scene.nodes.carrying import (
    Scan,
    add_hardened_copy,
    carry_node,
    choose_node,
    is_carried,
    list_carriable_nodes,
    list_chosen_nodes,
    release_node,
)
from LightRegistrationLib.scene.nodes.inverse_transform import find_inverse_node
from LightRegistrationLib.scene.nodes.results import OutputNodes, RegistrationNodes, publish_result
from LightRegistrationLib.scene.nodes.segmentations import segmentation_from_node
from LightRegistrationLib.scene.nodes.volumes import volume_from_node, volume_node_from_volume

from ..analytic import linear_warp, map_points, points_inside, tapered_field
from .nodes import GEOMETRIES, GEOMETRY_NAMES, fingerprint, linear_transform_node, tilted, warped_transform_node
from .pair import Pair, make_pair

LPS = np.array([-1.0, -1.0, 1.0])
TOLERANCE_MM = 0.03
every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES, ids=GEOMETRY_NAMES)


@pytest.fixture
def nodes(scene: Any) -> RegistrationNodes:
    return make_pair(scene, GEOMETRIES[1]).publish(scene)


def markups(scene: Any, kind: str, points: np.ndarray) -> Any:
    node = scene.AddNewNodeByClass(f"vtkMRMLMarkups{kind}Node", kind.lower())
    for point in points:
        node.AddControlPoint(*(float(x) for x in point))
    return node


def model(scene: Any, points: np.ndarray) -> Any:
    content, cells = vtk.vtkPolyData(), vtk.vtkCellArray()
    vtk_points = vtk.vtkPoints()
    vtk_points.SetData(numpy_to_vtk(np.ascontiguousarray(points), deep=True))
    for number in range(len(points)):
        cells.InsertNextCell(1, [number])
    content.SetPoints(vtk_points)
    content.SetVerts(cells)
    node = scene.AddNewNodeByClass("vtkMRMLModelNode", "surface")
    node.SetAndObservePolyData(content)
    node.CreateDefaultDisplayNodes()
    return node


def local_points(node: Any) -> np.ndarray:
    if node.IsA("vtkMRMLModelNode"):
        return vtk_to_numpy(node.GetPolyData().GetPoints().GetData())
    return np.array([node.GetNthControlPointPosition(n) for n in range(node.GetNumberOfControlPoints())])


def world_points(node: Any) -> np.ndarray:
    """Where the points are drawn."""
    mapping = vtk.vtkGeneralTransform()
    node.GetParentTransformNode().GetTransformToWorld(mapping)
    return np.array([mapping.TransformPoint(point) for point in local_points(node)])


def is_near(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.abs(found - expected).max() < TOLERANCE_MM)


@every_geometry
def test_points_and_surfaces_of_both_scans_go_to_the_other_one_as_in_simpleitk(scene, tmp_path, geometry) -> None:
    field = tapered_field(geometry)
    pair = make_pair(scene, geometry)
    transform = publish_result(scene, pair.fixed, pair.moving, field, pair.warped).transform
    in_fixed = points_inside(geometry, 20, margin_voxels=3)
    save_node(transform, tmp_path / "transform.h5")
    by_simpleitk = sitk.ReadTransform(str(tmp_path / "transform.h5"))
    in_moving = np.array([by_simpleitk.TransformPoint(tuple(point * LPS)) for point in in_fixed]) * LPS
    assert is_near(in_moving, map_points(field, in_fixed))
    moved = tilted()
    parent = linear_transform_node(scene, "moved", moved)
    for scan, start, goal in ((Scan.MOVING, in_moving, in_fixed), (Scan.FIXED, in_fixed, in_moving)):
        for under_parent in (False, True):
            local = apply_affine(np.linalg.inv(moved), start) if under_parent else start
            for node in (markups(scene, "Fiducial", local), model(scene, local)):
                if under_parent:
                    node.SetAndObserveTransformNodeID(parent.GetID())
                carry_node(transform, node, scan)
                assert is_near(world_points(node), goal)
                np.testing.assert_allclose(local_points(node), local, atol=1e-9)
                release_node(transform, node)
                assert node.GetParentTransformNode() is (parent if under_parent else None)
    assert scene.GetNumberOfNodesByClass("vtkMRMLTransformNode") == 2, "the result and the parent alone"


@pytest.mark.parametrize("under_parent", [False, True])
def test_hardened_copies_lie_where_the_transform_puts_them_and_originals_stay(scene, nodes, under_parent) -> None:
    geometry = GEOMETRIES[1]
    in_fixed = points_inside(geometry, 30, margin_voxels=3)
    in_moving = map_points(make_field(nodes), in_fixed)
    moved = tilted() if under_parent else np.eye(4)
    parent = linear_transform_node(scene, "moved", moved)
    for scan, start, goal in ((Scan.MOVING, in_moving, in_fixed), (Scan.FIXED, in_fixed, in_moving)):
        local = apply_affine(np.linalg.inv(moved), start)
        for node in (markups(scene, "Fiducial", local), markups(scene, "Curve", local), model(scene, local)):
            if under_parent:
                node.SetAndObserveTransformNodeID(parent.GetID())
            before, name = fingerprint(node, times=False), node.GetName()
            copy = add_hardened_copy(nodes, node, scan)
            assert is_near(local_points(copy), goal)
            assert copy.GetParentTransformNode() is None
            assert copy.GetName() == f"{name} on {'fixed' if scan is Scan.MOVING else 'moving'}"
            assert fingerprint(node, times=False) == before
            scene.RemoveNode(node)
            scene.RemoveNode(copy)
    assert scene.GetNumberOfNodesByClass("vtkMRMLTransformNode") == 2


def make_field(nodes: RegistrationNodes) -> DisplacementField:
    from LightRegistrationLib.scene.nodes.transforms import field_from_transform_node

    return field_from_transform_node(nodes.transform)


def test_hardened_copies_of_volumes_and_segmentations_match_the_warped_ones(scene) -> None:
    geometry = GEOMETRIES[1]
    pair: Pair = make_pair(scene, geometry)
    nodes = pair.publish(scene)
    contrast = volume_node_from_volume(scene, volume_from_node(pair.moving), "other contrast")
    structures = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other structures")
    structures.CopyContent(pair.moving_segmentation)
    before = fingerprint(contrast, structures, *pair.inputs(), times=False)
    image = volume_from_node(add_hardened_copy(nodes, contrast, Scan.MOVING))
    identity = DisplacementField(np.zeros((2, 2, 2, 3), np.float32), geometry.affine)
    found = linear_warp(image.array, image.affine, identity, geometry)
    inner = np.s_[6:-6, 6:-6, 6:-6]
    assert np.corrcoef(found[inner].ravel(), pair.warped.array[inner].ravel())[0, 1] > 0.99

    copy = segmentation_from_node(add_hardened_copy(nodes, structures, Scan.MOVING))
    for segment in pair.warped_segmentation.segments:
        expected = pair.warped_segmentation.mask(segment)
        own = next(other for other in copy.segments if other.name == segment.name)
        centers = [
            apply_affine(affine, np.argwhere(mask)[:, ::-1]).mean(axis=0)
            for affine, mask in ((geometry.affine, expected), (copy.affine, copy.mask(own)))
        ]
        assert np.linalg.norm(centers[0] - centers[1]) < 0.3
        volumes = [
            mask.sum() * abs(np.linalg.det(affine[:3, :3]))
            for mask, affine in ((expected, geometry.affine), (copy.mask(own), copy.affine))
        ]
        assert volumes[1] == pytest.approx(volumes[0], rel=0.05)
    assert fingerprint(contrast, structures, *pair.inputs(), times=False) == before


def test_a_new_result_in_the_same_transform_takes_the_carried_nodes_along(scene, nodes) -> None:
    points = points_inside(GEOMETRIES[1], 5, margin_voxels=4)
    node = markups(scene, "Fiducial", points)
    carry_node(nodes.transform, node, Scan.FIXED)
    shift = np.zeros((2, 2, 2, 3), np.float32) + np.float32([3, -2, 1])
    volume = volume_from_node(nodes.fixed)
    box = volume.affine @ np.diag([*(volume.geometry.size_ijk - 1.0), 1.0])
    outputs = OutputNodes(nodes.transform)
    publish_result(scene, nodes.fixed, nodes.moving, DisplacementField(shift, box), volume, outputs=outputs)
    assert is_near(world_points(node), points + [3, -2, 1])


def test_the_choice_comes_back_with_the_scene_and_can_then_be_undone(scene, nodes, tmp_path) -> None:
    in_fixed = points_inside(GEOMETRIES[1], 5, margin_voxels=4)
    in_moving = map_points(make_field(nodes), in_fixed)
    moved = tilted()
    lists = {Scan.MOVING: markups(scene, "Fiducial", apply_affine(np.linalg.inv(moved), in_moving))}
    lists[Scan.MOVING].SetAndObserveTransformNodeID(linear_transform_node(scene, "moved", moved).GetID())
    lists[Scan.FIXED] = markups(scene, "Curve", in_fixed)
    for scan, node in lists.items():
        choose_node(nodes.transform, node, scan, True)
        assert not is_carried(nodes.transform, node), "chosen is not carried"
        carry_node(nodes.transform, node, scan)
    name = nodes.transform.GetName()
    save_scene(scene, tmp_path / "carried.mrb")
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "carried.mrb"), True)
    transform = scene.GetFirstNodeByName(name)
    for scan, goal in ((Scan.MOVING, in_fixed), (Scan.FIXED, in_moving)):
        (node,) = list_chosen_nodes(transform, scan)
        assert is_near(world_points(node), goal)
        choose_node(transform, node, scan, False)
        assert list_chosen_nodes(transform, scan) == []
    assert scene.GetFirstNodeByName("fiducial").GetParentTransformNode().GetName() == "moved"
    assert scene.GetFirstNodeByName("curve").GetParentTransformNode() is None
    assert find_inverse_node(transform) is None


def test_only_other_visible_nodes_are_offered_and_each_for_one_scan(scene, nodes) -> None:
    place = markups(scene, "Line", np.zeros((2, 3)))
    hidden = model(scene, np.zeros((1, 3)))
    hidden.SetHideFromEditors(True)
    tumor = model(scene, np.zeros((1, 3)))
    nodes.transform.AddNodeReferenceID("LightRegistration.CheckedPlace", place.GetID())
    assert list_carriable_nodes(nodes, Scan.MOVING) == [tumor] == list_carriable_nodes(nodes, Scan.FIXED)
    choose_node(nodes.transform, tumor, Scan.MOVING, True)
    assert list_carriable_nodes(nodes, Scan.FIXED) == []


def test_what_the_user_did_otherwise_is_not_undone(scene, nodes) -> None:
    own = linear_transform_node(scene, "own", np.eye(4))
    own.SetAndObserveTransformNodeID(nodes.transform.GetID())
    node = model(scene, np.zeros((1, 3)))
    node.SetAndObserveTransformNodeID(own.GetID())
    carry_node(nodes.transform, node, Scan.MOVING)
    release_node(nodes.transform, node)
    assert node.GetParentTransformNode() is own

    other, parent = model(scene, np.zeros((1, 3))), linear_transform_node(scene, "gone", tilted())
    other.SetAndObserveTransformNodeID(parent.GetID())
    carry_node(nodes.transform, other, Scan.MOVING)
    scene.RemoveNode(parent)
    release_node(nodes.transform, other)
    assert is_near(world_points(other), apply_affine(tilted(), np.zeros((1, 3)))), "its place is kept"

    bent = model(scene, np.zeros((1, 3)))
    bent.SetAndObserveTransformNodeID(warped_transform_node(scene).GetID())
    with pytest.raises(InputError, match="nonlinear"):
        carry_node(nodes.transform, bent, Scan.MOVING)
