"""Landmarks in the panel: the target registration error follows the points and the transform of the scene."""

from __future__ import annotations

import numpy as np
import slicer

from .conftest import SHIFT_MM
from .test_result import pixels

POINTS_MM = [(0.0, 10.0, 20.0), (-15.0, 5.0, -8.0)]


def point_list(name: str, points):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    for point in points:
        node.AddControlPoint(*point)
    return node


def test_the_error_before_and_after_follows_the_points(shifted):
    ui = shifted.ui
    assert "Choose a point list" in ui.landmarksLabel.text
    fixed = point_list("F", POINTS_MM)
    moving = point_list("M", np.array(POINTS_MM) + SHIFT_MM)
    ui.fixedLandmarksSelector.setCurrentNode(fixed)
    ui.movingLandmarksSelector.setCurrentNode(moving)
    assert "of 2 landmarks" in ui.landmarksLabel.text
    assert "before: mean 5.00 mm, largest 5.00 mm" in ui.landmarksLabel.text
    assert "after: mean 0.00 mm, largest 0.00 mm" in ui.landmarksLabel.text

    moving.SetNthControlPointPosition(1, *(np.array(POINTS_MM[1]) + SHIFT_MM + [0, 0, 6]))
    assert "after: mean 3.00 mm, largest 6.00 mm" in ui.landmarksLabel.text
    before = ui.landmarksLabel.text
    moving.SetAndObserveTransformNodeID(shifted.nodes.transform.GetID())
    shifted.panel.refresh()
    assert ui.landmarksLabel.text == before, "points that are carried along with the result are the same landmarks"
    shifted.host.raise_slot_errors()


def test_lists_that_do_not_correspond_are_one_line(shifted):
    ui = shifted.ui
    fixed, moving = point_list("F", POINTS_MM), point_list("M", POINTS_MM[:1])
    ui.fixedLandmarksSelector.setCurrentNode(fixed)
    ui.movingLandmarksSelector.setCurrentNode(moving)
    assert ui.landmarksLabel.text == "F has 2 points and M has 1: place the same number, in the same order."
    fixed.RemoveNthControlPoint(1)
    assert "of 1 landmarks" in ui.landmarksLabel.text
    ui.movingLandmarksSelector.setCurrentNode(fixed)
    assert "chosen for both volumes" in ui.landmarksLabel.text
    slicer.mrmlScene.RemoveNode(fixed)
    assert ui.fixedLandmarksSelector.currentNode() is None
    assert "Choose a point list" in ui.landmarksLabel.text


def test_errors_are_drawn_as_lines_that_follow_picture_and_points(shifted, tmp_path):
    ui = shifted.ui
    height = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().GetSliceOffset()
    fixed = point_list("F", [(0.0, 0.0, height)])
    moving = point_list("M", [np.array((20.0, 0.0, height)) + SHIFT_MM])
    for node in (fixed, moving, shifted.fixed_segmentation, shifted.moving_segmentation):
        node.SetDisplayVisibility(False)
    ui.noOverlayButton.click()
    ui.fixedLandmarksSelector.setCurrentNode(fixed)
    ui.movingLandmarksSelector.setCurrentNode(moving)

    def count_line_pixels() -> int:
        shifted.host.render_slice_view("Red", tmp_path / "red.png")
        red, green, blue = pixels(tmp_path / "red.png").T.astype(int)
        return int(((red > 200) & (green < 90) & (blue > 150)).sum())

    assert count_line_pixels() == 0
    ui.errorLinesBox.click()
    after = count_line_pixels()
    assert after > 30
    (model,) = slicer.util.getNodes("Landmark errors").values()
    ends = slicer.util.arrayFromModelPoints(model)
    assert np.allclose(ends, [(0, 0, height), (20, 0, height)], atol=0.1)
    ui.beforeButton.click()
    assert np.allclose(slicer.util.arrayFromModelPoints(model)[1], (24, -3, height), atol=0.1)
    moving.SetNthControlPointPosition(0, 10.0, 0.0, height)
    assert np.allclose(slicer.util.arrayFromModelPoints(model)[1], (10, 0, height), atol=0.1)
    assert 0 < count_line_pixels() < after
    assert not model.GetSaveWithScene()
    slicer.mrmlScene.RemoveNode(shifted.nodes.transform)
    assert count_line_pixels() == 0
    assert len(slicer.util.getNodes("Landmark errors*")) == 0
    shifted.host.raise_slot_errors()


def test_the_table_has_the_error_of_the_landmarks_also_without_structures(shifted):
    import json

    ui, parameters = shifted.ui, shifted.panel.logic.getParameterNode()
    report = json.loads(parameters.report) | {"structures": None, "mean": None}
    parameters.report = json.dumps(report)
    assert not ui.tableButton.enabled
    fixed, moving = point_list("F", POINTS_MM), point_list("M", np.array(POINTS_MM) + SHIFT_MM)
    ui.fixedLandmarksSelector.setCurrentNode(fixed)
    ui.movingLandmarksSelector.setCurrentNode(moving)
    assert ui.tableButton.enabled
    ui.tableButton.click()
    shifted.host.raise_slot_errors()
    (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
    assert table.GetCellText(0, 0) == "Landmarks (2)"
    content = table.GetTable()
    errors = [content.GetColumnByName(f"TRE mean {moment} (mm)").GetValue(0) for moment in ("before", "after")]
    np.testing.assert_allclose(errors, [5.0, 0.0], atol=1e-3)
    fixed.RemoveNthControlPoint(1)
    assert not ui.tableButton.enabled
