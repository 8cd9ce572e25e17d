"""Every frame of a sequence registered to one of them: transforms, points over time, missing frames, and Cancel."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from LightRegistrationLib.core.sampling.warping import warp_volume_and_segmentation
from LightRegistrationLib.scene.nodes.sequences import make_still_field
from LightRegistrationLib.scene.nodes.transforms import field_from_transform_node
from LightRegistrationLib.scene.nodes.volumes import volume_from_node

from ..processes import PATIENCE_S, ends, paused


def add_sequence(*volumes):
    """A sequence of volumes at 0, 20, 40 ... percent of the breathing cycle; None for an empty frame."""
    name = slicer.mrmlScene.GenerateUniqueName("breathing")
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName("phase")
    sequence.SetIndexUnit("%")
    for number, node in enumerate(volumes):
        frame = slicer.vtkMRMLScalarVolumeNode()
        if node is not None:
            frame.CopyContent(node)
        sequence.SetDataNodeAtValue(frame, str(20 * number))
    return sequence


def wait(opened) -> None:
    opened.host.process_events(until=lambda: not opened.panel.logic.is_busy, timeout_s=PATIENCE_S)
    opened.host.raise_slot_errors()


@pytest.fixture
def chosen(opened):
    """The panel with a sequence: fixed, moving, an empty frame; and points of the first frame."""
    opened.choose(segmentations=False)
    opened.panel.logic.getParameterNode().model = opened.model
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "tumor")
    for point in ((0.0, 20.0, 10.0), (-30.0, -10.0, 0.0)):
        points.AddControlPoint(point)
    opened.ui.seriesSelector.setCurrentNode(add_sequence(opened.fixed, opened.moving, None))
    opened.ui.seriesPointsSelector.setCurrentNode(points)
    return opened


def test_the_frames_become_a_sequence_of_transforms_and_points_over_time(chosen):
    ui, series = chosen.ui, chosen.panel.logic.getParameterNode().series
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(series.GetID())
    assert ui.seriesLabel.text == "3 frames."
    ui.seriesWarpedBox.click()
    ui.seriesButton.click()
    chosen.host.process_events(until=lambda: chosen.status.startswith("Frame 1:"), timeout_s=PATIENCE_S)
    assert ui.registerButton.text == "Cancel"
    assert not ui.seriesButton.enabled
    wait(chosen)
    assert chosen.status.startswith("2 of 3 frames are registered to frame 0: ")
    assert "frame 2: " in chosen.status
    assert "holds no image" in chosen.status
    assert ui.registerButton.text == "Register"

    transforms, warped = (n for n in slicer.util.getNodesByClass("vtkMRMLSequenceNode") if n is not series)
    assert [transforms.GetNthIndexValue(n) for n in range(2)] == ["0", "20"]
    assert browser.GetProxyNode(transforms).IsA("vtkMRMLTransformNode")
    points = slicer.util.arrayFromMarkupsControlPoints(slicer.util.getNode("tumor"))
    still, moved = (field_from_transform_node(transforms.GetNthDataNode(n)) for n in range(2))
    assert np.abs(still(points) - points).max() == 0
    distances = np.linalg.norm(moved(points) - points, axis=1)
    assert distances.max() > 1

    frames = [slicer.util.arrayFromVolume(warped.GetNthDataNode(n)).astype(float) for n in range(2)]
    fixed, moving = (volume_from_node(node) for node in (chosen.fixed, chosen.moving))
    as_loaded, _ = warp_volume_and_segmentation(moving, None, make_still_field(fixed.geometry), fixed.geometry)
    assert (frames[0] == fixed.array).all()
    assert np.abs(frames[1] - fixed.array).mean() < 0.8 * np.abs(as_loaded.array - fixed.array).mean()
    assert browser.GetProxyNode(warped).IsA("vtkMRMLScalarVolumeNode")
    shown = browser.GetProxyNode(series)
    assert shown.GetTransformNodeID() is None, "the user's own frames stay as they are"

    chart = slicer.util.getNode("tumor over time")
    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    assert layout.GetViewArrangement() == layout.SlicerLayoutFourUpPlotView
    views = slicer.mrmlScene.GetNodesByClass("vtkMRMLPlotViewNode")
    assert {view.GetPlotChartNodeID() for view in views} == {chart.GetID()}
    assert chart.GetXAxisTitle() == "phase (%)"
    assert chart.GetNumberOfPlotSeriesNodes() == 2
    table = chart.GetNthPlotSeriesNode(0).GetTableNode()
    assert table.GetName() == "tumor over time table"
    assert [table.GetCellText(row, 0) for row in range(2)] == ["0", "20"]
    np.testing.assert_allclose([float(table.GetCellText(1, 1 + n)) for n in range(2)], distances, rtol=1e-3)


def test_cancel_ends_a_series_and_leaves_nothing(chosen):
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    chosen.ui.seriesButton.click()
    chosen.host.process_events(until=lambda: chosen.ui.progressBar.value > 0, timeout_s=PATIENCE_S)
    process = chosen.panel.logic.worker_process_id
    with paused(process):
        chosen.ui.registerButton.click()
        assert ends(process)
    chosen.host.raise_slot_errors()
    assert chosen.status == "Canceled."
    assert not chosen.panel.logic.is_busy
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes


@pytest.mark.parametrize("event", ["scene closed", "sequence removed", "cancel"])
def test_an_end_in_the_turns_after_the_last_frame(chosen, event):
    """The nodes of a frame are made in the turns of the event loop after it; the last one is an empty frame."""
    series, nodes = chosen.panel.logic.getParameterNode().series, slicer.mrmlScene.GetNumberOfNodes()
    runner = chosen.panel.logic._runner
    chosen.ui.seriesWarpedBox.click()
    chosen.ui.seriesButton.click()
    chosen.host.process_events(
        until=lambda: runner._run is not None and runner._run.parts is not None, timeout_s=PATIENCE_S
    )
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes, "nothing is in the scene before all are done"
    if event == "scene closed":
        slicer.mrmlScene.Clear()
    elif event == "sequence removed":
        slicer.mrmlScene.RemoveNode(series)
    else:
        chosen.ui.registerButton.click()
    wait(chosen)
    found = [node for node in slicer.util.getNodesByClass("vtkMRMLSequenceNode") if node is not series]
    assert len(found) == (2 if event == "cancel" else 0)
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode") is None or event == "cancel"
    assert chosen.ui.registerButton.text == "Register"
    if event == "cancel":
        assert chosen.status.startswith("2 of 3 frames"), "too late to cancel"
        warped = next(node for node in found if "warped" in node.GetName())
        own = slicer.util.arrayFromVolume(warped.GetNthDataNode(0))
        frame = slicer.util.arrayFromVolume(series.GetNthDataNode(0))
        assert (own == frame).all()
        assert not np.shares_memory(own, frame), "the reference frame is the user's own"


def test_a_sequence_that_is_no_series_of_volumes_is_one_line(opened):
    ui = opened.ui
    assert not ui.seriesButton.enabled
    assert ui.seriesLabel.text == "Choose a sequence of volumes."
    ui.seriesSelector.setCurrentNode(add_sequence(opened.fixed))
    assert "needs 2 or more frames" in ui.seriesLabel.text
    other = add_sequence(opened.fixed, opened.moving)
    other.SetDataNodeAtValue(slicer.vtkMRMLLinearTransformNode(), "60")
    ui.seriesSelector.setCurrentNode(other)
    assert "a series of scalar volumes is needed" in ui.seriesLabel.text
    assert not ui.seriesButton.enabled
    ui.seriesSelector.setCurrentNode(add_sequence(None, opened.fixed, None))
    ui.referenceFrameBox.setValue(1)
    ui.seriesButton.click()
    wait(opened)
    assert "No frame could be registered: frame 0: " in opened.status
    ui.referenceFrameBox.setValue(0)
    ui.seriesButton.click()
    opened.host.raise_slot_errors()
    assert "frame 0: " in opened.status, "an empty reference"
    assert ui.registerButton.text == "Register"
