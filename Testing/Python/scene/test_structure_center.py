from __future__ import annotations

import numpy as np
import pytest

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import apply_affine, homogeneous
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation
from LightRegistrationLib.scene.nodes.segmentations import segmentation_node_from_segmentation
from LightRegistrationLib.scene.nodes.structure_center import find_structure_center
from LightRegistrationLib.scene.nodes.volumes import image_data

from .nodes import linear_transform_node, tilted

AFFINE = homogeneous(np.diag([2.0, 1.0, 3.0]), (5.0, -7.0, 11.0))


def test_the_center_of_a_structure_lies_inside_it(scene) -> None:
    ring, box = np.zeros((2, 7, 20, 20), np.uint8)
    ring[2:5, 4:17, 4:17] = 1
    ring[2:5, 6:15, 6:15] = 0
    box[1:4, 10:13, 2:5] = 1
    segments = (Segment("ring", 1, 0), Segment("box", 1, 1))
    node = segmentation_node_from_segmentation(scene, Segmentation((ring, box), AFFINE, segments), "organs")
    assert find_structure_center(node, "box", 9) == pytest.approx(tuple(apply_affine(AFFINE, (3, 11, 2))))
    index = np.round(apply_affine(np.linalg.inv(AFFINE), find_structure_center(node, "ring", 1))).astype(int)
    assert ring[tuple(index[::-1])]
    assert find_structure_center(node, "liver", 77) is None

    moved = tilted()
    node.SetAndObserveTransformNodeID(linear_transform_node(scene, "moved", moved).GetID())
    expected = apply_affine(moved @ AFFINE, (3, 11, 2))
    assert find_structure_center(node, "box", 9) == pytest.approx(tuple(expected))


def test_the_center_in_a_label_map_is_found_by_the_value(scene) -> None:
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[2, 3, 4] = 42
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    node.SetAndObserveImageData(image_data(labels))
    assert find_structure_center(node, "a name of another program", 42) == (4, 3, 2)


def test_an_empty_segmentation_is_told(scene) -> None:
    with pytest.raises(InputError, match="empty"):
        find_structure_center(scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "none"), "liver", 1)
