"""The tab in which a reader gives the verdict on a result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.report.definition import ReviewReport, Verdict
from ...scene.nodes.review import ReviewField
from ..choices import ChoiceBox
from ..translation import translate


class VerdictForm:
    """The widgets of the tab. store: called with a part of the verdict and its text when the user changes it."""

    def __init__(self, ui: Any, store: Callable[[ReviewField, str], None]) -> None:
        self._ui = ui
        self._store = store
        self._box = ChoiceBox(ui.verdictBox, list_verdict_items(), lambda value: store("verdict", value))
        ui.reviewerEdit.connect("textEdited(QString)", lambda text: store("reviewer", text))
        ui.noteEdit.connect("textChanged()", lambda: store("note", ui.noteEdit.plainText))

    def show(self, review: ReviewReport) -> None:
        """Show a verdict; a text that is there already is not set again, because the cursor would jump."""
        ui = self._ui
        self._box.show(review["verdict"])
        if ui.reviewerEdit.text != review["reviewer"]:
            ui.reviewerEdit.setText(review["reviewer"])
        if ui.noteEdit.plainText != review["note"]:
            blocked = ui.noteEdit.blockSignals(True)
            ui.noteEdit.setPlainText(review["note"])
            ui.noteEdit.blockSignals(blocked)


def list_verdict_items() -> list[tuple[str, str]]:
    """Return the verdicts and their names."""
    return [
        (Verdict.NOT_REVIEWED, translate("LightRegistration", "Not reviewed")),
        (Verdict.ACCEPTED, translate("LightRegistration", "Accepted")),
        (Verdict.ACCEPTED_WITH_LIMITS, translate("LightRegistration", "Accepted with limits")),
        (Verdict.REJECTED, translate("LightRegistration", "Rejected")),
    ]
