"""The panel's state follows from the logic and the scene alone; views and switches agree."""

from __future__ import annotations

import time

import pytest
import slicer
from PySide6 import QtWidgets

from LightRegistrationLib.scene.files.saving import save_scene
from LightRegistrationLib.worker.protocol import WorkerExited

from .test_preview import composites, halt

__all__ = ["halt"]


def assert_ready(opened) -> None:
    assert opened.ui.registerButton.text == "Register"
    assert opened.ui.registerButton.enabled
    assert opened.ui.fixedSelector.enabled
    assert not opened.ui.progressBar.visible


@pytest.mark.parametrize("end", ["finished", "canceled", "crashed"])
def test_a_second_run_that_ends_while_another_module_is_open(opened, halt, end):
    """With inputs equal to those of the first run."""
    opened.choose()
    halt.wait_for_preview()
    halt.go_on()
    first = opened.panel.logic.getParameterNode().report
    halt.wait_for_preview()
    opened.host.leave("LightRegistration")
    if end == "finished":
        halt.go_on()
    elif end == "canceled":
        opened.panel.logic.cancel()
    else:
        halt.end_with(WorkerExited("The registration process crashed.", ""))
    opened.host.enter("LightRegistration")
    opened.host.raise_slot_errors()
    assert_ready(opened)
    assert (opened.panel.logic.getParameterNode().report != first) == (end == "finished")
    expected = {"finished": "Done in", "canceled": "Canceled.", "crashed": "crashed"}[end]
    assert expected in opened.status
    opened.ui.registerButton.click()
    assert opened.panel.logic.is_busy
    assert opened.ui.registerButton.text == "Cancel"


def test_entering_during_a_run_shows_it(opened, halt):
    opened.choose(segmentations=False)
    halt.wait_for_preview()
    opened.host.leave("LightRegistration")
    opened.host.enter("LightRegistration")
    assert opened.ui.registerButton.text == "Cancel"
    assert not opened.ui.fixedSelector.enabled
    opened.ui.registerButton.click()
    assert not opened.panel.logic.is_busy
    assert_ready(opened)


def test_a_script_that_registers_shows_in_the_panel(opened):
    texts = []
    opened.choose(segmentations=False)
    opened.ui.progressBar.connect("valueChanged(int)", lambda _value: texts.append(opened.ui.registerButton.text))
    opened.panel.logic.register(opened.fixed, opened.moving)
    assert "Cancel" in texts
    assert_ready(opened)


def test_old_numbers_are_marked_during_a_run_and_after_an_error(opened, halt):
    opened.choose()
    halt.wait_for_preview()
    halt.go_on()
    assert opened.ui.resultSection.text == "Result"
    assert opened.ui.showButton.text == "Shown"
    halt.wait_for_preview()
    assert "earlier" in opened.ui.resultSection.text
    assert not opened.ui.gridBox.enabled
    assert opened.ui.showButton.text.startswith("Not shown")
    halt.end_with(WorkerExited("The registration process crashed.", ""))
    assert "crashed" in opened.status
    assert "earlier" in opened.ui.resultSection.text
    assert opened.ui.gridBox.enabled
    assert opened.ui.showButton.text == "Shown"


def test_numbers_of_other_inputs_are_marked(opened):
    opened.registered()
    opened.ui.fixedSegmentationSelector.setCurrentNode(None)
    assert "earlier" in opened.ui.resultSection.text
    opened.ui.fixedSegmentationSelector.setCurrentNode(opened.fixed_segmentation)
    assert opened.ui.resultSection.text == "Result"


def test_after_loading_a_scene_the_switches_say_that_the_views_do_not_show_it(opened, tmp_path):
    opened.registered()
    opened.ui.gridBox.click()
    save_scene(slicer.mrmlScene, tmp_path / "result.mrb")
    slicer.util.loadScene(str(tmp_path / "result.mrb"), {"clear": True})
    opened.host.process_events()
    opened.host.raise_slot_errors()
    assert opened.ui.showButton.text.startswith("Not shown")
    assert slicer.util.getNodesByClass("vtkMRMLTransformDisplayNode") == []
    opened.ui.showButton.click()
    assert opened.ui.showButton.text == "Shown"
    assert any(node.GetVisibility2D() for node in slicer.util.getNodesByClass("vtkMRMLTransformDisplayNode"))
    warped = opened.panel.logic.getParameterNode().result.GetNodeReference("LightRegistration.Warped")
    assert {composite.GetForegroundVolumeID() for composite in composites()} == {warped.GetID()}


def test_volumes_that_the_user_puts_in_the_views_are_noticed(opened):
    opened.registered()
    assert opened.ui.showButton.text == "Shown"
    composites()[0].SetForegroundVolumeID(None)
    assert opened.ui.showButton.text.startswith("Not shown")
    opened.ui.showButton.click()
    assert opened.ui.showButton.text == "Shown"


def test_deleting_an_input_of_the_result_takes_it_from_the_views(opened):
    opened.registered()
    slicer.mrmlScene.RemoveNode(opened.moving)
    opened.host.process_events()
    opened.host.raise_slot_errors()
    assert "earlier" in opened.ui.resultSection.text
    assert opened.ui.showButton.text.startswith("Not shown")
    assert not opened.ui.showButton.enabled
    assert not opened.ui.gridBox.enabled


def test_after_reload_the_switches_say_that_the_views_do_not_show_it(opened):
    opened.registered()
    slicer.util.reloadScriptedModule("LightRegistration")
    opened.panel = slicer.modules.LightRegistrationWidget
    opened.host.process_events()
    opened.host.raise_slot_errors()
    assert opened.ui.showButton.text.startswith("Not shown")
    assert_ready(opened)


def test_a_double_click_starts_and_does_not_cancel(opened):
    opened.choose(segmentations=False)
    opened.panel.doubleClickSeconds = 0.3
    opened.ui.registerButton.click()
    process = opened.panel.logic.worker_process_id
    opened.ui.registerButton.click()
    assert opened.panel.logic.is_busy
    assert opened.panel.logic.worker_process_id == process
    time.sleep(0.4)
    opened.ui.registerButton.click()
    assert not opened.panel.logic.is_busy


def test_the_focus_stays_where_the_user_pressed(opened):
    """Otherwise the panel would scroll to the widget that gets it from a disabled one."""
    opened.choose(segmentations=False)
    opened.ui.modelBox.setFocus()
    opened.ui.registerButton.click()
    assert QtWidgets.QApplication.focusWidget() in (None, opened.ui.registerButton._native)
    assert not opened.ui.modelBox.enabled
