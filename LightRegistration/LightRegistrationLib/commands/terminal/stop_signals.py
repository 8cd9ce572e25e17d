"""Ctrl-C, SIGTERM and SIGHUP during work that must save its state before it ends."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

STOPPING = "stopping after this step; a second signal stops at once and loses the steps since the last saved state"


class StopSignals:
    """Defers the first such signal inside the `with` block; the work polls `is_stop_requested`.

    has_unsaved_work: a signal that arrives while it is False, and any second signal, raises SystemExit at once, with
    the status of the signal. print_line: told that the work will stop.
    """

    def __init__(self, has_unsaved_work: Callable[[], bool], print_line: Callable[[str], None]) -> None:
        self.number: int | None = None
        self._has_unsaved_work = has_unsaved_work
        self._print_line = print_line
        self._previous_handlers: dict[int, Any] = {}

    def is_stop_requested(self) -> bool:
        """Whether the work should save its state and end."""
        return self.number is not None

    @property
    def status(self) -> int:
        """The exit status of a process that a signal ended."""
        return 128 + (self.number or 0)

    def __enter__(self) -> StopSignals:
        for number in SIGNALS:
            # Under nohup SIGHUP is ignored and stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous_handlers[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        is_second, self.number = self.number is not None, number
        if is_second or not self._has_unsaved_work():
            sys.exit(self.status)
        self._print_line(STOPPING)
