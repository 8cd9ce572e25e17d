"""The panel's widgets show a state of the panel."""

from __future__ import annotations

from typing import Any

from .checking.place_check import PlaceRow, PlaceStep, fill_places_table, make_step_texts
from .checking.result_table import StructureTable, format_summary
from .state import PanelState, ResultState
from .translation import translate
from .views.view_content import Overlay, Picture

_INPUT_SECTIONS = ("inputsSection", "optionsSection", "advancedSection")
PICTURE_BUTTONS = {
    Picture.FIXED: "fixedButton",
    Picture.BEFORE: "beforeButton",
    Picture.AFTER: "afterButton",
}
OVERLAY_BUTTONS = {
    Overlay.NONE: "noOverlayButton",
    Overlay.OUTLINES: "outlinesButton",
    Overlay.MATCH: "matchButton",
    Overlay.DISPLACEMENT: "displacementButton",
    Overlay.JACOBIAN: "jacobianButton",
}
"""The radio buttons of the switches."""


_ERROR_STYLE = "color: #c0392b; font-weight: bold;"


class PanelWidgets:
    """The widgets of LightRegistration.ui; only this class changes their state. structures: the table of numbers."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self.structures = StructureTable(ui.resultTable)
        self._reserve_width()
        self._report: dict[str, Any] | None = {}
        self._places: tuple[PlaceRow, ...] | None = None

    def _reserve_width(self) -> None:
        """Make the panel as wide as with a result: otherwise it would grow with the first one, and all views shrink."""
        ui = self._ui
        ui.showButton.setText(_not_shown_text())
        ui.registerButton.setMinimumWidth(ui.resultSection.sizeHint.width())

    def show(self, state: PanelState) -> None:
        """Show a state of the panel; what was shown before makes no difference."""
        ui = self._ui
        if not state.can_choose and ui.inputsSection.enabled:
            # Otherwise the focus would leave a widget that is disabled, and the panel would scroll to the next one.
            ui.registerButton.setFocus()
        ui.registerButton.setText(state.button_text)
        ui.registerButton.setEnabled(state.button_enabled)
        ui.registerButton.setToolTip(state.button_tip)
        for name in _INPUT_SECTIONS:
            getattr(ui, name).setEnabled(state.can_choose)
        ui.initialTransformSelector.setEnabled(state.can_choose_transform)
        ui.progressBar.setVisible(state.progress_percent is not None)
        if state.progress_percent is not None:
            ui.progressBar.setValue(state.progress_percent)
        ui.statusLabel.setText(state.status)
        ui.statusLabel.setStyleSheet(_ERROR_STYLE if state.status_is_error else "")
        self._show_numbers(None if state.result is None else state.result.report)
        if state.result is not None:
            self._show_result(state.result)
            self._show_places(state.result, state.place_step)

    def _show_numbers(self, report: dict[str, Any] | None) -> None:
        if report is self._report:
            return
        self._report = report
        self._ui.resultSection.setVisible(report is not None)
        self.structures.show(report)
        self._ui.summaryLabel.setToolTip("" if report is None else report["model"].get("reason", ""))
        self._ui.summaryLabel.setText("" if report is None else format_summary(report))

    def _show_result(self, result: ResultState) -> None:
        ui, has_structures = self._ui, bool(result.report.get("structures"))
        ui.resultSection.text = (
            translate("LightRegistration", "Result of an earlier registration")
            if result.is_old
            else translate("LightRegistration", "Result")
        )
        self._show_switches(result)
        ui.landmarksLabel.setText(result.landmarks)
        ui.landmarksLabel.setStyleSheet(_ERROR_STYLE if result.landmarks_are_wrong else "")
        ui.saveReportButton.setEnabled(result.can_show)
        for tab in (ui.carryTab, ui.verdictTab):
            tab.setEnabled(result.can_show)
        for button in (ui.tableButton, ui.csvButton, ui.copyButton):
            button.setEnabled(result.can_show and (has_structures or result.has_landmarks))
        ui.showButton.setEnabled(result.can_show and not result.is_shown)
        ui.showButton.setText(translate("LightRegistration", "Shown") if result.is_shown else _not_shown_text())

    def _show_switches(self, result: ResultState) -> None:
        ui = self._ui
        getattr(ui, PICTURE_BUTTONS[result.content.picture]).setChecked(True)
        getattr(ui, OVERLAY_BUTTONS[result.content.overlay]).setChecked(True)
        for button in PICTURE_BUTTONS.values():
            getattr(ui, button).setEnabled(result.can_show)
        for overlay, button in OVERLAY_BUTTONS.items():
            getattr(ui, button).setEnabled(result.can_show and overlay in result.overlays)
        ui.gridBox.setEnabled(result.can_show)
        ui.gridKindBox.setEnabled(result.can_show and result.content.grid)
        ui.comparisonBox.setEnabled(result.can_show and result.content.picture != Picture.FIXED)
        ui.fadeSlider.setEnabled(result.fade_percent is not None)
        if result.fade_percent is not None:
            blocked = ui.fadeSlider.blockSignals(True)
            ui.fadeSlider.setValue(result.fade_percent)
            ui.fadeSlider.blockSignals(blocked)
        ui.matchButton.setToolTip(
            translate("LightRegistration", "White where fixed and moving structures agree, red where they differ.")
            if Overlay.MATCH in result.overlays
            else translate(
                "LightRegistration", "Not available: choose a fixed and a moving segmentation before registration."
            )
        )

    def _show_places(self, result: ResultState, step: PlaceStep) -> None:
        ui, is_idle = self._ui, step == PlaceStep.IDLE
        ui.placeLabel.setText(make_step_texts()[step])
        ui.placeLabel.setStyleSheet("" if is_idle else "font-weight: bold;")
        ui.checkPlaceButton.setText(
            translate("LightRegistration", "Check a place") if is_idle else translate("LightRegistration", "Stop")
        )
        ui.checkPlaceButton.setEnabled(result.can_show)
        ui.removePlaceButton.setEnabled(bool(result.places))
        if result.places != self._places:  # otherwise the selected row would be lost
            self._places = result.places
            fill_places_table(ui.placesTable, result.places)


def _not_shown_text() -> str:
    return translate("LightRegistration", "Not shown: show")
