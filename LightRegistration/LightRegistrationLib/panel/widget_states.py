"""The states of the panel's widgets: input missing, ready, running, ended."""

from __future__ import annotations

from typing import Any

from ..core.result.progress import ProgressUpdate, Stage
from .result_table import fill_result_table, format_summary
from .stage_labels import format_progress
from .translation import translate

_INPUT_SECTIONS = ("inputsSection", "outputsSection", "advancedSection")


class PanelWidgets:
    """The widgets of LightRegistration.ui; only this class changes their state."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._report: dict[str, Any] | None = {}
        self.show_result(None)

    def show_ready(self, problem: str | None) -> None:
        """Show what is missing, or that a registration can start."""
        self._set_running(False)
        self._ui.registerButton.setEnabled(problem is None)
        ready_tip = translate("LightRegistration", "Deform the moving volume so that it matches the fixed volume.")
        self._ui.registerButton.setToolTip(problem or ready_tip)
        self._set_status(problem or translate("LightRegistration", "Ready."))

    def show_starting(self) -> None:
        """Show that a registration is about to start; it cannot be canceled yet."""
        self._set_running(True)
        self._ui.registerButton.setEnabled(False)
        self._ui.progressBar.setValue(0)
        self._set_status(format_progress(ProgressUpdate(0.0, Stage.STARTING)))

    def show_progress(self, update: ProgressUpdate) -> None:
        """Show the progress of a registration."""
        self._set_running(True)
        self._ui.registerButton.setEnabled(True)
        self._ui.registerButton.setToolTip(translate("LightRegistration", "Stop at once. No data is changed."))
        self._ui.progressBar.setValue(int(100 * update.fraction))
        self._set_status(format_progress(update))

    def show_outcome(self, line: str, is_error: bool) -> None:
        """Show how a registration ended."""
        self._set_running(False)
        self._set_status(line, is_error)

    def show_result(self, report: dict[str, Any] | None) -> None:
        """Show the numbers of a result; for None, hide the section."""
        if report == self._report:
            return
        self._report = report
        self._ui.resultSection.setVisible(report is not None)
        fill_result_table(self._ui.resultTable, report)
        self._ui.summaryLabel.setText("" if report is None else format_summary(report))
        has_structures = bool((report or {}).get("structures"))
        self._ui.matchBox.setEnabled(has_structures)
        self._ui.matchBox.setToolTip(
            translate("LightRegistration", "White where fixed and moving structures agree, red where they differ.")
            if has_structures
            else translate(
                "LightRegistration", "Not available: choose a fixed and a moving segmentation before registration."
            )
        )

    def select_before_or_after(self, after: bool) -> None:
        """Select After or Before."""
        (self._ui.afterButton if after else self._ui.beforeButton).setChecked(True)

    def _set_running(self, is_running: bool) -> None:
        for name in _INPUT_SECTIONS:
            getattr(self._ui, name).setEnabled(not is_running)
        self._ui.progressBar.setVisible(is_running)
        self._ui.registerButton.setText(
            translate("LightRegistration", "Cancel") if is_running else translate("LightRegistration", "Register")
        )

    def _set_status(self, line: str, is_error: bool = False) -> None:
        self._ui.statusLabel.setText(line)
        self._ui.statusLabel.setStyleSheet("color: #c0392b; font-weight: bold;" if is_error else "")
