"""Blocking dialogs: answered from a queue that the test fills; an unexpected dialog raises an error."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .proxy import blocking_calls, unwrap

_FILE_FUNCTIONS = ("getOpenFileName", "getOpenFileNames", "getSaveFileName", "getExistingDirectory")
_MESSAGE_FUNCTIONS = ("question", "information", "warning", "critical")
_INPUT_FUNCTIONS = ("getText", "getInt", "getDouble", "getItem")


class UnexpectedDialog(AssertionError):
    """A dialog opened that the test did not expect; a real Slicer would wait for the user."""


@dataclass(frozen=True)
class Message:
    """A message to the user: ``level`` is "error", "warning", "info", "question" or "status"."""

    level: str
    text: str


@dataclass(frozen=True)
class Shown:
    """A blocking dialog that was answered: its function and its arguments."""

    function: str
    arguments: tuple


messages: list[Message] = []
shown: list[Shown] = []
_answers: deque[tuple[str, Any]] = deque()


def expect(function: str, answer: Any) -> None:
    """The next blocking dialog must be ``function`` (``"QFileDialog.getOpenFileName"``, ``"QDialog.exec"`` ...).

    ``answer`` is returned to the module; a callable is called with the dialog's arguments and its result returned.
    """
    _answers.append((function, answer))


def answer(function: str, *arguments: Any) -> Any:
    """Return the queued answer for ``function``; raises UnexpectedDialog if another dialog or none is expected."""
    if not _answers or _answers[0][0] != function:
        expected = f"expected {_answers[0][0]}" if _answers else "expected none"
        raise UnexpectedDialog(f"{function}{arguments} would block and wait for the user; the test {expected}")
    result = _answers.popleft()[1]
    shown.append(Shown(function, arguments))
    return result(*arguments) if callable(result) else result


def unanswered() -> list[str]:
    """List the functions that were expected but never called."""
    return [function for function, _ in _answers]


def reset() -> None:
    """Remove all messages, shown dialogs and queued answers."""
    messages.clear()
    shown.clear()
    _answers.clear()


def install() -> None:
    """Answer every blocking Qt dialog function from the queue."""
    for class_name, functions in (
        ("QFileDialog", _FILE_FUNCTIONS),
        ("QMessageBox", _MESSAGE_FUNCTIONS),
        ("QInputDialog", _INPUT_FUNCTIONS),
    ):
        for name in functions:
            blocking_calls[f"{class_name}.{name}"] = _static(f"{class_name}.{name}")
    blocking_calls["QDialog.exec"] = _execute


def _static(function: str) -> Callable:
    def call(_owner: Any, arguments: tuple) -> Any:
        return unwrap(answer(function, *arguments))

    return call


def _execute(dialog: Any, _arguments: tuple) -> Any:
    return unwrap(answer("QDialog.exec", dialog))
