from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import slicer
import vtk

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation
from LightRegistrationLib.scene.nodes.removal import remove_new_nodes
from LightRegistrationLib.scene.nodes.segmentations import (
    merge_layers,
    segmentation_from_node,
    segmentation_node_from_segmentation,
    set_segmentation,
)
from LightRegistrationLib.scene.nodes.sharing import share_segments
from LightRegistrationLib.scene.nodes.volumes import image_data, volume_node_from_volume

from ..analytic import nearest_warp, phantom, smooth_field
from .nodes import GEOMETRIES, GEOMETRY_NAMES, fingerprint, linear_transform_node, tilted, warped_transform_node

every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES, ids=GEOMETRY_NAMES)
LIVER = "General list~SCT^123037004^Anatomical Structure~SCT^10200004^Liver~^^~Anatomic codes - DICOM~^^~^^"


def from_label_map(scene: Any, labels: np.ndarray, geometry: Geometry, name: str = "segmentation") -> Any:
    """A segmentation as Slicer itself imports it (effective extents, no reference geometry set by us)."""
    volume, _ = phantom(geometry)
    label_node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    reference = volume_node_from_volume(scene, volume, "reference")
    label_node.CopyOrientation(reference)
    label_node.SetAndObserveImageData(image_data(labels))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    assert slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(label_node, node)
    scene.RemoveNode(label_node)
    scene.RemoveNode(reference)
    return node


def add_box(node: Any, name: str, geometry: Geometry, low: tuple, high: tuple) -> np.ndarray:
    """Add a segment of its own layer, cropped to what it holds; return its full mask."""
    mask = np.zeros(geometry.shape, dtype=np.uint8)
    box = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
    mask[box] = 1
    image = slicer.vtkOrientedImageData()
    image.ShallowCopy(image_data(mask[box]))
    image.SetExtent(low[0], high[0] - 1, low[1], high[1] - 1, low[2], high[2] - 1)
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy([float(x) for x in geometry.affine.ravel()])
    image.SetImageToWorldMatrix(matrix)
    node.AddSegmentFromBinaryLabelmapRepresentation(image, name, [1, 0, 0])
    return mask.astype(bool)


def mask_on(segmentation: Segmentation, name: str, geometry: Geometry) -> np.ndarray:
    """Where a segment is on a grid of the same voxels: looked up by world position."""
    segment = next(s for s in segmentation.segments if s.name == name)
    k, j, i = np.nonzero(segmentation.mask(segment))
    world = apply_affine(segmentation.affine, np.stack([i, j, k], axis=-1))
    index = apply_affine(geometry.inverse_affine, world)
    assert np.abs(index - np.round(index)).max() < 1e-3
    result = np.zeros(geometry.shape, dtype=bool)
    i, j, k = np.round(index).astype(int).T
    result[k, j, i] = True
    return result


@every_geometry
def test_an_imported_label_map_is_read_voxel_by_voxel(scene, geometry: Geometry) -> None:
    _, truth = phantom(geometry)
    node = from_label_map(scene, truth.layers[0], geometry)
    segmentation = segmentation_from_node(node)
    assert [(s.name, s.value) for s in segmentation.segments] == [("Label_2", 2), ("Label_5", 5), ("Label_11", 11)]
    for segment in segmentation.segments:
        expected = truth.layers[0] == segment.value
        assert (mask_on(segmentation, segment.name, geometry) == expected).all()


@every_geometry
def test_a_segmentation_is_written_to_a_node_and_read_back(scene, geometry: Geometry) -> None:
    _, truth = phantom(geometry)
    again = segmentation_from_node(segmentation_node_from_segmentation(scene, truth, "organs"))
    assert again.geometry.matches(truth.geometry)
    assert again.segments == truth.segments
    assert (again.layers[0] == truth.layers[0]).all()


def test_overlapping_segments_come_in_layers(scene) -> None:
    geometry = GEOMETRIES[1]
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "overlap")
    large = add_box(node, "large", geometry, (5, 6, 7), (30, 31, 32))
    small = add_box(node, "small", geometry, (20, 20, 2), (35, 36, 20))
    segmentation = segmentation_from_node(node)
    assert len(segmentation.layers) == 2
    assert (mask_on(segmentation, "large", geometry) == large).all()
    assert (mask_on(segmentation, "small", geometry) == small).all()
    again = segmentation_from_node(segmentation_node_from_segmentation(scene, segmentation, "copy", like=node))
    assert (mask_on(again, "large", geometry) & mask_on(again, "small", geometry) == large & small).all()


def test_layers_on_different_grids_are_resampled_to_one_grid(scene) -> None:
    geometry = GEOMETRIES[0]
    finer = Geometry(tuple(2 * n for n in geometry.shape), geometry.affine @ np.diag([0.5, 0.5, 0.5, 1]))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mixed")
    coarse_mask = add_box(node, "coarse", geometry, (5, 6, 7), (30, 31, 32))
    fine_mask = add_box(node, "fine", finer, (20, 20, 20), (40, 40, 40))
    segmentation = segmentation_from_node(node)
    voxel = segmentation.geometry.voxel_volume_mm3
    volumes = {s.name: segmentation.mask(s).sum() * voxel for s in segmentation.segments}
    assert volumes["coarse"] == pytest.approx(coarse_mask.sum() * geometry.voxel_volume_mm3, rel=0.1)
    assert volumes["fine"] == pytest.approx(fine_mask.sum() * finer.voxel_volume_mm3, rel=0.1)


def test_names_colors_terminology_and_ids_are_kept(scene) -> None:
    geometry = GEOMETRIES[3]
    _, truth = phantom(geometry)
    source = from_label_map(scene, truth.layers[0], geometry, "moving organs")
    liver = source.GetSegmentation().GetSegment(source.GetSegmentation().GetSegmentIdBySegmentName("Label_5"))
    liver.SetName("Liver")
    liver.SetColor(0.87, 0.51, 0.4)
    liver.SetTerminology(LIVER)
    liver.SetTag("Author", "somebody")
    segmentation = segmentation_from_node(source)
    reordered = Segmentation(segmentation.layers, segmentation.affine, segmentation.segments[::-1])
    target = segmentation_node_from_segmentation(scene, reordered, "warped", like=source).GetSegmentation()
    copy = target.GetSegment(source.GetSegmentation().GetSegmentIdBySegment(liver))
    assert (copy.GetName(), copy.GetLabelValue()) == ("Liver", 5)
    assert copy.GetColor() == pytest.approx((0.87, 0.51, 0.4))
    assert copy.GetTerminology() == LIVER
    author = vtk.reference("")
    assert copy.GetTag("Author", author)
    assert str(author) == "somebody"
    assert set(target.GetSegmentIDs()) == set(source.GetSegmentation().GetSegmentIDs())


def test_two_segments_of_one_name_keep_their_own_colors(scene) -> None:
    geometry = GEOMETRIES[0]
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "twins")
    add_box(node, "lesion", geometry, (5, 5, 5), (9, 9, 9))
    add_box(node, "lesion", geometry, (15, 15, 15), (19, 19, 19))
    ids = node.GetSegmentation().GetSegmentIDs()
    node.GetSegmentation().GetSegment(ids[1]).SetColor(0, 0, 1)
    copy = segmentation_node_from_segmentation(scene, segmentation_from_node(node), "copy", like=node)
    assert [copy.GetSegmentation().GetSegment(i).GetColor() for i in ids] == [(1, 0, 0), (0, 0, 1)]


def test_surfaces_are_converted_to_labels_on_a_copy(scene) -> None:
    geometry = GEOMETRIES[0]
    _, truth = phantom(geometry)
    node = from_label_map(scene, truth.layers[0], geometry)
    node.CreateClosedSurfaceRepresentation()
    node.SetSourceRepresentationToClosedSurface()
    node.RemoveBinaryLabelmapRepresentation()
    before = fingerprint(node)
    segmentation = segmentation_from_node(node)
    assert fingerprint(node) == before
    assert not node.GetSegmentation().ContainsRepresentation("Binary labelmap")
    for segment in segmentation.segments:
        true_volume = (truth.layers[0] == int(segment.name.removeprefix("Label_"))).sum() * geometry.voxel_volume_mm3
        volume = segmentation.mask(segment).sum() * segmentation.geometry.voxel_volume_mm3
        assert volume == pytest.approx(true_volume, rel=0.1)


def test_the_grid_grows_to_the_reference_geometry(scene) -> None:
    geometry = GEOMETRIES[1]
    _, truth = phantom(geometry)
    node = from_label_map(scene, truth.layers[0], geometry)
    reference = volume_node_from_volume(scene, phantom(geometry)[0], "reference")
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    assert segmentation_from_node(node).geometry.matches(geometry)


def test_parent_transforms_move_the_segmentation(scene) -> None:
    _, truth = phantom(GEOMETRIES[1])
    node = segmentation_node_from_segmentation(scene, truth, "organs")
    node.SetAndObserveTransformNodeID(linear_transform_node(scene, "tilt", tilted()).GetID())
    before = fingerprint(node)
    world = segmentation_from_node(node)
    assert np.allclose(world.affine, tilted() @ truth.affine)
    assert fingerprint(node) == before
    node.SetAndObserveTransformNodeID(warped_transform_node(scene).GetID())
    with pytest.raises(InputError, match="organs is under a nonlinear transform"):
        segmentation_from_node(node)


def test_label_map_nodes_are_segmentations_too(scene) -> None:
    geometry = GEOMETRIES[2]
    volume, truth = phantom(geometry)
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    node.CopyOrientation(volume_node_from_volume(scene, volume, "reference"))
    node.SetAndObserveImageData(image_data(truth.layers[0]))
    segmentation = segmentation_from_node(node)
    assert [(s.name, s.value) for s in segmentation.segments] == [("Label_2", 2), ("Label_5", 5), ("Label_11", 11)]
    assert segmentation.geometry.matches(geometry)


def test_empty_segmentations_are_refused(scene) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "nothing")
    with pytest.raises(InputError, match="nothing: the segmentation is empty"):
        segmentation_from_node(node)
    node.GetSegmentation().AddEmptySegment("a", "a")
    with pytest.raises(InputError, match="nothing: no segment contains a voxel"):
        segmentation_from_node(node)
    labels = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "blank")
    labels.SetAndObserveImageData(image_data(np.zeros((4, 5, 6), np.uint8)))
    with pytest.raises(InputError, match="blank: the label map is empty"):
        segmentation_from_node(labels)


def test_an_output_segmentation_is_replaced_in_place(scene) -> None:
    _, first = phantom(GEOMETRIES[0])
    _, second = phantom(GEOMETRIES[3])
    second = Segmentation(second.layers, second.affine, (Segment("only", 5),))
    node = segmentation_node_from_segmentation(scene, first, "organs")
    set_segmentation(node, second)
    again = segmentation_from_node(node)
    assert again.segments == (Segment("only", 5),)
    assert again.geometry.matches(second.geometry)


def test_replacing_segments_keeps_the_voxels_that_another_node_shares(scene) -> None:
    _, first = phantom(GEOMETRIES[0])
    node = segmentation_node_from_segmentation(scene, first, "organs")
    other = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "shares")
    share_segments(node.GetSegmentation(), other.GetSegmentation())
    set_segmentation(node, Segmentation(first.layers, first.affine, (Segment("only", 1),)))
    again = segmentation_from_node(other)
    assert again.segments == first.segments
    assert all((again.mask(segment) == first.mask(segment)).all() for segment in first.segments)


def test_layers_merge_into_one_label_map_without_losing_a_structure() -> None:
    first, second = np.zeros((2, 4, 4, 4), np.uint8)
    first[:2], second[1:3] = 1, 1
    both = Segmentation((first, second), np.eye(4), (Segment("a", 1, 0), Segment("b", 1, 1)))
    merged = merge_layers(both)
    assert [(s.name, s.value) for s in merged.segments] == [("a", 1), ("b", 2)]
    assert (merged.layers[0][:, 0, 0] == [1, 2, 2, 0]).all()


@every_geometry
def test_slicer_warps_the_node_as_the_independent_warp_does(scene, geometry: Geometry) -> None:
    """Slicer's own hardening of a node under our transform, against nearest-neighbor sampling with the field."""
    from LightRegistrationLib.scene.nodes.transforms import transform_node_from_field

    _, truth = phantom(geometry)
    field = smooth_field(geometry, 4)
    node = segmentation_node_from_segmentation(scene, truth, "organs")
    node.SetAndObserveTransformNodeID(transform_node_from_field(scene, field, "warp").GetID())
    node.HardenTransform()
    hardened = segmentation_from_node(node)
    expected = nearest_warp(truth.layers[0], truth.affine, field, hardened.geometry)
    assert np.mean(hardened.layers[0] != expected) < 1e-4
    assert np.mean(hardened.layers[0] != truth.layers[0][0, 0, 0]) > 0


def test_many_structures_are_removed_without_looking_at_their_voxels(scene) -> None:
    """Slicer clears segment by segment, each time through all voxels of the layer: seconds for 140 structures."""

    def measure_cpu_s(edge: int) -> float:
        part = np.arange(edge) * 6 // edge
        labels = (36 * part[:, None, None] + 6 * part[:, None] + part).astype(np.int16)
        segmentation = Segmentation.from_labels(labels, np.eye(4), "parts")
        started = time.process_time()
        with remove_new_nodes(scene):
            segmentation_node_from_segmentation(scene, segmentation, "parts")
        return time.process_time() - started

    small, large = (min(measure_cpu_s(edge) for _ in range(3)) for edge in (24, 120))
    assert large < 5 * small, "125 times the voxels"
