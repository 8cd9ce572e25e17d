"""The numbers of a registration (report.json) in the panel: a table of structures, and a text below it."""

from __future__ import annotations

from typing import Any

import qt

from ..core.result.result import ChangeKind, RefinementEnd
from .translation import translate


def fill_result_table(table: Any, report: dict[str, Any] | None) -> None:
    """Fill the table with Dice before and after and the volume change, the mean first; hide it without structures."""
    structures = (report or {}).get("structures")
    table.setVisible(bool(structures))
    table.setRowCount(0)
    table.setColumnCount(4)
    table.setHorizontalHeaderLabels(
        [
            translate("LightRegistration", "Structure"),
            translate("LightRegistration", "Dice\nbefore"),
            translate("LightRegistration", "Dice\nafter"),
            translate("LightRegistration", "Volume\nchange"),
        ]
    )
    table.verticalHeader().setVisible(False)
    if not structures:
        return
    rows = [{"name": translate("LightRegistration", "Mean"), **report["mean"]}, *structures]
    table.setRowCount(len(rows))
    for index, row in enumerate(rows):
        _fill_row(table, index, row)
    header = table.horizontalHeader()
    header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
    for column in (1, 2, 3):
        header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)


def _fill_row(table: Any, index: int, row: dict[str, Any]) -> None:
    before, after = row["before"], row["after"]
    texts = (
        row["name"],
        _format_number(before["dice"], "{:.3f}"),
        _format_number(after["dice"], "{:.3f}"),
        _format_number(after["volume_change_percent"], "{:+.1f} %"),
    )
    for column, text in enumerate(texts):
        item = qt.QTableWidgetItem(text)
        if index == 0:
            font = item.font()
            font.setBold(True)
            item.setFont(font)
        if column:
            item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
        table.setItem(index, column, item)


def _format_number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def format_summary(report: dict[str, Any]) -> str:
    """Return folding, time, model and its reason, refinement, preserved volumes, warnings, and changes in words."""
    folding = report["jacobian"]["percent_nonpositive"]
    seconds = report["seconds"]
    parts = [
        translate("LightRegistration", "Folding: {percent} % of the volume.").format(percent=f"{folding:.3g}"),
        translate("LightRegistration", "Time: {total} s (network {network} s).").format(
            total=f"{sum(seconds.values()):.1f}", network=f"{seconds.get('network', 0):.1f}"
        ),
        _describe_model(report["model"]),
        *_describe_initial_transform(report.get("settings", {}).get("initial_transform")),
        *_describe_refinement(report.get("refinement")),
        *(_describe_preserved_volume(structure) for structure in report.get("kept", [])),
    ]
    return "\n".join([" ".join([*parts, *report["warnings"]]), *_describe_changes(report.get("follow_up"))])


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
    reason = model.get("reason")  # scenes of earlier versions have none
    if not reason:
        return translate("LightRegistration", "Model: {model}.").format(model=model["name"])
    return translate("LightRegistration", "Model: {model}, {reason}.").format(model=model["name"], reason=reason)


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
