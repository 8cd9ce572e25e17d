"""One line for the user about a worker process that ended by itself: why, and what to do."""

from __future__ import annotations

import signal

_MEMORY_SIGNS = ("MemoryError", "not enough memory", "can't allocate memory", "Cannot allocate memory")
_SIGKILL, _SIGTERM = 9, 15  # by number: Windows has no signal.SIGKILL
_LAUNCHER_SIGN = "exit abnormally"
"""What PythonSlicer prints when the interpreter below it crashed or was killed; its own exit code is then 1."""
_MORE_MEMORY = "close other programs or crop the volumes, then press Register again."
_AGAIN = "press Register again; if it recurs, report it with the application log."


def describe_exit(exit_code: int, log: str) -> str:
    """Say in one line what ended the process.

    exit_code: negative for a signal (POSIX), or 128 + signal, as launchers pass it on. log: the end of its
    output.
    """
    if any(sign in log for sign in _MEMORY_SIGNS):
        return f"The registration ran out of memory: {_MORE_MEMORY}"
    number = _signal_number(exit_code)
    if number in (_SIGKILL, _SIGTERM):
        return f"The system killed the registration process, mostly because memory ran out: {_MORE_MEMORY}"
    if _LAUNCHER_SIGN in log:
        return f"The registration process crashed or was killed, mostly because memory ran out: {_MORE_MEMORY}"
    if "No module named 'torch'" in log:
        return "PyTorch is not installed: press Register again and agree to install it."
    if number is not None:
        return f"The registration process crashed ({signal.Signals(number).name}): {_AGAIN}"
    last_line = log.splitlines()[-1].strip() if log else f"exit code {exit_code}"
    return f"The registration process stopped ({last_line}): {_AGAIN}"


def _signal_number(exit_code: int) -> int | None:
    number = -exit_code if exit_code < 0 else exit_code - 128
    return number if number in {int(s) for s in signal.Signals} else None
