from __future__ import annotations

import math

from LightRegistrationLib.core.report.build import _describe_overlap
from LightRegistrationLib.core.result.scores import Overlap
from LightRegistrationLib.scene.nodes.report_table import fill_report_table


def structure(name: str, before: Overlap, after: Overlap) -> dict:
    return {"name": name, "before": _describe_overlap(before), "after": _describe_overlap(after)}


def test_the_table_has_the_numbers_of_the_report(scene) -> None:
    before, after = Overlap(0.6, 0.43, 1.5, 4.5, 0.0), Overlap(0.8, 0.67, 0.5, float("nan"), -3.5)
    report = {"structures": [structure("heart", before, after), structure("spine", after, before)]}
    report["mean"] = {"before": _describe_overlap(before), "after": _describe_overlap(after)}
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", "numbers")
    for _ in range(2):
        fill_report_table(node, report)
    assert [node.GetCellText(row, 0) for row in range(node.GetNumberOfRows())] == ["heart", "spine", "Mean"]
    assert node.GetNumberOfColumns() == 10
    table = node.GetTable()
    assert table.GetColumnByName("Dice before").GetValue(0) == 0.6
    assert table.GetColumnByName("Dice after").GetValue(0) == 0.8
    assert math.isnan(table.GetColumnByName("HD95 after (mm)").GetValue(0))
    assert table.GetColumnByName("Volume change (%)").GetValue(0) == -3.5


def test_a_report_without_structures_gives_an_empty_table(scene) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", "numbers")
    fill_report_table(node, {"structures": None, "mean": None})
    assert node.GetNumberOfRows() == 0
    assert node.GetNumberOfColumns() == 10


def test_landmarks_are_a_row_of_their_own(scene) -> None:
    overlap = _describe_overlap(Overlap(0.6, 0.43, 1.5, 4.5, 0.0))
    landmarks = {"count": 12, "before": {"mean_mm": 7.5, "max_mm": 9.0}, "after": {"mean_mm": 1.25, "max_mm": 2.0}}
    report = {"structures": [{"name": "heart", "before": overlap, "after": overlap}], "landmarks": landmarks}
    report["mean"] = {"before": overlap, "after": overlap}
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", "numbers")
    fill_report_table(node, report)
    assert [node.GetCellText(row, 0) for row in range(3)] == ["heart", "Mean", "Landmarks (12)"]
    table = node.GetTable()
    titles = [f"TRE {kind} {moment} (mm)" for kind in ("mean", "largest") for moment in ("before", "after")]
    assert [table.GetColumnByName(title).GetValue(2) for title in titles] == [7.5, 1.25, 9.0, 2.0]
    assert math.isnan(table.GetColumnByName("TRE mean after (mm)").GetValue(0))
    assert math.isnan(table.GetColumnByName("Dice after").GetValue(2))
    fill_report_table(node, {"structures": None, "mean": None, "landmarks": landmarks})
    assert node.GetNumberOfRows() == 1
