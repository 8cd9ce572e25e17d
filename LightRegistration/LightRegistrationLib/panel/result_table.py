"""The numbers of a registration (report.json) in the panel: a table of structures and a line below it."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from ..core.result.result import RefinementEnd


def fill_result_table(table: Any, report: dict[str, Any] | None) -> None:
    """Fill the table with Dice before and after and the volume change, the mean first; hidden without structures."""
    structures = (report or {}).get("structures")
    table.setVisible(bool(structures))
    table.setRowCount(0)
    table.setColumnCount(4)
    table.setHorizontalHeaderLabels([_("Structure"), _("Dice\nbefore"), _("Dice\nafter"), _("Volume\nchange")])
    table.verticalHeader().setVisible(False)
    if not structures:
        return
    rows = [{"name": _("Mean"), **report["mean"]}, *structures]
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
        _number(before["dice"], "{:.3f}"),
        _number(after["dice"], "{:.3f}"),
        _number(after["volume_change_percent"], "{:+.1f} %"),
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


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def format_summary(report: dict[str, Any]) -> str:
    """Folding, time, the model and why it was used, refinement, kept volumes, and warnings in words."""
    folding = report["jacobian"]["percent_nonpositive"]
    seconds = report["seconds"]
    parts = [
        _("Folding: {percent} % of the volume.").format(percent=f"{folding:.3g}"),
        _("Time: {total} s (network {network} s).").format(
            total=f"{sum(seconds.values()):.1f}", network=f"{seconds.get('network', 0):.1f}"
        ),
        _model(report["model"]),
        *_refinement(report.get("refinement")),
        *(_kept(kept) for kept in report.get("kept", [])),
    ]
    return " ".join([*parts, *report["warnings"]])


def refinement_end_labels() -> dict[RefinementEnd, str]:
    """Return the translated reason of every way a refinement ends."""
    return {RefinementEnd.NO_GAIN: _("until it gained no more"), RefinementEnd.ALL_STEPS: _("all of them")}


def _refinement(refinement: dict[str, Any] | None) -> list[str]:
    if not refinement:
        return []
    reasons = refinement_end_labels()
    return [
        _("Refinement: {steps} steps, {reason}; similarity {before} before, {after} after.").format(
            steps=refinement["steps"],
            reason=reasons[RefinementEnd(refinement["ended"])],
            before=_number(refinement["similarity_before"], "{:.3f}"),
            after=_number(refinement["similarity_after"], "{:.3f}"),
        )
    ]


def _kept(kept: dict[str, Any]) -> str:
    return _("Volume of {name}: {change} (without keeping it {free}).").format(
        name=kept["name"],
        change=_number(kept["change_percent"], "{:+.1f} %"),
        free=_number(kept["change_percent_free"], "{:+.1f} %"),
    )


def _model(model: dict[str, Any]) -> str:
    reason = model.get("reason")  # scenes of earlier versions have none
    if not reason:
        return _("Model: {model}.").format(model=model["name"])
    return _("Model: {model}, {reason}.").format(model=model["name"], reason=reason)


def format_completion(report: dict[str, Any]) -> str:
    """One line for the end of a registration."""
    seconds = f"{sum(report['seconds'].values()):.1f}"
    if not report["mean"]:
        return _("Done in {seconds} s.").format(seconds=seconds)
    return _("Done in {seconds} s: mean Dice {before} before, {after} after.").format(
        seconds=seconds,
        before=_number(report["mean"]["before"]["dice"], "{:.3f}"),
        after=_number(report["mean"]["after"]["dice"], "{:.3f}"),
    )
