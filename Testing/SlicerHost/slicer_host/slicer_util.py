"""Recording versions of the functions of slicer.util that open a window; all others are Slicer's own."""

from __future__ import annotations

import logging
from typing import Any

import slicer
import slicer.util

from . import dialogs

_LEVELS = {logging.ERROR: "error", logging.WARNING: "warning", logging.INFO: "info"}


def install() -> None:
    """Replace the message functions of slicer.util by recording ones."""
    slicer.util._messageDisplay = _message_display
    slicer.util.delayDisplay = _delay_display
    slicer.util.showStatusMessage = _show_status_message
    slicer.util.confirmOkCancelDisplay = _confirm("confirmOkCancelDisplay")
    slicer.util.confirmYesNoDisplay = _confirm("confirmYesNoDisplay")
    slicer.util.confirmRetryCloseDisplay = _confirm("confirmRetryCloseDisplay", testing_answer=False)


def _message_display(level: int, text: str, testing_answer: Any, *_args: Any, **_options: Any) -> Any:
    dialogs.messages.append(dialogs.Message(_LEVELS.get(level, "info"), text))
    logging.log(level, text)
    return testing_answer


def _delay_display(message: str, autoCloseMsec: int = 1000, parent: Any = None, **_options: Any) -> None:
    dialogs.messages.append(dialogs.Message("info", message))
    logging.info(message)
    slicer.app.processEvents()


def _show_status_message(message: str, duration: int = 0) -> bool:
    dialogs.messages.append(dialogs.Message("status", message))
    return True


def _confirm(function: str, testing_answer: bool = True) -> Any:
    def confirm(text: str, windowTitle: str | None = None, parent: Any = None, **_options: Any) -> bool:
        dialogs.messages.append(dialogs.Message("question", text))
        # Slicer answers by itself in testing mode, unless the test queued the user's answer.
        if slicer.app.testingEnabled() and function not in dialogs.unanswered()[:1]:
            return testing_answer
        return dialogs.answer(function, text)

    return confirm
