"""How many threads may be asked for; without torch, so that the command line can tell at once."""

from __future__ import annotations

import os

from .errors import InputError

MAX_THREADS_PER_CORE = 4


def check_threads(count: int | None) -> None:
    """Raise InputError for no thread, or far more than the processor has cores; None is any number.

    So many would only wait for each other, and torch crashes with thousands.
    """
    cores = os.cpu_count() or 1
    most = MAX_THREADS_PER_CORE * cores
    if count is not None and count < 1:
        raise InputError(f"At least one thread is needed, not {count}.")
    if count is not None and count > most:
        raise InputError(f"{count} threads are too many for {cores} cores; use {most} or fewer.")
