"""The tab that carries other nodes of the two scans along with a result, under its transform or as hardened copies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer.util

from ...core.errors import InputError
from ...scene.nodes.carrying import (
    Scan,
    add_hardened_copy,
    carry_node,
    choose_node,
    is_carried,
    list_carriable_nodes,
    list_chosen_nodes,
    release_node,
)
from ...scene.nodes.results import RegistrationNodes
from ..choices import ChoiceBox
from ..translation import translate


class CarryForm:
    """The widgets of the tab. refresh: shows the state of the panel anew, after a change of the scene."""

    def __init__(self, ui: Any, refresh: Callable[[], None]) -> None:
        self._ui = ui
        self._refresh = refresh
        self._scan = Scan.MOVING
        self._result: RegistrationNodes | None = None
        self._nodes: list[Any] = []
        self._rows: list[tuple[str, bool]] = []
        self._box = ChoiceBox(ui.carryScanBox, list_scan_items(), self._on_scan)
        ui.carryList.connect("itemChanged(QListWidgetItem*)", self._on_checked)
        ui.carrySwitch.connect("clicked()", self._on_switch)
        ui.carryCopyButton.connect("clicked()", self._on_copy)

    def show(self, result: RegistrationNodes | None) -> None:
        """Show the nodes that can be carried along with a result, None for no result."""
        self._result = result
        chosen = [] if result is None else list_chosen_nodes(result.transform, self._scan)
        self._nodes = [] if result is None else list_carriable_nodes(result, self._scan)
        self._show_rows([(node.GetName() or "", node in chosen) for node in self._nodes])
        carried = [node for node in chosen if result is not None and is_carried(result.transform, node)]
        ui = self._ui
        ui.carryLabel.setText(
            translate("LightRegistration", "Nothing else is in the scene that could be carried along.")
            if not self._nodes
            else make_scan_texts()[self._scan]
        )
        ui.carrySwitch.setChecked(bool(chosen) and len(carried) == len(chosen))
        ui.carrySwitch.setEnabled(bool(chosen))
        ui.carryCopyButton.setEnabled(bool(chosen))

    def _show_rows(self, rows: list[tuple[str, bool]]) -> None:
        box = self._ui.carryList
        blocked = box.blockSignals(True)
        if [name for name, _ in rows] != [name for name, _ in self._rows]:
            box.clear()
            for name, _is_checked in rows:
                box.addItem(name)
        for number, (_name, is_checked) in enumerate(rows):
            box.item(number).setCheckState(qt.Qt.Checked if is_checked else qt.Qt.Unchecked)
        self._rows = rows
        box.blockSignals(blocked)

    def _on_scan(self, value: str) -> None:
        if value != self._scan:
            self._scan = Scan(value)
            self._refresh()

    def _on_checked(self, _item: Any) -> None:
        is_on = self._ui.carrySwitch.checked
        for number, node in enumerate(self._nodes):
            is_checked = self._ui.carryList.item(number).checkState() == qt.Qt.Checked
            if is_checked != self._rows[number][1]:
                self._change(lambda n=node, c=is_checked: self._choose(n, c, is_on))  # type: ignore[misc]
                return

    def _choose(self, node: Any, is_chosen: bool, is_on: bool) -> None:
        assert self._result is not None
        if is_chosen and is_on:
            carry_node(self._result.transform, node, self._scan)
        choose_node(self._result.transform, node, self._scan, is_chosen)

    def _on_switch(self) -> None:
        self._change(lambda: self._carry_all(self._ui.carrySwitch.checked))

    def _carry_all(self, on: bool) -> None:
        assert self._result is not None
        for node in list_chosen_nodes(self._result.transform, self._scan):
            if on:
                carry_node(self._result.transform, node, self._scan)
            else:
                release_node(self._result.transform, node)

    def _on_copy(self) -> None:
        qt.QApplication.setOverrideCursor(qt.Qt.WaitCursor)
        try:
            self._change(self._add_copies)
        finally:
            qt.QApplication.restoreOverrideCursor()

    def _add_copies(self) -> None:
        assert self._result is not None
        chosen = list_chosen_nodes(self._result.transform, self._scan)
        names = [add_hardened_copy(self._result, node, self._scan).GetName() for node in chosen]
        line = translate("LightRegistration", "Added {names}.").format(names=", ".join(names))
        slicer.util.showStatusMessage(line, 5000)

    def _change(self, change: Callable[[], None]) -> None:
        """Change the scene; what is wrong with a node is told in the status bar."""
        try:
            change()
        except InputError as error:
            slicer.util.showStatusMessage(str(error), 8000)
        self._refresh()


def list_scan_items() -> list[tuple[str, str]]:
    """Return the two scans and what happens to their nodes."""
    return [
        (Scan.MOVING, translate("LightRegistration", "Moving scan, onto the fixed one")),
        (Scan.FIXED, translate("LightRegistration", "Fixed scan, onto the moving one")),
    ]


def make_scan_texts() -> dict[Scan, str]:
    """Return what the user reads above the list."""
    return {
        Scan.MOVING: translate(
            "LightRegistration", "Check what else belongs to the moving scan; it is carried to the fixed volume."
        ),
        Scan.FIXED: translate(
            "LightRegistration",
            "Check what else belongs to the fixed scan; it is carried to the moving volume as it was loaded.",
        ),
    }
