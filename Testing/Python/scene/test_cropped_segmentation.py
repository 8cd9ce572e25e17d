"""Segmentations are read without a look at their voxels; completing them, and finding what is empty, comes later."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation
from LightRegistrationLib.scene.nodes.cropped_segmentation import CroppedSegmentation, find_missing_values
from LightRegistrationLib.scene.nodes.segmentations import (
    cropped_segmentation_from_node,
    segmentation_from_node,
    segmentation_node_from_segmentation,
    set_segmentation,
)
from LightRegistrationLib.scene.nodes.volumes import image_data
from LightRegistrationLib.scene.nodes.voxel_watch import VoxelWatch

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def add_node(scene, labels, names=("one", "two", "three")):
    segments = tuple(Segment(name, number) for number, name in enumerate(names, start=1))
    return segmentation_node_from_segmentation(scene, Segmentation((labels,), AFFINE, segments), "organs")


def node_voxels(node):
    return vtk_to_numpy(node.GetSegmentation().GetLayerDataObject(0, "Binary labelmap").GetPointData().GetScalars())


def test_layers_are_shared_until_they_are_completed_on_a_larger_grid(scene):
    labels = np.zeros((6, 7, 8), np.uint8)
    labels[1, 2, 3], labels[4, 5, 6] = 1, 2
    node = add_node(scene, labels)
    cropped = cropped_segmentation_from_node(node)
    assert np.shares_memory(cropped.layers[0], node_voxels(node))
    whole = cropped.complete()
    assert np.shares_memory(whole.layers[0], node_voxels(node)), "it has the size of the grid already"
    assert (whole.layers[0] == labels).all()

    # A reference geometry of two voxels more on each side.
    reference = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "reference")
    reference.SetAndObserveImageData(image_data(np.zeros((10, 11, 12), np.uint8)))
    reference.SetSpacing(2, 2, 3)
    reference.SetOrigin(-4, -4, -6)
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    cropped = cropped_segmentation_from_node(node)
    assert cropped.layers[0].shape == labels.shape
    assert (cropped.shape, cropped.starts) == ((10, 11, 12), ((2, 2, 2),))
    large = cropped.complete()
    assert (large.layers[0][2:8, 2:9, 2:10] == labels).all()
    assert large.layers[0].sum() == labels.sum()
    assert np.allclose(large.affine[:3, 3], (-4, -4, -6))


def test_structures_without_a_voxel_are_found_in_shared_layers_and_without_a_layer(scene):
    labels = np.zeros((6, 7, 8), np.uint8)
    labels[1, 2, 3], labels[3, 5, 6] = 1, 3
    node = add_node(scene, labels)
    assert cropped_segmentation_from_node(node).list_empty_names() == ["two"]
    node.GetSegmentation().AddEmptySegment("new", "new")
    assert set(cropped_segmentation_from_node(node).list_empty_names()) == {"two", "new"}


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32])
def test_missing_values_are_found_at_any_place(kind):
    layer = np.zeros((9, 9, 9), kind)
    layer[8, 8, 8], layer[7, 6, 5], layer[0, 0, 0] = 1, 2, 3
    assert find_missing_values(layer, [1, 2, 3, 4]) == {4}
    if kind is np.int32:
        layer[1, 1, 1], layer[2, 3, 3] = 1 << 30, -5
        assert find_missing_values(layer, [1 << 30, -5, -6]) == {-6}


def test_a_label_map_is_looked_at_when_it_is_completed(scene):
    blank = CroppedSegmentation((np.zeros((2, 3, 4), np.uint8),), ((0, 0, 0),), (2, 3, 4), AFFINE, None, "blank")
    with pytest.raises(InputError, match="blank: the label map is empty"):
        blank.complete()
    fractions = CroppedSegmentation((np.full((2, 3, 4), 0.5),), ((0, 0, 0),), (2, 3, 4), AFFINE, None, "scan")
    with pytest.raises(InputError, match="not whole numbers"):
        fractions.complete()
    with pytest.raises(InputError, match=r"bad: .* zero spacing"):
        CroppedSegmentation((), (), (2, 3, 4), np.diag([0.0, 1, 1, 1]), (), "bad")


def test_a_change_of_labels_is_noticed_but_not_that_they_are_drawn(scene, application):
    from LightRegistrationLib.scene.headless.slice_views import SliceView

    node = add_node(scene, np.ones((6, 7, 8), np.uint8), ("one",))
    watch = VoxelWatch([node])
    with SliceView(application, "Axial", (100, 100)) as view:
        view.render()
    segmentation_from_node(node)
    assert watch.find_changed() is None
    image = slicer.vtkOrientedImageData()
    segment_id = node.GetSegmentation().GetNthSegmentID(0)
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    assert watch.find_changed() is None
    image.GetPointData().GetScalars().Fill(0)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetBinaryLabelmapToSegment(image, node, segment_id)
    assert watch.find_changed() is node


def test_shared_labels_keep_their_type(scene):
    labels = np.ones((4, 5, 6), np.int16)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    set_segmentation(node, Segmentation((labels,), AFFINE, (Segment("one", 1),)), shared=True)
    assert np.shares_memory(node_voxels(node), labels)
