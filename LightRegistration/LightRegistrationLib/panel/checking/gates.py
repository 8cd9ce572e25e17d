"""The measured values of a result beside their tolerances, in the tab of the verdict: never a verdict alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import qt

from ...core.errors import InputError
from ...core.review.tolerances import ToleranceCheck, Tolerances, check_tolerances
from ..translation import translate
from ..views.view_content import parse_report
from .landmarks import measure_landmarks
from .result_table import ROW_PIXELS
from .tolerances import read_tolerances

_OUTSIDE_COLOR = "#c0392b"
_SHORT_MEASURES = {
    "Jacobian determinant": "Jacobian",
    "Mean distance to agreement, largest of all structures": "Mean distance",
    "Target registration error (landmarks)": "TRE",
    "Consistency with the opposite direction": "Consistency",
}
"""What the first column has; the tool tips of all cells have the whole text."""
_PARTS_AFTER = re.compile(r"[,;(]| on average| everywhere")
"""Where the text of a tolerance, and of a source, is cut in the cells."""


class GateTable:
    """The table of the tolerances, and the line below it."""

    def __init__(self, ui: Any) -> None:
        self._table, self._label = ui.gatesTable, ui.gatesLabel
        self._shown: list[ToleranceCheck] | None = None
        self._table.verticalHeader().setVisible(False)
        self._table.verticalHeader().setDefaultSectionSize(ROW_PIXELS)

    def show(self, parameters: Any) -> None:
        """Show the result of a parameter node; one line in place of the table if the tolerances are not known."""
        try:
            tolerances = read_tolerances()
            _check_report(parse_report(parameters.report))
        except InputError as error:
            self._table.setVisible(False)
            self._label.setText(str(error))
            return
        self._table.setVisible(True)
        self._label.setText(_describe_tolerances(tolerances))
        checks = list_gates(parameters, tolerances)
        if checks != self._shown:  # otherwise the selected row would be lost
            self._shown = checks
            _fill(self._table, checks)


def _check_report(report: Mapping[str, Any]) -> None:
    """Raise InputError for numbers without voxel sizes, from which the tolerances of distances follow."""
    if not all(report.get(role, {}).get("spacing_mm") for role in ("fixed", "moving")):
        line = translate(
            "LightRegistration",
            "The numbers of this result lack the voxel sizes; register again to see them beside the tolerances.",
        )
        raise InputError(line)


def list_gates(parameters: Any, tolerances: Tolerances) -> list[ToleranceCheck]:
    """Return the checks of the latest result; landmarks that do not correspond are not measured."""
    report = dict(parse_report(parameters.report))
    try:
        landmarks = measure_landmarks(parameters)
    except InputError:  # the tab of the landmarks says what is wrong
        landmarks = None
    if landmarks is not None:
        report["landmarks"] = landmarks
    return check_tolerances(report, tolerances)  # type: ignore[arg-type]


def _describe_tolerances(tolerances: Tolerances) -> str:
    changes = "; ".join(tolerances.list_changes())
    note = translate("LightRegistration", "A value within its tolerance does not prove the alignment elsewhere.")
    if not changes:
        return note
    line = translate("LightRegistration", "Tolerances of this site differ from the default: {changes}.")
    return f"{line.format(changes=changes)} {note}"


def _fill(table: Any, checks: Sequence[ToleranceCheck]) -> None:
    table.setRowCount(len(checks))
    table.setColumnCount(4)
    table.setHorizontalHeaderLabels(
        [
            translate("LightRegistration", "Measure"),
            translate("LightRegistration", "Value"),
            translate("LightRegistration", "Tolerance"),
            translate("LightRegistration", "Source"),
        ]
    )
    for row, check in enumerate(checks):
        texts = (check.measure, _write_value(check), check.tolerance, check.source)
        short = (_SHORT_MEASURES.get(check.measure, _cut(check.measure)), texts[1], *map(_cut, texts[2:]))
        for column, (text, shown) in enumerate(zip(texts, short, strict=True)):
            item = qt.QTableWidgetItem(shown)
            item.setToolTip(text)
            if column == 1 and check.is_within is False:
                font = item.font()
                font.setBold(True)
                item.setFont(font)
                item.setForeground(qt.QBrush(qt.QColor(_OUTSIDE_COLOR)))
            table.setItem(row, column, item)
    for column in (0, 2, 3):
        table.resizeColumnToContents(column)
    table.horizontalHeader().setSectionResizeMode(1, qt.QHeaderView.Stretch)


def _cut(text: str) -> str:
    return _PARTS_AFTER.split(text)[0].strip()


def _write_value(check: ToleranceCheck) -> str:
    if check.is_within is not False:
        return check.value
    return translate("LightRegistration", "Outside: {value}").format(value=check.value)
