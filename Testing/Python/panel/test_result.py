"""What the panel shows of a result."""

from __future__ import annotations

import json
import re

import vtk
from vtk.util.numpy_support import vtk_to_numpy


def pixels(path):
    """The picture as (height, width, 3)."""
    reader = vtk.vtkPNGReader()
    reader.SetFileName(str(path))
    reader.Update()
    image = reader.GetOutput()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(*image.GetDimensions()[1::-1], -1)[..., :3]


def cell(table, row: int, column: int) -> str:
    return table.item(row, column).text()


def test_the_table_shows_the_numbers_of_the_report(opened):
    opened.registered()
    report = json.loads(opened.panel.logic.getParameterNode().report)
    table = opened.ui.resultTable
    assert table.visible
    assert cell(table, 0, 0) == "Mean"
    assert cell(table, 0, 1) == f"{report['mean']['before']['dice']:.3f}"
    assert cell(table, 0, 2) == f"{report['mean']['after']['dice']:.3f}"
    for row, structure in enumerate(report["structures"], start=1):
        assert cell(table, row, 0) == structure["name"]
        assert cell(table, row, 2) == f"{structure['after']['dice']:.3f}"
    assert "Folding" in opened.ui.summaryLabel.text
    assert report["model"]["name"] in opened.ui.summaryLabel.text


def test_panel_and_transform_name_the_model_and_the_reason(opened):
    from LightRegistrationLib.panel.checking.result_table import format_summary
    from LightRegistrationLib.scene.nodes.transforms import read_result_details

    opened.model = None
    nodes = opened.registered(segmentations=False)
    report = json.loads(opened.panel.logic.getParameterNode().report)
    reason = report["model"]["reason"]
    assert reason.startswith("both volumes look like MRI, brain or whole head in T1")
    summary = opened.ui.summaryLabel
    assert "Model: brain-mri, both volumes look like MRI, brain or whole head in T1." in summary.text
    assert reason in summary.toolTip, "with the measured numbers"
    details = read_result_details(nodes.transform)
    assert (details["model"], details["model_reason"]) == ("brain-mri", reason)
    del report["model"]["reason"]
    assert "Model: brain-mri." in format_summary(report), "a scene of an earlier version"


def test_without_segmentations_there_is_no_table_but_a_result(opened):
    opened.registered(segmentations=False)
    assert opened.ui.resultSection.visible
    assert not opened.ui.resultTable.visible
    assert not opened.ui.matchButton.enabled
    assert opened.status.startswith("Done in")


def test_nothing_is_shown_before_there_is_a_result(opened):
    assert not opened.ui.resultSection.visible


def test_an_undefined_number_is_a_dash(opened):
    empty = {"dice": 0.0, "jaccard": 0.0, "hd95_mm": None, "volume_change_percent": None}
    row = {"name": "Tiny", "before": empty, "after": empty}
    opened.panel.view.structures.show({"structures": [row], "mean": {"before": empty, "after": empty}})
    assert cell(opened.ui.resultTable, 1, 3) == "–"


def make_report(dice: dict[str, float | None]) -> dict:
    """A report with the Dice of structures."""
    empty = {"dice": None, "jaccard": None, "hd95_mm": None, "volume_change_percent": None}
    rows = [
        {"name": name, "value": n, "before": empty, "after": empty | {"dice": value}}
        for n, (name, value) in enumerate(dice.items(), start=1)
    ]
    return {"structures": rows, "mean": {"before": empty, "after": empty}}


def test_a_click_on_a_header_sorts_the_structures(opened):
    """The worst comes first; the mean stays on top, undefined numbers at the end."""
    table, structures = opened.ui.resultTable, opened.panel.view.structures
    structures.show(make_report({"Liver": 0.9, "Aorta": None, "Spleen": 0.10, "Vein": 0.2}))

    def shown() -> list[str]:
        return [cell(table, row, 0) for row in range(table.rowCount)]

    header = table.horizontalHeader()
    for column, expected in (
        (2, ["Mean", "Spleen", "Vein", "Liver", "Aorta"]),
        (2, ["Mean", "Liver", "Vein", "Spleen", "Aorta"]),
        (2, ["Mean", "Liver", "Aorta", "Spleen", "Vein"]),
        (0, ["Mean", "Aorta", "Liver", "Spleen", "Vein"]),
    ):
        header._native.sectionClicked.emit(column)
        opened.host.raise_slot_errors()
        assert shown() == expected
    assert [structures.find_structure(row) for row in range(5)] == [None, 1, 0, 2, 3]


def test_a_long_table_is_filled_in_parts(opened):
    """Windows respond meanwhile; a click on a header sorts all of it."""
    from LightRegistrationLib.panel.checking.result_table import SLICE_ROWS

    table, structures = opened.ui.resultTable, opened.panel.view.structures
    count = 3 * SLICE_ROWS - 5
    structures.show(make_report({f"Structure {n}": 1 - n / count for n in range(count)}))
    assert table.rowCount == count + 1
    assert table.item(SLICE_ROWS, 0) is not None
    assert table.item(count, 0) is None
    opened.host.process_events(until=lambda: table.item(count, 0) is not None)
    assert cell(table, count, 0) == f"Structure {count - 1}"
    table.horizontalHeader()._native.sectionClicked.emit(2)
    assert cell(table, 1, 0) == f"Structure {count - 1}"
    structures.show(make_report({"Liver": 0.9}))
    opened.host.process_events()
    opened.host.raise_slot_errors()
    assert table.rowCount == 2


def test_the_numbers_are_saved_and_copied_for_spreadsheets(shifted, tmp_path):
    import qt

    parameters = shifted.panel.logic.getParameterNode()
    report = json.loads(parameters.report) | make_report({"Liver, left": 0.9125, "Aorta": None})
    parameters.report = json.dumps(report)
    shifted.host.dialogs.expect("QFileDialog.getSaveFileName", str(tmp_path / "numbers"))
    shifted.ui.csvButton.click()
    shifted.host.raise_slot_errors()
    lines = (tmp_path / "numbers.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("Structure,Dice before,Dice after,")
    assert [line.split(",0")[0] for line in lines[1:]] == ['"Liver, left",', "Aorta,,,,,,,,,", "Mean,,,,,,,,,"]
    shifted.ui.copyButton.click()
    shifted.host.raise_slot_errors()
    copied = qt.QApplication.clipboard().text().splitlines()
    assert copied[1].split("\t")[:3] == ["Liver, left", "", "0.9125"]


def test_reopening_the_module_does_not_change_the_views(opened):
    import slicer

    opened.registered()
    composite = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    composite.SetForegroundVolumeID(None)
    opened.host.leave("LightRegistration")
    opened.host.enter("LightRegistration")
    assert composite.GetForegroundVolumeID() is None
    assert opened.ui.resultTable.rowCount > 2


def test_the_result_is_drawn_until_its_transform_is_deleted(opened, tmp_path):
    import slicer

    nodes = opened.registered()
    pictures = {}
    for name in ("outlines", "grid", "match"):
        if name != "outlines":
            (opened.ui.gridBox if name == "grid" else opened.ui.matchButton).click()
        opened.host.render_slice_view("Red", tmp_path / f"{name}.png")
        pictures[name] = pixels(tmp_path / f"{name}.png")
    assert (pictures["outlines"] != pictures["grid"]).any(-1).sum() > 500
    assert (pictures["grid"] != pictures["match"]).any(-1).sum() > 500
    red, green, blue = pictures["match"].T.astype(int)
    assert ((red > 150) & (green < 120) & (blue < 120)).sum() > 100
    assert (pictures["match"].min(-1) > 200).sum() > 100

    slicer.mrmlScene.RemoveNode(nodes.transform)
    opened.host.process_events()
    opened.host.raise_slot_errors()
    assert not opened.ui.resultSection.visible
    opened.host.render_slice_view("Red", tmp_path / "after.png")


def test_the_report_is_saved_as_one_page(opened, tmp_path):
    nodes = opened.registered()
    for role in ("fixed", "moving"):
        points = nodes.transform.GetScene().AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", role)
        points.AddControlPoint(0.0, 10.0, 20.0)
        getattr(opened.ui, f"{role}LandmarksSelector").setCurrentNode(points)
    opened.host.dialogs.expect("QFileDialog.getSaveFileName", str(tmp_path / "liver"))
    opened.ui.saveReportButton.click()
    opened.host.raise_slot_errors()
    page = (tmp_path / "liver.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 27
    assert nodes.fixed.GetName() in page
    error = re.search(r"after: mean (.+ mm), largest", opened.ui.landmarksLabel.text)
    assert f"mean {error.group(1)}, largest {error.group(1)}, of 1" in page
    for structure in json.loads(opened.panel.logic.getParameterNode().report)["structures"]:
        assert structure["name"] in page


def test_a_report_that_cannot_be_saved_is_one_line_and_the_result_stays(opened, tmp_path):
    nodes = opened.registered(segmentations=False)
    opened.host.dialogs.expect("QFileDialog.getSaveFileName", str(tmp_path / "nowhere" / "report.html"))
    opened.ui.saveReportButton.click()
    opened.host.raise_slot_errors()
    assert "report.html cannot be written (No such file or directory); choose another place." in opened.status
    assert opened.panel.logic.getParameterNode().result is nodes.transform
    opened.host.dialogs.expect("QFileDialog.getSaveFileName", "")
    opened.ui.saveReportButton.click()
    opened.host.raise_slot_errors()


def test_the_numbers_become_a_table_of_the_scene(opened):
    nodes = opened.registered()
    opened.ui.tableButton.click()
    opened.host.raise_slot_errors()
    (table,) = nodes.transform.GetScene().GetNodesByClass("vtkMRMLTableNode")
    report = json.loads(opened.panel.logic.getParameterNode().report)
    assert table.GetNumberOfRows() == len(report["structures"]) + 1
    assert table.GetCellText(0, 0) == report["structures"][0]["name"]
    nodes.transform.GetScene().RemoveNode(nodes.warped)
    assert not opened.ui.tableButton.enabled
    assert not opened.ui.saveReportButton.enabled


def test_the_panel_does_not_grow_in_width_when_the_result_appears(opened):
    """Otherwise all views would be drawn anew."""

    def width() -> int:
        layout = opened.ui.resultSection.parent()._native.layout()
        layout.activate()
        return layout.minimumSize().width()

    before = width()
    opened.registered()
    assert opened.ui.resultSection.visible
    assert width() == before


def test_a_second_click_on_a_structure_shows_where_its_outlines_differ_most(shifted):
    """The warped structure has a spike along i; its tip is the worst place."""
    import numpy as np

    from LightRegistrationLib.core.geometry.geometry import apply_affine
    from LightRegistrationLib.core.geometry.volume import Segment, Segmentation
    from LightRegistrationLib.panel.self_test.checks import find_shown_place
    from LightRegistrationLib.scene.nodes.segmentations import segmentation_from_node, set_segmentation

    nodes, table = shifted.nodes, shifted.ui.resultTable
    affine = segmentation_from_node(nodes.fixed_segmentation).affine
    labels = np.zeros((30, 30, 40), np.uint8)
    labels[5:16, 5:16, 5:16] = 1
    spiky = labels.copy()
    spiky[9, 10, 16:26] = 1
    for node, array in ((nodes.fixed_segmentation, labels), (nodes.warped_segmentation, spiky)):
        set_segmentation(node, Segmentation((array,), affine, (Segment("Skull", 1),)))
    center, tip = (apply_affine(affine, np.array(index, float)) for index in ((10, 10, 10), (25, 10, 9)))
    for expected in (center, tip, center, tip):
        table._native.cellClicked.emit(1, 0)
        shifted.host.raise_slot_errors()
        assert np.abs(np.array(find_shown_place()) - expected).max() < 0.1
    length = 10 * np.linalg.norm(affine[:3, 0])
    assert f"Skull: the outlines are farthest apart here, {length:.1f} mm." == shifted.host.messages[-1].text
    table._native.cellClicked.emit(0, 0)
    table._native.cellClicked.emit(1, 0)
    assert np.abs(np.array(find_shown_place()) - center).max() < 0.1
