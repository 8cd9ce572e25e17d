"""Tolerances of a site: kept in Slicer's settings, used and named on the page."""

from __future__ import annotations

import json

import slicer


def save_page(opened, path) -> str:
    opened.host.dialogs.expect("QFileDialog.getSaveFileName", str(path))
    opened.ui.saveReportButton.click()
    opened.host.raise_slot_errors()
    return path.read_text(encoding="utf-8")


def test_tolerances_are_kept_for_the_site_and_stand_on_the_page(shifted, tmp_path):
    from LightRegistrationLib.panel.checking.tolerances import read_tolerances

    ui = shifted.ui
    ui.diceToleranceBox.setValue(0.95)
    ui.distanceToleranceBox.setValue(1.5)
    ui.toleranceSourceEdit.setText("Protocol <7>")
    ui.toleranceSourceEdit._native.textEdited.emit("Protocol <7>")
    shifted.host.raise_slot_errors()
    page = save_page(shifted, tmp_path / "own.html")
    assert "Dice ≥ 0.95 in place of 0.8; distances ≤ 1.5 mm in place of 2 mm" in page
    assert "Protocol &lt;7&gt;" in page
    assert "0.900 (Skull); 1 of 1 below" in page

    ui.diceToleranceBox.blockSignals(True)
    ui.diceToleranceBox.setValue(0.1)
    ui.diceToleranceBox.blockSignals(False)
    shifted.host.leave("LightRegistration")
    shifted.host.enter("LightRegistration")
    assert (ui.diceToleranceBox.value, ui.distanceToleranceBox.value) == (0.95, 1.5)
    assert read_tolerances().source == "Protocol <7>"

    slicer.app.userSettings().setValue("LightRegistration/MinimumDice", "high")
    shifted.host.leave("LightRegistration")
    shifted.host.enter("LightRegistration")
    ui.saveReportButton.click()
    shifted.host.raise_slot_errors()
    assert shifted.status == "high in the settings is no tolerance: press Defaults under Advanced."
    ui.defaultTolerancesButton.click()
    assert (ui.diceToleranceBox.value, ui.distanceToleranceBox.value, ui.toleranceSourceEdit.text) == (0.8, 2.0, "")
    assert read_tolerances().list_changes() == []
    assert not any(key.startswith("LightRegistration/") for key in slicer.app.userSettings().allKeys())


def read_gates(ui) -> list[list[str]]:
    """The tool tips of the table, which have the whole texts."""
    table = ui.gatesTable
    return [[table.item(row, column).toolTip() for column in range(4)] for row in range(table.rowCount)]


def test_the_tab_of_the_verdict_has_each_value_beside_tolerance_and_source(shifted):
    ui = shifted.ui
    rows = {row[0]: row[1:] for row in read_gates(ui)}
    assert len(rows) == 5
    assert all(value and tolerance and "TG-132" in source for value, tolerance, source in rows.values())
    dice, landmarks = "Dice, lowest of all structures", "Target registration error (landmarks)"
    assert rows[dice][0] == "0.900 (Skull); 0 of 1 below"
    assert rows[landmarks][0] == "not measured"

    ui.diceToleranceBox.setValue(0.95)
    parameters = shifted.panel.logic.getParameterNode()
    for name, role, x in (("F", "fixedLandmarks", 0.0), ("M", "movingLandmarks", 9.0)):
        points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
        points.AddControlPoint(x, 0.0, 0.0)
        setattr(parameters, role, points)
    shifted.host.raise_slot_errors()
    rows = {row[0]: row[1:] for row in read_gates(ui)}
    assert rows[dice] == ["Outside: 0.900 (Skull); 1 of 1 below", "≥ 0.95", "set at this site, without a source"]
    assert ui.gatesTable.item(1, 1).text().startswith("Outside: 0.900 (Skull)")
    assert rows[landmarks][0] == "Outside: mean 5.83 mm, largest 5.83 mm, of 1"
    assert ui.gatesLabel.text.startswith("Tolerances of this site differ from the default: Dice ≥ 0.95 in place of 0.8")
    assert "passed" not in str(rows).casefold()
    ui.defaultTolerancesButton.click()
    assert ui.gatesLabel.text == "A value within its tolerance does not prove the alignment elsewhere."


def test_numbers_without_voxel_sizes_are_one_line_in_place_of_the_table(shifted):
    parameters = shifted.panel.logic.getParameterNode()
    report = json.loads(parameters.report)
    parameters.report = json.dumps({key: value for key, value in report.items() if key not in ("fixed", "moving")})
    shifted.host.raise_slot_errors()
    assert shifted.ui.gatesLabel.text.startswith("The numbers of this result lack the voxel sizes")
    assert shifted.ui.gatesTable.isHidden()
    parameters.report = json.dumps(report)
    shifted.host.raise_slot_errors()
    assert not shifted.ui.gatesTable.isHidden()
