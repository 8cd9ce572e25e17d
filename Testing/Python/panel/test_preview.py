"""The preview: shown before the resampled volume, replaced by it, and removed completely on Cancel."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from LightRegistrationLib.scene.nodes.transforms import field_from_transform_node
from LightRegistrationLib.worker.protocol import FieldFound, Finished, WorkerExited

from ..processes import PATIENCE_S
from .test_result import pixels


def composites():
    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")


def foregrounds() -> set[str]:
    return {slicer.mrmlScene.GetNodeByID(c.GetForegroundVolumeID()).GetName() for c in composites()}


def names_of_nodes() -> list[str]:
    """The names of all nodes, without the numbers that make them unique."""
    nodes = (slicer.mrmlScene.GetNthNode(n) for n in range(slicer.mrmlScene.GetNumberOfNodes()))
    return sorted((node.GetName() or "").rstrip("_0123456789") for node in nodes)


def preview_nodes() -> list[str]:
    return [node.GetName() for node in slicer.util.getNodes("*preview*").values()]


def preview_transform():
    return slicer.util.getNode("moving preview transform")


class Halt:
    """Delays the messages after the preview of each registration, so that a test can inspect it.

    behind: the type of the first message that is delayed.
    """

    def __init__(self, opened):
        self._opened = opened
        self.behind = Finished
        self._runner = opened.panel.logic._runner
        self._handle = self._runner._handle
        self._held = []

    def hold(self, message):
        if self._held or isinstance(message, self.behind):
            self._held.append(message)
        else:
            self._handle(message)

    def wait_for_preview(self):
        self._opened.ui.registerButton.click()
        self.wait()

    def wait(self):
        self._opened.host.process_events(until=lambda: bool(self._held), timeout_s=PATIENCE_S)
        self._opened.host.raise_slot_errors()

    def go_on(self):
        held, self._held = self._held, []
        for message in held:
            self._handle(message)
        if any(isinstance(message, Finished) for message in held):
            self._opened.finish()  # the result is shown in some turns of the event loop
        self._opened.host.raise_slot_errors()

    def end_with(self, message):
        self._held = []
        self._handle(message)


@pytest.fixture
def halt(opened, monkeypatch):
    halt = Halt(opened)
    monkeypatch.setattr(opened.panel.logic._runner, "_handle", halt.hold)
    return halt


def test_the_preview_shows_the_result_before_it_is_resampled(opened, halt, tmp_path):
    moving = opened.moving
    image, display = moving.GetImageData(), moving.GetDisplayNode()
    times = (moving.GetMTime(), image.GetMTime(), display.GetMTime())
    opened.choose(segmentations=False)
    halt.wait_for_preview()

    assert foregrounds() == {"moving preview"}
    assert opened.panel.logic.is_busy
    assert opened.ui.registerButton.text == "Cancel"
    for composite in composites():
        composite.SetForegroundOpacity(1)
    for node in (opened.fixed_segmentation, opened.moving_segmentation):
        node.SetDisplayVisibility(False)
    opened.host.render_slice_view("Red", tmp_path / "early.png")

    halt.go_on()
    assert foregrounds() == {"moving registered"}
    assert preview_nodes() == []
    opened.host.render_slice_view("Red", tmp_path / "late.png")
    early, late = (pixels(tmp_path / f"{name}.png").astype(int) for name in ("early", "late"))
    opened.ui.beforeButton.click()
    opened.host.render_slice_view("Red", tmp_path / "before.png")
    before = pixels(tmp_path / "before.png").astype(int)
    assert late.max() > 100
    assert np.abs(early - late).mean() < 0.25 * np.abs(before - late).mean()

    assert moving.GetParentTransformNode() is None
    assert moving.GetImageData() is image
    assert (moving.GetName(), moving.GetDisplayNode()) == ("moving", display)
    assert (moving.GetMTime(), image.GetMTime(), display.GetMTime()) == times


def test_the_networks_deformation_is_shown_during_refinement(opened, halt, tmp_path):
    opened.choose(segmentations=False)
    opened.panel._parameterNode.refine = "fast"
    halt.behind = FieldFound
    halt.wait_for_preview()

    assert foregrounds() == {"moving preview"}
    early = field_from_transform_node(preview_transform())
    halt.behind = Finished
    halt.go_on()
    halt.wait()
    refined = field_from_transform_node(preview_transform())
    assert foregrounds() == {"moving preview"}
    points = early.geometry.points_mm
    assert np.abs(early(points) - refined(points)).max() > 0.1
    halt.go_on()
    assert foregrounds() == {"moving registered"}
    assert preview_nodes() == []


@pytest.mark.parametrize("earlier_result", [False, True])
def test_cancel_during_the_preview_restores_scene_and_views(opened, halt, earlier_result):
    opened.choose()
    if earlier_result:
        halt.wait_for_preview()
        halt.go_on()
    views = [(c.GetBackgroundVolumeID(), c.GetForegroundVolumeID(), c.GetForegroundOpacity()) for c in composites()]
    outlines = len(slicer.util.getNodes("*outlines*"))
    names = names_of_nodes()
    halt.wait_for_preview()
    assert foregrounds() == {"moving preview"}
    assert len(slicer.util.getNodes("*outlines*")) == 0
    displays = [node.GetDisplayNode() for node in (opened.fixed_segmentation, opened.moving_segmentation)]
    assert not any(display.IsDisplayableInView("vtkMRMLSliceNodeRed") for display in displays)

    opened.ui.registerButton.click()
    opened.host.process_events()
    opened.host.raise_slot_errors()
    assert opened.status == "Canceled."
    now = [(c.GetBackgroundVolumeID(), c.GetForegroundVolumeID(), c.GetForegroundOpacity()) for c in composites()]
    assert now == views
    assert all(display.IsDisplayableInView("vtkMRMLSliceNodeRed") != earlier_result for display in displays)
    assert len(slicer.util.getNodes("*outlines*")) == outlines
    assert names_of_nodes() == names


@pytest.mark.parametrize("event", ["scene closed", "input removed", "worker died"])
def test_every_end_of_a_run_removes_the_preview(opened, halt, event):
    opened.choose(segmentations=False)
    halt.wait_for_preview()
    if event == "scene closed":
        slicer.mrmlScene.Clear()
    elif event == "input removed":
        slicer.mrmlScene.RemoveNode(opened.moving)
    else:
        halt.end_with(WorkerExited("The registration process crashed.", ""))
    opened.host.process_events()
    opened.host.raise_slot_errors()
    assert preview_nodes() == []
    assert not opened.panel.logic.is_busy


def test_no_preview_is_shown_while_another_module_is_open(opened, halt):
    opened.choose(segmentations=False)
    opened.ui.registerButton.click()
    opened.host.leave("LightRegistration")
    halt.wait()
    assert preview_nodes() == []
    halt.go_on()
    opened.host.enter("LightRegistration")
    assert opened.panel.logic.getParameterNode().result is not None


def test_a_script_gets_the_result_without_a_preview(opened):
    before = [c.GetForegroundVolumeID() for c in composites()]
    registered = opened.panel.logic.register(opened.fixed, opened.moving)
    assert registered.nodes.warped.GetImageData().GetDimensions() == opened.fixed.GetImageData().GetDimensions()
    assert registered.report["seconds"]["warping"] > 0
    assert [c.GetForegroundVolumeID() for c in composites()] == before
