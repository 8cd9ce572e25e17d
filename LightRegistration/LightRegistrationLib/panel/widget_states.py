"""What the panel shows in each of its states: what is missing, ready, under way, ended."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from ..core.result.progress import ProgressUpdate, Stage
from .result_table import fill_result_table, format_summary
from .stage_labels import format_progress

_INPUT_SECTIONS = ("inputsSection", "outputsSection", "advancedSection")


class PanelWidgets:
    """The widgets of LightRegistration.ui; nothing else sets their state."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._report: dict[str, Any] | None = {}
        self.show_result(None)

    def show_ready(self, problem: str | None) -> None:
        """Say what is missing, or that a registration can start."""
        self._under_way(False)
        self._ui.registerButton.setEnabled(problem is None)
        self._ui.registerButton.setToolTip(problem or _("Deform the moving volume so that it matches the fixed one."))
        self._say(problem or _("Ready."))

    def show_starting(self) -> None:
        """Say that a registration is about to start; there is nothing to cancel yet."""
        self._under_way(True)
        self._ui.registerButton.setEnabled(False)
        self._ui.progressBar.setValue(0)
        self._say(format_progress(ProgressUpdate(0.0, Stage.STARTING)))

    def show_progress(self, update: ProgressUpdate) -> None:
        """Show the progress of a registration."""
        self._under_way(True)
        self._ui.registerButton.setEnabled(True)
        self._ui.registerButton.setToolTip(_("Stop at once; nothing is changed."))
        self._ui.progressBar.setValue(int(100 * update.fraction))
        self._say(format_progress(update))

    def show_outcome(self, line: str, is_error: bool) -> None:
        """Say how a registration ended."""
        self._under_way(False)
        self._say(line, is_error)

    def show_result(self, report: dict[str, Any] | None) -> None:
        """Show the numbers of a result, or hide the section where there is none."""
        if report == self._report:
            return
        self._report = report
        self._ui.resultSection.setVisible(report is not None)
        fill_result_table(self._ui.resultTable, report)
        self._ui.summaryLabel.setText("" if report is None else format_summary(report))
        has_pairs = bool((report or {}).get("structures"))
        self._ui.matchBox.setEnabled(has_pairs)
        self._ui.matchBox.setToolTip(
            _("White where fixed and moving structures agree, red where they do not.")
            if has_pairs
            else _("Choose a fixed and a moving segmentation before registering to see this.")
        )

    def select_before_or_after(self, after: bool) -> None:
        """Select Before or After."""
        (self._ui.afterButton if after else self._ui.beforeButton).setChecked(True)

    def _under_way(self, under_way: bool) -> None:
        for name in _INPUT_SECTIONS:
            getattr(self._ui, name).setEnabled(not under_way)
        self._ui.progressBar.setVisible(under_way)
        self._ui.registerButton.setText(_("Cancel") if under_way else _("Register"))

    def _say(self, line: str, is_error: bool = False) -> None:
        self._ui.statusLabel.setText(line)
        self._ui.statusLabel.setStyleSheet("color: #c0392b; font-weight: bold;" if is_error else "")
