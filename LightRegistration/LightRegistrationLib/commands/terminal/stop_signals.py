"""Ctrl-C, SIGTERM and a closed terminal in the middle of work that has something to save first."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class StopSignals:
    """Holds such a signal back inside the `with` block until the work asks for it: `wanted` says that one has come.

    Only the first one is held back, and only while there is something to lose; else it ends the block at once, as a
    SystemExit with the status of the signal.
    """

    def __init__(self, something_to_lose: Callable[[], bool], tell: Callable[[str], None]) -> None:
        self.number: int | None = None
        self._something_to_lose = something_to_lose
        self._tell = tell
        self._earlier: dict[int, Any] = {}

    def wanted(self) -> bool:
        """Whether the work shall save what it has and end."""
        return self.number is not None

    @property
    def status(self) -> int:
        """The exit status of a process that a signal ended."""
        return 128 + (self.number or 0)

    def __enter__(self) -> StopSignals:
        for number in SIGNALS:
            # Under nohup the closed terminal is ignored, and stays so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._earlier[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        again, self.number = self.number is not None, number
        if again or not self._something_to_lose():
            sys.exit(self.status)
        self._tell("stopping after this step; once more ends at once and loses the steps since the last saved state")
