"""What takes long is shown in several turns of the event loop; anything may happen between them."""

from __future__ import annotations

import pytest
import slicer

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.scene.display import match, outlines

from ..processes import PATIENCE_S
from .test_preview import composites, foregrounds


@pytest.fixture
def divided(shifted, monkeypatch):
    """The panel with a result and no overlay, where each structure and each slice is a part of its own."""
    shifted.ui.noOverlayButton.click()
    monkeypatch.setattr(outlines, "MOST_SEGMENTS", 1)
    monkeypatch.setattr(match, "PART_VOXELS", 1)
    return shifted


def turns(divided):
    return divided.panel.logic._views._turns


def settle(divided) -> None:
    """Let the event loop do what is left."""
    divided.host.process_events(until=lambda: not turns(divided).is_busy, timeout_s=PATIENCE_S)
    divided.host.raise_slot_errors()


def all_names() -> list[str]:
    """The names of all nodes but colors, which Slicer adds at their first use, without the numbers that it adds."""
    scene = slicer.mrmlScene
    nodes = (scene.GetNthNode(number) for number in range(scene.GetNumberOfNodes()))
    return sorted(node.GetName().rstrip("_0123456789") for node in nodes if not node.IsA("vtkMRMLColorNode"))


def drawn_outlines() -> list[str]:
    return [name for name in all_names() if name.endswith(" outlines")]


def count_structures(*nodes) -> int:
    return sum(node.GetSegmentation().GetNumberOfSegments() for node in nodes)


def are_segmentations_drawn(divided) -> list[bool]:
    nodes = (divided.fixed_segmentation, divided.moving_segmentation)
    return [node.GetDisplayNode().IsDisplayableInView("vtkMRMLSliceNodeRed") for node in nodes]


def test_outlines_come_in_turns_and_the_panel_says_so(divided):
    ui, nodes = divided.ui, divided.nodes
    expected = count_structures(nodes.fixed_segmentation, nodes.warped_segmentation)
    ui.outlinesButton.click()
    assert len(drawn_outlines()) == 1
    assert ui.showButton.text.startswith("Not shown")
    settle(divided)
    assert len(drawn_outlines()) == expected
    assert ui.showButton.text == "Shown"
    assert not any(are_segmentations_drawn(divided))

    ui.beforeButton.click()
    assert ui.showButton.text.startswith("Not shown")
    settle(divided)
    assert ui.showButton.text == "Shown"
    assert len(drawn_outlines()) == count_structures(nodes.fixed_segmentation, nodes.moving_segmentation)
    ui.noOverlayButton.click()
    settle(divided)
    assert drawn_outlines() == []
    assert all(are_segmentations_drawn(divided))


def test_a_switch_in_the_middle_of_another_one_counts_and_nothing_is_left_behind(divided):
    ui, nodes = divided.ui, divided.nodes
    names = all_names()
    ui.outlinesButton.click()
    ui.matchButton.click()
    assert turns(divided).is_busy
    ui.noOverlayButton.click()
    settle(divided)
    assert all_names() == names
    assert ui.showButton.text == "Shown"
    assert all(are_segmentations_drawn(divided))

    ui.outlinesButton.click()
    ui.beforeButton.click()
    ui.afterButton.click()
    settle(divided)
    assert ui.showButton.text == "Shown"
    assert foregrounds() == {nodes.warped.GetName()}
    assert len(drawn_outlines()) == count_structures(nodes.fixed_segmentation, nodes.warped_segmentation)
    sources = (nodes.fixed_segmentation, nodes.warped_segmentation)
    assert set(drawn_outlines()) == {f"{node.GetName()} outlines" for node in sources}


def test_a_match_map_comes_in_turns_and_is_that_of_the_picture(divided):
    ui = divided.ui
    ui.matchButton.click()
    assert turns(divided).is_busy
    ui.beforeButton.click()
    settle(divided)
    before = slicer.util.arrayFromVolume(slicer.util.getNode("Match and mismatch")).copy()
    ui.afterButton.click()
    assert not slicer.util.getNodes("Match and mismatch"), "no map of one volume over the other"
    settle(divided)
    after = slicer.util.arrayFromVolume(slicer.util.getNode("Match and mismatch"))
    assert (before == match.MISMATCH).any()
    assert not (after == match.MISMATCH).any(), "the structures of this result are those of the fixed volume"
    assert ui.showButton.text == "Shown"


@pytest.mark.parametrize("button", ["outlinesButton", "matchButton"])
@pytest.mark.parametrize("event", ["scene closed", "fixed segmentation", "fixed volume", "result", "panel closed"])
def test_closing_or_removing_something_in_the_middle_ends_it(divided, button, event):
    getattr(divided.ui, button).click()
    assert turns(divided).is_busy
    divided_turns = turns(divided)
    if event == "scene closed":
        slicer.mrmlScene.Clear()
    elif event == "panel closed":
        divided.panel.cleanup()
    else:
        nodes = {"fixed segmentation": divided.fixed_segmentation, "fixed volume": divided.fixed}
        slicer.mrmlScene.RemoveNode(nodes.get(event, divided.nodes.transform))
    divided.host.process_events()
    divided.host.raise_slot_errors()
    assert not divided_turns.is_busy
    assert drawn_outlines() == []
    assert not slicer.util.getNodes("Match*")
    assert not any(composite.GetLabelVolumeID() for composite in composites())


def test_the_rest_is_shown_while_another_module_is_open(divided):
    divided.ui.outlinesButton.click()
    divided.host.leave("LightRegistration")
    settle(divided)
    expected = count_structures(divided.nodes.fixed_segmentation, divided.nodes.warped_segmentation)
    assert len(drawn_outlines()) == expected
    divided.host.enter("LightRegistration")
    assert divided.ui.showButton.text == "Shown"


@pytest.mark.parametrize("overlay", ["drawn", "half drawn"])
@pytest.mark.parametrize("end", ["canceled", "finished"])
def test_a_preview_in_the_middle_of_an_overlay_and_its_end_in_the_middle_of_the_preview(divided, overlay, end):
    from LightRegistrationLib.panel.inputs.selected_nodes import read_selected_nodes
    from LightRegistrationLib.panel.views.view_content import read_switches
    from LightRegistrationLib.scene.nodes.transforms import field_from_transform_node
    from LightRegistrationLib.scene.nodes.volumes import volume_from_node

    ui, views, parameters = divided.ui, divided.panel.logic._views, divided.panel._parameterNode
    ui.outlinesButton.click()
    settle(divided)
    expected, names = drawn_outlines(), all_names()
    if overlay == "half drawn":
        ui.noOverlayButton.click()
        ui.outlinesButton.click()
    field = field_from_transform_node(divided.nodes.transform)
    selected, affine = read_selected_nodes(parameters), volume_from_node(divided.moving).affine
    for _preview in range(2):  # the second one, of the refinement, may come before the first one is complete
        views.show_preview(selected, affine, field, read_switches(parameters))
        assert turns(divided).is_busy
    assert not views.is_showing(divided.nodes.transform, read_switches(parameters))
    if end == "canceled":
        views.end_preview()
        settle(divided)
        assert drawn_outlines() == expected
        assert all_names() == names
        assert views.is_showing(divided.nodes.transform, read_switches(parameters))
    else:
        views.replace_preview(divided.nodes)
        assert not turns(divided).is_busy
        assert drawn_outlines() == []
        assert not slicer.util.getNodes("*preview*")
        assert foregrounds() == {divided.nodes.warped.GetName()}


def test_registering_in_the_middle_of_an_overlay_shows_the_new_result(divided):
    divided.panel.logic.getParameterNode().model = divided.model
    divided.ui.outlinesButton.click()
    assert turns(divided).is_busy
    nodes = divided.registered()
    settle(divided)
    assert divided.ui.showButton.text == "Shown"
    assert len(drawn_outlines()) == count_structures(nodes.fixed_segmentation, nodes.warped_segmentation)


def test_an_error_in_a_later_turn_is_one_line(divided, monkeypatch):
    def fail(*_values):
        yield
        raise InputError("these labels cannot be compared.")

    monkeypatch.setattr("LightRegistrationLib.scene.display.match.compute_match_map_in_parts", fail)
    divided.ui.matchButton.click()
    assert "cannot be compared" not in divided.status
    settle(divided)
    assert divided.status == "these labels cannot be compared."
    assert divided.ui.showButton.text.startswith("Not shown")
    divided.ui.outlinesButton.click()
    settle(divided)
    assert divided.ui.showButton.text == "Shown"


def test_parts_run_one_after_the_other_and_a_new_work_stops_the_old_one(slicer_host):
    from LightRegistrationLib.panel.views.turns import Turns

    done, lines = [], []

    def work(name, count, error=None):
        try:
            for number in range(count):
                done.append(f"{name}{number}")
                yield
            if error is not None:
                raise error
        finally:
            done.append(f"{name} ends")

    turns = Turns(lines.append)
    turns.start(work("a", 3))
    assert done == ["a0"]
    turns.start(work("b", 2))
    assert done == ["a0", "a ends", "b0"]
    slicer_host.process_events(until=lambda: not turns.is_busy)
    assert done[3:] == ["b1", "b ends"]
    turns.start(work("c", 3))
    turns.finish()
    assert done[5:] == ["c0", "c1", "c2", "c ends"]
    turns.start(work("d", 1, InputError("no labels.")))
    slicer_host.process_events(until=lambda: not turns.is_busy)
    assert lines == ["no labels."]
    with pytest.raises(InputError):
        turns.start(work("e", 0, InputError("no voxels.")))
    assert not turns.is_busy
