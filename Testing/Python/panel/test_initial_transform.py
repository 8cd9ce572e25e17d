"""A linear transform of the scene as the initial alignment."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer

from LightRegistrationLib.core.geometry.geometry import homogeneous
from LightRegistrationLib.scene.nodes.matrices import vtk_matrix
from LightRegistrationLib.scene.nodes.transforms import affine_from_transform_node, read_result_details

TURN = homogeneous(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([40.0, 0, 10]))
"""What a user would have made to move the moving volume onto the fixed one."""


def add_linear(name: str, matrix):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(vtk_matrix(matrix))
    return node


def choose_transform(opened, node) -> None:
    box = opened.ui.initialBox
    box.setCurrentIndex(box.count - 1)
    opened.ui.initialTransformSelector.setCurrentNode(node)


def test_a_registration_starts_from_the_transform_and_names_it(opened):
    """The moving volume lies a quarter turn away; with the transform it is brought back."""
    away = add_linear("away", np.linalg.inv(TURN))
    for node in (opened.moving, opened.moving_segmentation):
        node.SetAndObserveTransformNodeID(away.GetID())
    assert not opened.ui.initialTransformSelector.enabled
    choose_transform(opened, add_linear("made by hand", TURN))
    assert opened.ui.initialTransformSelector.enabled
    nodes = opened.registered()
    report = json.loads(opened.panel.logic.getParameterNode().report)
    assert (report["settings"]["initial"], report["settings"]["initial_transform"]) == ("transform", "made by hand")
    np.testing.assert_allclose(report["initial_matrix_fixed_to_moving_ras_mm"], np.linalg.inv(TURN), atol=1e-6)
    assert report["mean"]["after"]["dice"] > report["mean"]["before"]["dice"] + 0.3
    assert "Initial alignment: made by hand." in opened.ui.summaryLabel.text
    assert read_result_details(nodes.transform)["settings.initial_transform"] == "made by hand"


def test_what_is_wrong_with_the_transform_is_one_line(opened):
    opened.choose(segmentations=False)
    choose_transform(opened, None)
    assert opened.status == "Choose the transform of the initial alignment, or another initial alignment."
    assert not opened.ui.registerButton.enabled
    linear = add_linear("mine", TURN)
    choose_transform(opened, linear)
    assert opened.ui.registerButton.enabled
    opened.moving.SetAndObserveTransformNodeID(linear.GetID())
    opened.panel.refresh()
    assert opened.status.startswith("moving is already under mine: choose")
    opened.moving.SetAndObserveTransformNodeID(None)
    opened.panel.logic.getParameterNode().outputTransform = linear
    assert "An output is also an input" in opened.status
    opened.panel.logic.getParameterNode().outputTransform = None
    bent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "bent")
    choose_transform(opened, bent)
    assert opened.status == "bent is not linear: an initial alignment must be rigid or affine."
    slicer.mrmlScene.RemoveNode(bent)
    assert opened.ui.initialTransformSelector.currentNode() is None
    assert opened.status.startswith("Choose the transform")
    opened.ui.initialBox.setCurrentIndex(0)
    assert opened.ui.registerButton.enabled
    opened.host.raise_slot_errors()


def test_parents_of_the_transform_belong_to_it(slicer_host):
    parent, child = add_linear("parent", TURN), add_linear("child", np.diag([1.0, 2.0, 1.0, 1.0]))
    child.SetAndObserveTransformNodeID(parent.GetID())
    found = affine_from_transform_node(child, "both")
    assert found.name == "both"
    assert found.matrix == pytest.approx(np.linalg.inv(TURN @ np.diag([1.0, 2.0, 1.0, 1.0])), abs=1e-9)
