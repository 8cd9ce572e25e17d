"""Checks of processes: is one alive, does it end, does a call wait for it?"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

PATIENCE_S = 300.0
"""The longest wait for something that must happen. A correct program never needs it, however busy the machine is."""


def is_alive(process_id: int) -> bool:
    """Whether the process exists and is not merely waiting to be reaped."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def ends(process_id: int, patience_s: float = PATIENCE_S) -> bool:
    """Wait until the process has ended; False if it is still alive after ``patience_s`` seconds."""
    deadline = time.monotonic() + patience_s
    while is_alive(process_id) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_alive(process_id)


@contextlib.contextmanager
def paused(process_id: int, patience_s: float = 60.0) -> Iterator[None]:
    """Pause the process in this context, so that a call that returns has not waited for it.

    If a call waits, the process resumes after ``patience_s`` seconds and the test fails instead of blocking.
    A paused process can be killed, but cannot cooperate in its end.
    """
    resumed_for_a_waiting_call = threading.Event()

    def resume() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGCONT)

    def give_up() -> None:
        resumed_for_a_waiting_call.set()
        resume()

    timer = threading.Timer(patience_s, give_up)
    os.kill(process_id, signal.SIGSTOP)
    timer.start()
    try:
        yield
        assert not resumed_for_a_waiting_call.is_set(), f"waited for process {process_id}, which was paused"
    finally:
        timer.cancel()
        resume()
