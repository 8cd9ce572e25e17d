"""The program `light-registration`: runs the command line with the manners of a program of the terminal.

Ctrl-C ends it silently at any moment, also while libraries are imported; a closed pipe ends it silently.
"""

from __future__ import annotations

# `signal` itself takes a moment to import. Until `run` is ready, the system ends the process without a traceback.
import _signal

if _signal.getsignal(_signal.SIGINT) is not _signal.SIG_IGN:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, NoReturn

_INTERRUPTED, _BAD_INPUT, _CLOSED_PIPE = 130, 2, 141
_RETRY_S = 0.05


class _Interruption:
    """Ctrl-C: raises KeyboardInterrupt once, so that the cleaning up is not interrupted.

    It is remembered, because libraries may turn it into errors of their own.
    """

    def __init__(self) -> None:
        self.has_come = False

    def receive(self, number: int, frame: FrameType | None) -> NoReturn:
        self.has_come = True
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if _is_importing(frame):
            # An exception inside the start of a compiled library can crash the process.
            # Nothing may be imported now: a folder exists only if the module that makes it was imported.
            folders = sys.modules.get(f"{__package__}.files.private_folder")
            if folders is not None and hasattr(folders, "discard_unfinished"):
                folders.discard_unfinished()
            os._exit(_INTERRUPTED)
        raise KeyboardInterrupt

    def catch_lost(self, lost: Any) -> None:
        """Raise the interruption again if it came in code whose errors Python can only print."""
        if issubclass(lost.exc_type, (KeyboardInterrupt, SystemExit)):
            signal.signal(signal.SIGINT, self.receive)
            timer = threading.Timer(_RETRY_S, os.kill, (os.getpid(), signal.SIGINT))
            timer.daemon = True
            timer.start()
            return
        sys.__unraisablehook__(lost)


def run() -> int:
    """Run one command and return the exit status."""
    _open_closed_streams()
    interruption = _Interruption()
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, interruption.receive)
        sys.unraisablehook = interruption.catch_lost
    try:
        try:
            from .main import main

            status = main()
        finally:
            # The result is complete or the cleaning up is done: a later Ctrl-C has nothing to stop.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BrokenPipeError:
        status = _CLOSED_PIPE
    except BaseException:
        if not interruption.has_come:
            raise
        status = _INTERRUPTED
    if _can_end_at_once():
        import atexit

        atexit._run_exitfuncs()  # removes temporary folders
        os._exit(_flush(status))
    return _flush(status)


def _can_end_at_once() -> bool:
    """Tell whether to skip the end of the interpreter: taking down PyTorch and Slicer object by object takes a second.

    All files are written and closed by then. A thread that is left has to be waited for.
    """
    return not sys.modules.keys().isdisjoint(("torch", "slicer")) and threading.active_count() == 1


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _open_closed_streams() -> None:
    """Open what the caller closed of the three standard streams: other files must not get their numbers."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _flush(status: int) -> int:
    """Write the rest of the output; returns the exit status."""
    if sys.stdout is None:
        return status
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would try again at its end, and print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return status or _CLOSED_PIPE
        from .terminal.messages import print_error

        print_error(f"The output cannot be written ({error.strerror}).")
        return _BAD_INPUT
    return status
