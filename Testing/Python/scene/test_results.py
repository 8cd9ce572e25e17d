from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import Geometry
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation
from LightRegistrationLib.core.sampling.warping import warp_segmentation, warp_volume
from LightRegistrationLib.scene.files.saving import save_node, save_scene, save_segmentation
from LightRegistrationLib.scene.nodes.results import OutputNodes, find_registration_nodes
from LightRegistrationLib.scene.nodes.segmentations import segmentation_from_node
from LightRegistrationLib.scene.nodes.transforms import field_from_transform_node, read_result_details
from LightRegistrationLib.scene.nodes.volumes import volume_from_node

from ..analytic import map_points, nearest_warp, points_inside
from .nodes import GEOMETRIES, GEOMETRY_NAMES, fingerprint, linear_transform_node, tilted
from .pair import make_pair

every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES, ids=GEOMETRY_NAMES)


def test_a_result_becomes_new_nodes(scene) -> None:
    pair = make_pair(scene, GEOMETRIES[1])
    nodes = pair.publish(scene, details={"Model": "brain-mri", "Seconds": "0.8"})
    assert nodes.transform.GetName() == "moving to fixed transform"
    assert nodes.warped.GetName() == "moving registered"
    assert nodes.warped_segmentation.GetName() == "moving organs registered"
    assert volume_from_node(nodes.warped).geometry.matches(volume_from_node(pair.fixed).geometry)
    assert (volume_from_node(nodes.warped).array == pair.warped.array).all()
    assert (segmentation_from_node(nodes.warped_segmentation).layers[0] == pair.warped_segmentation.layers[0]).all()
    assert np.abs(field_from_transform_node(nodes.transform).array - pair.field.array).max() < 1e-6
    assert read_result_details(nodes.transform) == {"Model": "brain-mri", "Seconds": "0.8"}
    again = pair.publish(scene)
    assert {again.transform.GetName(), again.warped.GetName()}.isdisjoint(
        {nodes.transform.GetName(), nodes.warped.GetName()}
    )


@every_geometry
def test_the_users_nodes_are_not_touched(scene, geometry: Geometry) -> None:
    pair = make_pair(scene, geometry)
    above = linear_transform_node(scene, "above", tilted())
    pair.moving.SetAndObserveTransformNodeID(above.GetID())
    before = fingerprint(*pair.inputs(), above)
    pair.publish(scene)
    assert fingerprint(*pair.inputs(), above) == before
    assert pair.moving.GetParentTransformNode() is above


def test_the_fingerprint_notices_changes(scene) -> None:
    pair = make_pair(scene, GEOMETRIES[0])
    seen = {fingerprint(*pair.inputs(), times=False)}
    pair.moving.SetName("renamed")
    seen.add(fingerprint(*pair.inputs(), times=False))
    pair.fixed.GetDisplayNode().SetWindowLevel(1, 2)
    seen.add(fingerprint(*pair.inputs(), times=False))
    pair.fixed_segmentation.GetSegmentation().GetNthSegment(0).SetColor(0, 0, 0)
    seen.add(fingerprint(*pair.inputs(), times=False))
    pair.moving.SetAndObserveTransformNodeID(linear_transform_node(scene, "above", tilted()).GetID())
    seen.add(fingerprint(*pair.inputs(), times=False))
    assert len(seen) == 5


def test_the_warped_nodes_have_no_parent_transform(scene) -> None:
    pair = make_pair(scene, GEOMETRIES[0])
    outputs = pair.publish(scene)
    above = linear_transform_node(scene, "above", tilted())
    for node in (outputs.warped, outputs.warped_segmentation, outputs.transform):
        node.SetAndObserveTransformNodeID(above.GetID())
    again = pair.publish(scene, outputs=OutputNodes(outputs.transform, outputs.warped, outputs.warped_segmentation))
    for node in (again.warped, again.warped_segmentation, again.transform):
        assert node.GetParentTransformNode() is None


def test_given_outputs_receive_the_result(scene) -> None:
    first = make_pair(scene, GEOMETRIES[0]).publish(scene)
    second = make_pair(scene, GEOMETRIES[3])
    count = scene.GetNumberOfNodes()
    outputs = OutputNodes(first.transform, first.warped, first.warped_segmentation)
    nodes = second.publish(scene, outputs=outputs)
    assert scene.GetNumberOfNodes() == count
    assert nodes.transform is first.transform
    assert nodes.warped is first.warped
    assert (volume_from_node(nodes.warped).array == second.warped.array).all()
    assert find_registration_nodes(nodes.transform).fixed is second.fixed


def test_an_input_cannot_be_an_output(scene) -> None:
    pair = make_pair(scene, GEOMETRIES[0])
    before, count = fingerprint(*pair.inputs()), scene.GetNumberOfNodes()
    for outputs in (
        OutputNodes(volume=pair.moving),
        OutputNodes(volume=pair.fixed),
        OutputNodes(segmentation=pair.moving_segmentation),
    ):
        with pytest.raises(InputError, match="is an input and an output"):
            pair.publish(scene, outputs=outputs)
    assert fingerprint(*pair.inputs()) == before
    assert scene.GetNumberOfNodes() == count


def test_the_transform_above_an_input_cannot_be_the_output(scene) -> None:
    pair = make_pair(scene, GEOMETRIES[0])
    outer, inner = linear_transform_node(scene, "outer", tilted()), linear_transform_node(scene, "inner", tilted())
    inner.SetAndObserveTransformNodeID(outer.GetID())
    pair.moving.SetAndObserveTransformNodeID(inner.GetID())
    for transform in (outer, inner):
        with pytest.raises(InputError, match="moving is under the output transform"):
            pair.publish(scene, outputs=OutputNodes(transform=transform))


def test_a_failure_leaves_no_node_behind(scene) -> None:
    pair = make_pair(scene, GEOMETRIES[0])
    labels = pair.warped_segmentation.layers[0].astype(np.int64)
    labels[labels > 0] = 2**40
    object.__setattr__(pair, "warped_segmentation", Segmentation((labels,), np.eye(4), (Segment("huge", 2**40),)))
    count = scene.GetNumberOfNodes()
    with pytest.raises(InputError, match="do not fit"):
        pair.publish(scene)
    assert scene.GetNumberOfNodes() == count
    assert not scene.IsBatchProcessing()


def test_a_saved_scene_keeps_the_references_of_a_result(scene, tmp_path) -> None:
    pair = make_pair(scene, GEOMETRIES[1])
    pair.publish(scene, details={"Model": "brain-mri"})
    save_scene(scene, tmp_path / "result.mrb")
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "result.mrb"), True)
    nodes = find_registration_nodes(scene.GetFirstNodeByName("moving to fixed transform"))
    assert [nodes.fixed.GetName(), nodes.moving.GetName()] == ["fixed", "moving"]
    assert nodes.warped_segmentation.GetName() == "moving organs registered"
    points = points_inside(GEOMETRIES[1])
    loaded = field_from_transform_node(nodes.transform)
    assert np.abs(map_points(loaded, points) - map_points(pair.field, points)).max() < 0.01


@every_geometry
@pytest.mark.parametrize("fixed_number", [0, 1])
def test_the_files_agree_with_simpleitks_own_warp(scene, tmp_path, geometry: Geometry, fixed_number: int) -> None:
    """Saved results equal, voxel by voxel, what SimpleITK computes from the saved transform."""
    pair = make_pair(scene, geometry)
    moving, labels = volume_from_node(pair.moving), segmentation_from_node(pair.moving_segmentation)
    target = geometry
    if fixed_number == 1:  # fixed and moving of different size and spacing
        target = Geometry((23, 27, 31), geometry.affine @ np.diag([1.3, 1.4, 1.5, 1]))
    object.__setattr__(pair, "warped", warp_volume(moving, pair.field, target))
    object.__setattr__(pair, "warped_segmentation", warp_segmentation(labels, pair.field, target))
    nodes = pair.publish(scene)
    save_node(nodes.transform, tmp_path / "transform.h5")
    save_node(nodes.warped, tmp_path / "warped.nii.gz")
    save_segmentation(nodes.warped_segmentation, tmp_path / "labels.nii.gz")
    save_node(pair.moving, tmp_path / "moving.nrrd")
    save_segmentation(pair.moving_segmentation, tmp_path / "moving_labels.nrrd")
    transform = sitk.ReadTransform(str(tmp_path / "transform.h5"))
    saved = sitk.ReadImage(str(tmp_path / "labels.nii.gz"))
    grid = sitk.ReadImage(str(tmp_path / "warped.nii.gz"))
    resampled = sitk.Resample(
        sitk.ReadImage(str(tmp_path / "moving_labels.nrrd")), grid, transform, sitk.sitkNearestNeighbor
    )
    different = sitk.GetArrayFromImage(saved) != sitk.GetArrayFromImage(resampled)
    assert different.sum() <= 1e-5 * different.size
    expected = nearest_warp(labels.layers[0], labels.affine, pair.field, target)
    assert (segmentation_from_node(nodes.warped_segmentation).layers[0] != expected).mean() <= 1e-5
    image = sitk.Resample(sitk.ReadImage(str(tmp_path / "moving.nrrd")), grid, transform, sitk.sitkLinear)
    assert np.abs(sitk.GetArrayFromImage(grid) - sitk.GetArrayFromImage(image)).max() <= 1
