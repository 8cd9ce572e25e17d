"""The tab Carry: other nodes under the transform of the result, undone by a switch, and hardened copies."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from .conftest import SHIFT_MM
from .test_landmarks import POINTS_MM, point_list


def check(ui, row: int, on: bool = True) -> None:
    import qt

    ui.carryList.item(row).setCheckState(qt.Qt.Checked if on else qt.Qt.Unchecked)


def world(node) -> np.ndarray:
    return np.array([node.GetNthControlPointPositionWorld(n) for n in range(node.GetNumberOfControlPoints())])


def listed(ui) -> list[str]:
    return [ui.carryList.item(row).text() for row in range(ui.carryList.count)]


@pytest.fixture
def points(shifted):
    nodes = [point_list("points", POINTS_MM), point_list("points", POINTS_MM)]
    shifted.host.process_events()
    assert listed(shifted.ui) == ["points", "points"], "a new node is listed"
    assert not shifted.ui.carrySwitch.enabled
    return nodes


def test_checked_nodes_go_under_the_transform_and_back(shifted, points):
    ui = shifted.ui
    check(ui, 1)
    assert np.allclose(world(points[1]), POINTS_MM), "checking alone moves nothing"
    ui.carrySwitch.click()
    assert np.allclose(world(points[1]), np.array(POINTS_MM) - SHIFT_MM, atol=0.02)
    assert np.allclose(world(points[0]), POINTS_MM)
    check(ui, 0)
    assert np.allclose(world(points[0]), np.array(POINTS_MM) - SHIFT_MM, atol=0.02)
    check(ui, 1, on=False)
    assert np.allclose(world(points[1]), POINTS_MM)
    assert ui.carrySwitch.checked
    ui.carrySwitch.click()
    assert np.allclose(world(points[0]), POINTS_MM)
    assert not ui.carrySwitch.checked
    shifted.host.raise_slot_errors()


def test_copies_of_both_directions(shifted, points):
    ui = shifted.ui
    for scan, sign, goal in ((0, -1, "fixed"), (1, 1, "moving")):
        ui.carryScanBox.setCurrentIndex(scan)
        assert f"carried to the {goal} volume" in ui.carryLabel.text
        check(ui, 0)
        ui.carryCopyButton.click()
        shifted.host.raise_slot_errors()
        copy = slicer.util.getNode(f"points on {goal}")
        assert np.allclose(world(copy), np.array(POINTS_MM) + sign * np.array(SHIFT_MM), atol=0.02)
        assert copy.GetParentTransformNode() is None
        assert np.allclose(world(points[0]), POINTS_MM)
        assert np.allclose(world(points[1]), POINTS_MM)
    assert f"Added {copy.GetName()}." in shifted.host.messages[-1].text
    # The first list is chosen for the moving scan and is therefore not offered for the fixed one.
    assert "points" in listed(ui)
    assert len(listed(ui)) == 3


def test_a_node_that_cannot_be_carried_is_told_and_not_moved(shifted, points):
    ui = shifted.ui
    bent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    bent.SetAndObserveTransformFromParent(shifted.nodes.transform.GetTransformFromParent())
    points[0].SetAndObserveTransformNodeID(bent.GetID())
    check(ui, 0)
    ui.carrySwitch.click()
    assert "is under a nonlinear transform (bent)" in shifted.host.messages[-1].text
    assert points[0].GetParentTransformNode() is bent
    assert not ui.carrySwitch.checked


def test_the_list_follows_the_scene(shifted, points):
    ui = shifted.ui
    check(ui, 1)
    ui.carrySwitch.click()
    points[0].SetName("other")
    slicer.mrmlScene.RemoveNode(points[1])
    assert listed(ui) == ["other"]
    assert not ui.carrySwitch.enabled
    slicer.mrmlScene.RemoveNode(shifted.nodes.transform)
    shifted.host.process_events()
    shifted.host.raise_slot_errors()
