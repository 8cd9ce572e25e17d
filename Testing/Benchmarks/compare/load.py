"""How much other work was running on the machine during a measurement."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STATISTICS = Path("/proc/stat")


class OtherWork:
    """Measures between `__init__` and `share` how busy other processes kept the machine."""

    def __init__(self) -> None:
        self._wall, self._busy = time.perf_counter(), _busy_seconds()

    def share(self, own_seconds: float) -> float | None:
        """Return the CPU seconds of all other processes per second of wall time; None where Linux does not count them.

        own_seconds: the CPU time of the measured work and of this process since `__init__`.
        """
        busy = _busy_seconds()
        if self._busy is None or busy is None:
            return None
        return max(0.0, busy - self._busy - own_seconds) / (time.perf_counter() - self._wall)


def _busy_seconds() -> float | None:
    """Return the CPU seconds of all processes since the machine started: user, nice and system time."""
    if not _STATISTICS.is_file():
        return None
    user, nice, system = map(int, _STATISTICS.read_text().split(maxsplit=4)[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")
