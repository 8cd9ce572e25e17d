"""The numbers of a registration (report.json) in the panel: a table of structures, and a text below it."""

from __future__ import annotations

import re
from typing import Any

import qt

from ...core.result.result import ChangeKind, RefinementEnd
from ..translation import translate

_COLUMNS = (
    ("before", "dice"),
    ("after", "dice"),
    ("after", "mean_distance_mm"),
    ("after", "hd95_mm"),
    ("after", "volume_change_percent"),
)
_FORMATS = {"dice": "{:.3f}", "mean_distance_mm": "{:.1f}", "hd95_mm": "{:.1f}", "volume_change_percent": "{:+.1f} %"}


SLICE_ROWS = 40
"""Rows that are filled at once. Chosen, so that it takes a few ten milliseconds."""
ROW_PIXELS = 22
"""Height of a row. Chosen, so that the panel fits on a small screen."""


class StructureTable:
    """The table of structures, the mean first. A click on the header of a column sorts it.

    First ascending, then descending, then in the order of the report. Undefined numbers come last.
    """

    def __init__(self, table: Any) -> None:
        self._table = table
        self._report: dict[str, Any] | None = None
        self._column: int | None = None
        self._is_descending = False
        self._rows: list[int] = []
        self._filled = 0
        self._timer = qt.QTimer()
        self._timer.connect("timeout()", self._fill_more)
        table.verticalHeader().setVisible(False)
        table.verticalHeader().setDefaultSectionSize(ROW_PIXELS)
        header = table.horizontalHeader()
        header.setSectionsClickable(True)
        header.connect("sectionClicked(int)", self._on_header)

    def show(self, report: dict[str, Any] | None) -> None:
        """Fill the table with the structures of a report; hide it without structures."""
        self._report = report
        self._timer.stop()
        structures = (report or {}).get("structures")
        table = self._table
        table.setVisible(bool(structures))
        table.setRowCount(0)
        table.setColumnCount(1 + len(_COLUMNS))
        table.setHorizontalHeaderLabels(
            [
                translate("LightRegistration", "Structure"),
                translate("LightRegistration", "Dice\nbefore"),
                translate("LightRegistration", "Dice\nafter"),
                translate("LightRegistration", "Mean\nmm"),
                translate("LightRegistration", "HD95\nmm"),
                translate("LightRegistration", "Volume\nchange"),
            ]
        )
        if report is None or not structures:
            return
        self._rows = self._sort(structures)
        table.setRowCount(1 + len(self._rows))
        _fill_row(table, 0, {"name": translate("LightRegistration", "Mean"), **report["mean"]})
        self._filled = 0
        self._fill_more()
        table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        for column in range(1, 1 + len(_COLUMNS)):
            table.resizeColumnToContents(column)

    def find_structure(self, row: int) -> int | None:
        """Return which structure of the report a row shows; None for the mean."""
        return None if row == 0 else self._rows[row - 1]

    def _fill_more(self) -> None:
        """Fill some more rows, and go on from Qt's event loop: windows respond meanwhile."""
        structures = (self._report or {}).get("structures") or []
        for number in self._rows[self._filled : self._filled + SLICE_ROWS]:
            self._filled += 1
            _fill_row(self._table, self._filled, structures[number])
        if self._filled < len(self._rows):
            self._timer.start(0)
        else:
            self._timer.stop()

    def _sort(self, structures: list[dict[str, Any]]) -> list[int]:
        order = list(range(len(structures)))
        if self._column is None:
            return order
        values = [_read_value(structure, self._column) for structure in structures]
        defined = [number for number in order if values[number] is not None]
        defined.sort(key=lambda number: values[number], reverse=self._is_descending)
        return defined + [number for number in order if values[number] is None]

    def _on_header(self, column: int) -> None:
        if column != self._column:
            self._column, self._is_descending = column, False
        elif not self._is_descending:
            self._is_descending = True
        else:
            self._column = None
        header = self._table.horizontalHeader()
        header.setSortIndicatorShown(self._column is not None)
        header.setSortIndicator(column, qt.Qt.DescendingOrder if self._is_descending else qt.Qt.AscendingOrder)
        self.show(self._report)


def _read_value(row: dict[str, Any], column: int) -> Any:
    if column == 0:
        return row["name"].casefold()
    moment, key = _COLUMNS[column - 1]
    return row[moment].get(key)


def _fill_row(table: Any, row: int, values: dict[str, Any]) -> None:
    numbers = [_format_number(values[moment].get(key), _FORMATS[key]) for moment, key in _COLUMNS]
    for column, text in enumerate((values["name"], *numbers)):
        item = qt.QTableWidgetItem(text)
        if row == 0:
            font = item.font()
            font.setBold(True)
            item.setFont(font)
        if column:
            item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
        else:
            item.setToolTip(text)
        table.setItem(row, column, item)


def _format_number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def format_summary(report: dict[str, Any]) -> str:
    """Return folding, time, model and its reason, refinement, preserved volumes, warnings, and changes in words."""
    seconds = report["seconds"]
    parts = [
        *_describe_jacobian(report["jacobian"]),
        *_describe_displacement(report.get("displacement")),
        *_describe_consistency(report.get("consistency")),
        translate("LightRegistration", "Time: {total} s (network {network} s).").format(
            total=f"{sum(seconds.values()):.1f}", network=f"{seconds.get('network', 0):.1f}"
        ),
        _describe_model(report["model"]),
        *_describe_initial_transform(report.get("settings", {}).get("initial_transform")),
        *_describe_refinement(report.get("refinement")),
        *(_describe_preserved_volume(structure) for structure in report.get("kept", [])),
    ]
    return "\n".join([" ".join([*parts, *report["warnings"]]), *_describe_changes(report.get("follow_up"))])


def _describe_jacobian(jacobian: dict[str, Any]) -> list[str]:
    folding = translate("LightRegistration", "Folding: {percent} % of the volume.")
    lines = [folding.format(percent=f"{jacobian['percent_nonpositive']:.3g}")]
    low, high = jacobian.get("percentile_1"), jacobian.get("percentile_99")
    if low is not None and high is not None:  # scenes of earlier versions have none
        line = translate("LightRegistration", "Jacobian determinant {low} to {high} (1st to 99th percentile).")
        lines.append(line.format(low=f"{low:.2f}", high=f"{high:.2f}"))
    return lines


def _describe_displacement(lengths: dict[str, Any] | None) -> list[str]:
    """Describe the lengths of the displacements; scenes of earlier versions have none."""
    if lengths is None:
        return []
    line = translate(
        "LightRegistration",
        "Displacement beyond the initial alignment: median {median} mm, 95 % below {high} mm, largest {largest} mm.",
    )
    return [_format_lengths(line, lengths, "median_mm")]


def _describe_consistency(lengths: dict[str, Any] | None) -> list[str]:
    """Describe the agreement with the opposite direction, if it was measured."""
    if lengths is None:
        return []
    line = translate(
        "LightRegistration",
        "Consistency with the opposite direction: mean {mean} mm, 95 % below {high} mm, largest {largest} mm.",
    )
    return [_format_lengths(line, lengths, "mean_mm")]


def _format_lengths(line: str, lengths: dict[str, float], middle: str) -> str:
    return line.format(
        **{middle.removesuffix("_mm"): f"{lengths[middle]:.1f}"},
        high=f"{lengths['percentile_95_mm']:.1f}",
        largest=f"{lengths['maximum_mm']:.1f}",
    )


def make_change_labels() -> dict[ChangeKind, str]:
    """Return for each way in which a place changes between two scans the translated words for it."""
    return {
        ChangeKind.BRIGHTER: translate("LightRegistration", "without counterpart, brighter in the moving volume"),
        ChangeKind.DARKER: translate("LightRegistration", "without counterpart, darker in the moving volume"),
        ChangeKind.LARGER: translate("LightRegistration", "more volume in the moving volume"),
        ChangeKind.SMALLER: translate("LightRegistration", "less volume in the moving volume"),
    }


def _describe_changes(follow_up: dict[str, Any] | None) -> list[str]:
    """Describe what changed between two scans of one person; scenes of earlier versions have no such part."""
    if follow_up is None:
        return []
    note = translate(
        "LightRegistration",
        "Follow-up: what changed between the two scans is kept, not erased. The list is no diagnosis: noise, motion "
        "and artifacts can be in it, and faint or small changes can be missing.",
    )
    if not follow_up["changes"]:
        return [note, translate("LightRegistration", "No changes were found.")]
    line = translate("LightRegistration", "{volume} mm³ at R {right}, A {anterior}, S {superior} mm: {change}.")
    labels = make_change_labels()
    return [
        note,
        *(
            line.format(
                volume=f"{change['volume_mm3']:.0f}",
                change=labels[ChangeKind(change["kind"])],
                **{
                    name: f"{value:.1f}"
                    for name, value in zip(("right", "anterior", "superior"), change["position_ras_mm"], strict=True)
                },
            )
            for change in follow_up["changes"]
        ),
    ]


def make_refinement_end_labels() -> dict[RefinementEnd, str]:
    """Return for each way in which a refinement ends the translated words for it."""
    return {
        RefinementEnd.NO_GAIN: translate("LightRegistration", "until the match stopped improving"),
        RefinementEnd.ALL_STEPS: translate("LightRegistration", "all planned steps"),
    }


def _describe_initial_transform(name: str | None) -> list[str]:
    if not name:
        return []
    return [translate("LightRegistration", "Initial alignment: {name}.").format(name=name)]


def _describe_refinement(refinement: dict[str, Any] | None) -> list[str]:
    if not refinement:
        return []
    line = translate(
        "LightRegistration", "Refinement: {steps} steps, {reason}; similarity {before} before, {after} after."
    )
    return [
        line.format(
            steps=refinement["steps"],
            reason=make_refinement_end_labels()[RefinementEnd(refinement["ended"])],
            before=_format_number(refinement["similarity_before"], "{:.3f}"),
            after=_format_number(refinement["similarity_after"], "{:.3f}"),
        )
    ]


def _describe_preserved_volume(structure: dict[str, Any]) -> str:
    line = translate("LightRegistration", "Volume of {name}: {change} (without volume preservation {free}).")
    return line.format(
        name=structure["name"],
        change=_format_number(structure["change_percent"], "{:+.1f} %"),
        free=_format_number(structure["change_percent_free"], "{:+.1f} %"),
    )


def _describe_model(model: dict[str, Any]) -> str:
    reason = remove_numbers(model.get("reason") or "")  # scenes of earlier versions have none
    if not reason:
        return translate("LightRegistration", "Model: {model}.").format(model=model["name"])
    return translate("LightRegistration", "Model: {model}, {reason}.").format(model=model["name"], reason=reason)


def remove_numbers(reason: str) -> str:
    """Return the reason for a model without the measured numbers, which are in parentheses."""
    return re.sub(r" \([^()]*\d[^()]*\)", "", reason)


def format_completion(report: dict[str, Any]) -> str:
    """Return one line for the end of a successful registration."""
    seconds = f"{sum(report['seconds'].values()):.1f}"
    if not report["mean"]:
        return translate("LightRegistration", "Done in {seconds} s.").format(seconds=seconds)
    line = translate("LightRegistration", "Done in {seconds} s: mean Dice {before} before, {after} after.")
    return line.format(
        seconds=seconds,
        before=_format_number(report["mean"]["before"]["dice"], "{:.3f}"),
        after=_format_number(report["mean"]["after"]["dice"], "{:.3f}"),
    )
