"""Capture what VTK and ITK print while a file is read or written, so that it does not reach the user's terminal."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator

from vtkmodules.vtkCommonCore import vtkLogger, vtkOutputWindow, vtkStringOutputWindow

_log = logging.getLogger(__name__)


class CapturedMessages:
    """The text printed inside a `capture_messages` block; complete after the block has ended."""

    def __init__(self) -> None:
        self.text = ""


@contextlib.contextmanager
def capture_messages() -> Iterator[CapturedMessages]:
    """Capture the error output of VTK and of the C++ libraries below it; restores the earlier state afterwards.

    The text also goes to Python's logging at level DEBUG.
    """
    messages = CapturedMessages()
    earlier_window = vtkOutputWindow.GetInstance()
    earlier_verbosity = vtkLogger.GetCurrentVerbosityCutoff()
    window = vtkStringOutputWindow()
    vtkOutputWindow.SetInstance(window)
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    try:
        with tempfile.TemporaryFile() as stream:
            try:
                with _redirect_stderr(stream.fileno()):
                    yield messages
            finally:
                stream.seek(0)
                messages.text = decode_text(window.GetOutput()) + stream.read().decode(errors="replace")
    finally:
        vtkLogger.SetStderrVerbosity(earlier_verbosity)
        vtkOutputWindow.SetInstance(earlier_window)
        if messages.text:
            _log.debug("%s", messages.text)


def decode_text(text: str | bytes) -> str:
    """Return a text of VTK, which hands out bytes if a damaged file has brought in what is not UTF-8."""
    return text if isinstance(text, str) else text.decode(errors="replace")


@contextlib.contextmanager
def _redirect_stderr(descriptor: int) -> Iterator[None]:
    """Redirect the standard error of the process; MetaIO and zlib print there directly.

    Does nothing if there is no standard error, as in a program without a terminal.
    """
    try:
        earlier = os.dup(2)
    except OSError:
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(earlier, 2)
        os.close(earlier)
