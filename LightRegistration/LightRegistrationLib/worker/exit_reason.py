"""Why a worker process ended without being asked to: one line for the user that also says what to do."""

from __future__ import annotations

import signal
from pathlib import Path

_MEMORY_ERRORS = ("MemoryError", "not enough memory", "can't allocate memory", "Cannot allocate memory")
_SIGKILL, _SIGTERM = 9, 15  # by number: Windows has no signal.SIGKILL
_LAUNCHER_ERROR = "exit abnormally"
"""What the PythonSlicer launcher prints after its child crashed or was killed; the launcher's exit code is then 1."""
_FREE_MEMORY = "close other programs or crop the volumes, then press Register again."
_DISK_FULL = "No space left on device"
_FREE_SPACE = "free some space, then press Register again."
_TRY_AGAIN = "press Register again; if it recurs, report it with the application log."


def describe_exit(exit_code: int, log: str) -> str:
    """Return the exit reason in one line.

    exit_code: negative for a signal (POSIX), or 128 + signal, as launchers report it. log: the end of the output of the
    process.
    """
    if has_memory_error(log):
        return f"The registration ran out of memory: {_FREE_MEMORY}"
    if _DISK_FULL in log:
        return f"The disk of the temporary files is full: {_FREE_SPACE}"
    number = _find_signal(exit_code)
    if number in (_SIGKILL, _SIGTERM):
        return f"The system killed the registration process, usually because memory ran out: {_FREE_MEMORY}"
    if _LAUNCHER_ERROR in log:
        return f"The registration process crashed or was killed, usually because memory ran out: {_FREE_MEMORY}"
    if "No module named 'torch'" in log:
        return "PyTorch is not installed: press Register again and agree to install it."
    if number is not None:
        return f"The registration process crashed ({signal.Signals(number).name}): {_TRY_AGAIN}"
    last_line = log.splitlines()[-1].strip() if log else f"exit code {exit_code}"
    return f"The registration process stopped ({last_line}): {_TRY_AGAIN}"


def describe_write_error(error: OSError, folder: Path) -> str:
    """Return in one line why volumes cannot be written for the process. folder: where its session folder is."""
    reason = error.strerror or str(error)
    return f"The volumes cannot be written to {folder} for the registration ({reason}): {_FREE_SPACE}"


def has_memory_error(text: str) -> bool:
    """Tell whether a log, or an error, says that no more memory could be reserved."""
    return any(error in text for error in _MEMORY_ERRORS)


def _find_signal(exit_code: int) -> int | None:
    number = -exit_code if exit_code < 0 else exit_code - 128
    return number if number in {int(s) for s in signal.Signals} else None
