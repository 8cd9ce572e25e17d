"""What is under the cursor: Slicer's crosshair node drives the tab."""

from __future__ import annotations

import slicer

from LightRegistrationLib.scene.nodes.probe import probe_registration


def crosshair():
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")


def open_tab(opened, name: str) -> None:
    opened.ui.checkTabs.setCurrentIndex(opened.ui.checkTabs.indexOf(getattr(opened.ui, f"{name}Tab")))


def test_the_tab_follows_the_cursor(shifted):
    ui, point = shifted.ui, (-30.0, -10.0, 0.0)
    crosshair().SetCursorPositionInvalid()
    open_tab(shifted, "cursor")
    assert ui.cursorPositionLabel.text == "–"
    crosshair().SetCursorPositionRAS(point)
    probe = probe_registration(shifted.nodes, point)
    assert probe.fixed_structures
    assert ui.cursorPositionLabel.text == "R -30.0, A -10.0, S 0.0 mm"
    assert ui.cursorDisplacementLabel.text == "5.0 mm: R +4.0, A -3.0, S +0.0 mm"
    assert ui.cursorJacobianLabel.text == "1.00"
    assert ui.cursorFixedLabel.text == f"{probe.fixed:.6g} ({', '.join(probe.fixed_structures)})"
    assert ui.cursorMovingLabel.text.startswith(f"{probe.moving:.6g}")
    assert ui.cursorWarpedLabel.text == f"{probe.fixed:.6g}", "the warped volume of this result is the fixed one"
    crosshair().SetCursorPositionRAS((900.0, 0.0, 0.0))
    assert ui.cursorFixedLabel.text == "–"
    crosshair().SetCursorPositionInvalid()
    assert ui.cursorPositionLabel.text == "–"
    shifted.host.raise_slot_errors()


def test_nothing_is_read_unless_the_tab_is_open_and_the_tab_opens_up_to_date(shifted):
    ui = shifted.ui
    crosshair().SetCursorPositionInvalid()
    open_tab(shifted, "landmarks")
    crosshair().SetCursorPositionRAS((1.0, 2.0, 3.0))
    assert ui.cursorPositionLabel.text == "–"
    open_tab(shifted, "cursor")
    assert ui.cursorPositionLabel.text == "R 1.0, A 2.0, S 3.0 mm"
    shifted.host.leave("LightRegistration")
    crosshair().SetCursorPositionRAS((4.0, 5.0, 6.0))
    assert ui.cursorPositionLabel.text == "R 1.0, A 2.0, S 3.0 mm"
    shifted.host.enter("LightRegistration")
    slicer.mrmlScene.RemoveNode(shifted.nodes.transform)
    crosshair().SetCursorPositionRAS((7.0, 8.0, 9.0))
    shifted.host.raise_slot_errors()
