"""Input that cannot be used: one line in the panel, the nodes stay as they are, and the next registration can start."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
import slicer

from LightRegistrationLib.core.geometry.volume import Segmentation
from LightRegistrationLib.scene.nodes.segmentations import segmentation_from_node, segmentation_node_from_segmentation

from ..processes import PATIENCE_S


def node_names() -> list[str]:
    return sorted(slicer.util.getNodes("*", useLists=True))


def refused_line(opened) -> str:
    """Press Register; the line that says why there is no result."""
    before = node_names()
    opened.ui.registerButton.click()
    opened.finish()
    assert opened.panel.logic.getParameterNode().result is None
    assert node_names() == before
    assert opened.ui.registerButton.enabled
    assert opened.ui.registerButton.text == "Register"
    assert "\n" not in opened.status
    return opened.status


def test_an_empty_mask_is_one_line(opened):
    opened.choose(segmentations=False)
    mask = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "my mask")
    opened.ui.fixedMaskSelector.setCurrentNode(mask)
    assert "my mask: the segmentation is empty" in refused_line(opened)
    mask.GetSegmentation().AddEmptySegment("region", "region")
    assert "my mask: no segment contains a voxel" in refused_line(opened)


def test_a_segmentation_of_another_place_is_one_line(opened):
    opened.choose()
    own = segmentation_from_node(opened.fixed_segmentation)
    affine = own.affine.copy()
    affine[:3, 3] += 5000
    far = Segmentation(own.layers, affine, own.segments)
    node = segmentation_node_from_segmentation(slicer.mrmlScene, far, "someone else")
    opened.ui.fixedSegmentationSelector.setCurrentNode(node)
    line = refused_line(opened)
    assert "someone else: the fixed segmentation lies wholly outside of fixed" in line


def test_a_segmentation_on_another_grid_is_compared_in_the_world(opened):
    opened.choose()
    own = segmentation_from_node(opened.fixed_segmentation)
    labels = own.layers[0][1::2, 1::2, 1::2]
    affine = own.affine @ np.diag([2, 2, 2, 1.0])
    affine[:3, 3] += own.affine[:3, :3] @ np.ones(3)
    coarse = Segmentation((labels,), affine, own.segments)
    node = segmentation_node_from_segmentation(slicer.mrmlScene, coarse, "coarse organs")
    opened.ui.fixedSegmentationSelector.setCurrentNode(node)
    opened.ui.registerButton.click()
    opened.finish()
    assert "mean Dice" in opened.status
    assert segmentation_from_node(node).geometry.matches(coarse.geometry)


def test_a_scene_that_is_closed_during_a_registration_is_one_line_that_stays(opened):
    opened.choose()
    opened.start()
    slicer.mrmlScene.Clear()
    opened.host.process_events()
    opened.host.raise_slot_errors()
    line = "The scene was closed: the registration was canceled."
    assert opened.status == line
    assert not opened.ui.registerButton.enabled
    assert opened.ui.registerButton.toolTip.startswith("Choose a fixed volume")
    opened.host.leave("LightRegistration")
    opened.host.enter("LightRegistration")
    assert opened.status == line

    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "next")
    opened.ui.fixedSelector.setCurrentNode(volume)
    assert "Choose a moving volume" in opened.status


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits the memory of another process")
def test_a_registration_that_runs_out_of_memory_is_one_line_and_the_next_one_works(opened):
    opened.use_own_worker()
    opened.registered(segmentations=False)
    opened.ui.keepResultsBox.click()
    before = node_names()
    process = opened.panel.logic.worker_process_id
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (1 << 20)
    resource.prlimit(process, resource.RLIMIT_AS, (limit, limit))
    enlarge(opened.moving)
    opened.ui.registerButton.click()
    opened.finish()
    assert "memory" in opened.status
    assert "crop the volumes" in opened.status
    assert "\n" not in opened.status
    assert node_names() == before
    opened.ui.registerButton.click()
    opened.finish()
    assert opened.status.startswith("Done"), opened.status


def enlarge(node) -> None:
    """Give a volume eight times as many voxels, at the same place."""
    array = slicer.util.arrayFromVolume(node)
    fine = np.kron(array, np.ones((2, 2, 2), array.dtype))
    slicer.util.updateVolumeFromArray(node, fine)
    node.SetSpacing(*(0.5 * np.array(node.GetSpacing())))


def test_a_volume_that_is_changed_while_it_is_read_is_one_line(opened):
    opened.choose(segmentations=False)
    opened.ui.registerButton.click()
    slicer.util.arrayFromVolume(opened.moving)[:] = 0
    slicer.util.arrayFromVolumeModified(opened.moving)
    opened.finish()
    assert opened.status == "moving was changed while it was read: press Register again."
    assert opened.panel.logic.getParameterNode().result is None


def test_a_segmentation_that_is_changed_while_it_is_read_is_one_line(opened):
    opened.choose()
    opened.ui.registerButton.click()
    segmentation = opened.moving_segmentation.GetSegmentation()
    segmentation.GetLayerDataObject(0, "Binary labelmap").Modified()
    opened.finish()
    assert opened.status == "moving organs was changed while it was read: press Register again."
    assert opened.panel.logic.getParameterNode().result is None


def test_an_empty_structure_is_said_with_the_result(opened):
    opened.fixed_segmentation.GetSegmentation().AddEmptySegment("tumor", "tumor")
    opened.registered()
    assert "fixed organs: the structure 'tumor' is empty; it has no voxel." in opened.ui.summaryLabel.text
    assert "moving organs: the structure" not in opened.ui.summaryLabel.text


def test_an_image_that_replaces_another_while_that_is_read_does_not_matter(opened):
    opened.choose(segmentations=False)
    opened.ui.registerButton.click()
    slicer.util.updateVolumeFromArray(opened.moving, np.zeros((5, 6, 7), np.int16))
    opened.host.process_events(until=lambda: opened.ui.progressBar.value > 0, timeout_s=PATIENCE_S)
    assert opened.panel.logic.is_busy
