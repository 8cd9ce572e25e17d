"""Work in parts, each in a turn of its own of Qt's event loop, so that windows respond between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt

from ...core.errors import InputError
from ...core.parts import Parts


class Turns:
    """Does one work at a time. on_error: called with one line for the user when a later part raises InputError."""

    def __init__(self, on_error: Callable[[str], None]) -> None:
        self._on_error = on_error
        self._parts: Parts[Any] | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._go_on)

    @property
    def is_busy(self) -> bool:
        """Whether parts are left."""
        return self._parts is not None

    def start(self, parts: Parts[Any]) -> None:
        """Do the first part now, and the others in later turns; what runs already is stopped. Raises InputError."""
        self.stop()
        self._parts = parts
        self._do_next()
        if self._parts is not None:
            self._timer.start()

    def finish(self) -> None:
        """Do the parts that are left at once. Raises InputError."""
        self._timer.stop()
        while self._parts is not None:
            self._do_next()

    def stop(self) -> None:
        """Leave out the parts that are left."""
        self._timer.stop()
        parts, self._parts = self._parts, None
        if parts is not None and not parts.gi_running:  # otherwise it is closed at the end of its part
            parts.close()

    def _do_next(self) -> None:
        """Do one part; what it changes may stop the work, or start another."""
        parts = self._parts
        assert parts is not None
        is_done = True
        try:
            next(parts)
            is_done = False
        except StopIteration:
            pass
        finally:
            if self._parts is not parts:
                parts.close()
            elif is_done:
                self._timer.stop()
                self._parts = None

    def _go_on(self) -> None:
        try:
            self._do_next()
        except InputError as error:
            self._on_error(str(error))
