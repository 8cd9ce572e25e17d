"""The registration at one point against an analytic transform, for nodes with and without parent transforms."""

from __future__ import annotations

import numpy as np
import pytest

from LightRegistrationLib.core.geometry.transforms import DisplacementField
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation, Volume
from LightRegistrationLib.scene.headless.application import headless_application
from LightRegistrationLib.scene.nodes.matrices import vtk_matrix
from LightRegistrationLib.scene.nodes.probe import probe_registration
from LightRegistrationLib.scene.nodes.removal import remove_new_nodes
from LightRegistrationLib.scene.nodes.results import find_registration_nodes, publish_result
from LightRegistrationLib.scene.nodes.segmentations import segmentation_node_from_segmentation
from LightRegistrationLib.scene.nodes.volumes import volume_node_from_volume

SIZE = 12
AFFINE = np.array([[-2.0, 0, 0, 11], [0, 0, 2, -9], [0, 2, 0, -7], [0, 0, 0, 1]])
"""Turned and mirrored axes, 2 mm voxels."""
MATRIX = np.array([[1.1, 0.1, 0], [0, 0.9, 0.2], [0, 0, 1.05]])
SHIFT = np.array([1.5, -1.0, 0.5])
POINT = (1.0, 2.0, 3.0)


def value_at(affine, point) -> float:
    """The value of the voxel nearest to a point in a volume that counts its voxels."""
    i, j, k = np.floor(np.linalg.solve(affine, [*point, 1.0])[:3] + 0.5).astype(int)
    return float((k * SIZE + j) * SIZE + i)


def add_result(scene):
    counting = Volume(np.arange(SIZE**3, dtype=np.int16).reshape(SIZE, SIZE, SIZE), AFFINE, "counting")
    indices = np.indices((SIZE, SIZE, SIZE))[::-1].reshape(3, -1)
    points = (AFFINE[:3, :3] @ indices).T + AFFINE[:3, 3]
    displacements = (points @ MATRIX.T + SHIFT - points).reshape(SIZE, SIZE, SIZE, 3)
    first, second = np.zeros((2, SIZE, SIZE, SIZE), np.uint8)
    first[:, :, :6], first[:, :, 6:], second[...] = 1, 2, 1
    segments = (Segment("low", 1, 0), Segment("high", 2, 0), Segment("everywhere", 1, 1))
    segmentation = Segmentation((first, second), AFFINE, segments, "parts")
    fixed, moving = (volume_node_from_volume(scene, counting, name) for name in ("fixed", "moving"))
    both = [segmentation_node_from_segmentation(scene, segmentation, name) for name in ("one", "other")]
    field = DisplacementField(displacements.astype(np.float32), AFFINE)
    warped = Volume(2 * counting.array, AFFINE, "warped")
    return publish_result(
        scene, fixed, moving, field, warped, segmentation, fixed_segmentation=both[0], moving_segmentation=both[1]
    )


@pytest.fixture
def nodes():
    scene = headless_application().scene
    with remove_new_nodes(scene):
        yield add_result(scene)


def test_an_affine_field_is_read_exactly(nodes):
    probe = probe_registration(nodes, POINT)
    source = MATRIX @ POINT + SHIFT
    assert probe.displacement_mm == pytest.approx(source - POINT, abs=1e-4)
    assert probe.distance_mm == pytest.approx(np.linalg.norm(source - POINT), abs=1e-4)
    assert probe.jacobian == pytest.approx(np.linalg.det(MATRIX), abs=1e-4)
    assert probe.fixed == value_at(AFFINE, POINT)
    assert probe.moving == value_at(AFFINE, source)
    assert probe.warped == 2 * value_at(AFFINE, POINT)
    assert probe.fixed_structures == ("low" if POINT[0] > 0 else "high", "everywhere")
    assert probe.moving_structures == ("low" if source[0] > 0 else "high", "everywhere")


def test_outside_of_the_volumes_there_are_no_values(nodes):
    probe = probe_registration(nodes, (500.0, 0.0, 0.0))
    assert (probe.fixed, probe.moving, probe.warped) == (None, None, None)
    assert probe.fixed_structures == probe.moving_structures == ()


def test_moving_nodes_under_the_transform_have_the_same_values(nodes):
    before = probe_registration(nodes, POINT)
    for node in (nodes.moving, nodes.moving_segmentation):
        node.SetAndObserveTransformNodeID(nodes.transform.GetID())
    assert probe_registration(nodes, POINT) == before


def test_a_fixed_volume_under_a_linear_transform_is_read_where_it_lies(nodes):
    shift = nodes.fixed.GetScene().AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, 3] = 4, 0, 0
    shift.SetMatrixTransformToParent(vtk_matrix(matrix))
    for node in (nodes.fixed, nodes.fixed_segmentation):
        node.SetAndObserveTransformNodeID(shift.GetID())
    probe = probe_registration(nodes, POINT)
    assert probe.fixed == value_at(AFFINE, np.subtract(POINT, (4, 0, 0)))
    assert probe.fixed_structures == ("high", "everywhere")


def test_a_label_map_names_its_values(nodes):
    labels = np.full((SIZE, SIZE, SIZE), 7, np.int16)
    node = volume_node_from_volume(nodes.fixed.GetScene(), Volume(labels, AFFINE, "labels"), "labels")
    label_map = nodes.fixed.GetScene().AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    label_map.SetAndObserveImageData(node.GetImageData())
    label_map.SetIJKToRASMatrix(vtk_matrix(AFFINE))
    nodes.transform.SetNodeReferenceID("LightRegistration.FixedSegmentation", label_map.GetID())
    assert probe_registration(find_registration_nodes(nodes.transform), POINT).fixed_structures == ("7",)
