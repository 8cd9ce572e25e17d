"""Places that the user clicks in the fixed volume and in the result: the error in mm, kept in the scene."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from LightRegistrationLib.scene.files.saving import save_scene

from .test_preview import composites
from .test_views import foreground


def lines() -> list:
    return slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")


def is_placing() -> bool:
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    return interaction.GetCurrentInteractionMode() == interaction.Place


def opacities() -> set[float]:
    return {composite.GetForegroundOpacity() for composite in composites()}


def rows(table) -> list[list[str]]:
    return [[table.item(row, column).text() for column in range(5)] for row in range(table.rowCount)]


def check(opened, place, found) -> None:
    height = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().GetSliceOffset()
    opened.ui.checkPlaceButton.click()
    for x, y in (place, found):
        opened.host.click_in_slice_view("Red", (x, y, height))
    opened.host.raise_slot_errors()


def test_two_clicks_give_the_error_and_stay_in_the_scene(shifted, tmp_path):
    ui, warped = shifted.ui, shifted.nodes.warped.GetName()
    slicer.app.applicationLogic().GetSelectionNode().SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsFiducialNode")
    ui.beforeButton.click()
    seen = [(foreground(), opacities(), ui.placeLabel.text[:2])]
    height = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().GetSliceOffset()
    ui.checkPlaceButton.click()
    seen.append((foreground(), ui.placeLabel.text[:2], ui.checkPlaceButton.text))
    assert ui.fixedButton.checked
    shifted.host.click_in_slice_view("Red", (0.0, 20.0, height))
    seen.append((foreground(), opacities(), ui.placeLabel.text[:2]))
    assert ui.afterButton.checked
    shifted.host.click_in_slice_view("Red", (3.0, 16.0, height))
    shifted.host.raise_slot_errors()
    seen.append((foreground(), opacities(), ui.placeLabel.text[:2]))
    assert seen == [
        ("moving", {0.5}, "Cl"),
        (None, "1.", "Stop"),
        (warped, {1.0}, "2."),
        ("moving", {0.5}, "Cl"),
    ]
    assert not is_placing()
    selection = slicer.app.applicationLogic().GetSelectionNode()
    assert selection.GetActivePlaceNodeClassName() == "vtkMRMLMarkupsFiducialNode", "as the user had chosen"
    (row,) = rows(ui.placesTable)
    assert row[1:] == ["5.0", "+3.0", "-4.0", "+0.0"]

    lines()[0].SetNthControlPointPosition(1, 0.0, 20.0, height + 2)
    assert rows(ui.placesTable)[0][1:] == ["2.0", "+0.0", "+0.0", "+2.0"]

    save_scene(slicer.mrmlScene, tmp_path / "checked.mrb")
    slicer.util.loadScene(str(tmp_path / "checked.mrb"), {"clear": True})
    shifted.host.process_events()
    shifted.host.raise_slot_errors()
    assert rows(ui.placesTable)[0][1:] == ["2.0", "+0.0", "+0.0", "+2.0"]


def test_the_list_shows_a_place_and_removes_it(shifted):
    check(shifted, (0.0, 20.0), (0.0, 21.0))
    check(shifted, (10.0, -20.0), (10.0, -23.0))
    table = shifted.ui.placesTable
    assert [row[1] for row in rows(table)] == ["1.0", "3.0"]
    table._native.cellClicked.emit(1, 0)
    sagittal = slicer.app.layoutManager().sliceWidget("Yellow").mrmlSliceNode().GetSliceToRAS()
    assert sagittal.GetElement(0, 3) == pytest.approx(10, abs=0.01)
    table.selectRow(0)
    shifted.ui.removePlaceButton.click()
    shifted.host.raise_slot_errors()
    assert [row[1] for row in rows(table)] == ["3.0"]
    assert len(lines()) == 1


def begin_check(opened) -> None:
    """Press the button and click the place in the fixed volume only."""
    height = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().GetSliceOffset()
    opened.ui.checkPlaceButton.click()
    opened.host.click_in_slice_view("Red", (5.0, 5.0, height))
    opened.host.raise_slot_errors()
    assert opened.ui.placeLabel.text.startswith("2.")


def leave_and_enter(opened) -> None:
    opened.host.leave("LightRegistration")
    opened.host.enter("LightRegistration")


def start_and_cancel(opened) -> None:
    opened.ui.registerButton.click()
    opened.panel.logic.cancel()


def test_a_check_that_is_not_finished_leaves_nothing(shifted):
    check(shifted, (0.0, 20.0), (0.0, 20.0))
    kept = lines()
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    for end in (
        lambda: shifted.ui.checkPlaceButton.click(),
        interaction.SwitchToViewTransformMode,
        lambda: slicer.mrmlScene.RemoveNode(lines()[1]),
        lambda: leave_and_enter(shifted),
        lambda: start_and_cancel(shifted),
        lambda: slicer.mrmlScene.RemoveNode(shifted.nodes.transform),
    ):
        begin_check(shifted)
        assert len(lines()) == 2
        end()
        shifted.host.process_events()
        shifted.host.raise_slot_errors()
        assert lines() == kept
        assert not is_placing()
        assert shifted.ui.checkPlaceButton.text == "Check a place" or not shifted.ui.resultSection.visible
        assert opacities() == {0.5} or not shifted.ui.resultSection.visible


def test_closing_the_scene_ends_a_check(shifted):
    begin_check(shifted)
    slicer.mrmlScene.Clear(0)
    shifted.host.process_events()
    shifted.host.raise_slot_errors()
    assert not is_placing()


def test_a_new_result_in_the_same_transform_begins_without_places(shifted):
    from LightRegistrationLib.core.geometry.transforms import DisplacementField
    from LightRegistrationLib.scene.nodes.checked_places import list_checked_places
    from LightRegistrationLib.scene.nodes.results import OutputNodes, publish_result
    from LightRegistrationLib.scene.nodes.volumes import volume_from_node

    check(shifted, (0.0, 20.0), (0.0, 20.0))
    nodes, fixed = shifted.nodes, volume_from_node(shifted.fixed)
    assert len(list_checked_places(nodes.transform)) == 1
    field = DisplacementField(np.zeros((2, 2, 2, 3), np.float32), fixed.affine)
    publish_result(slicer.mrmlScene, nodes.fixed, nodes.moving, field, fixed, outputs=OutputNodes(nodes.transform))
    assert list_checked_places(nodes.transform) == []
    assert len(lines()) == 1, "the user's line is not removed"
