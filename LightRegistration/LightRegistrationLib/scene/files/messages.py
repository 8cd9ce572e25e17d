"""Keep what VTK and ITK print while something is read, instead of letting it reach the user's terminal."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator

import vtk

_log = logging.getLogger(__name__)


class CapturedMessages:
    """The text that was printed inside `capture_messages`; complete once the block has ended."""

    def __init__(self) -> None:
        self.text = ""


@contextlib.contextmanager
def capture_messages() -> Iterator[CapturedMessages]:
    """Collect the error output of VTK and of the C++ libraries below it; the earlier state comes back afterwards.

    Nothing is lost: the text also goes to Python's logging at level DEBUG.
    """
    messages = CapturedMessages()
    earlier_window = vtk.vtkOutputWindow.GetInstance()
    earlier_verbosity = vtk.vtkLogger.GetCurrentVerbosityCutoff()
    window = vtk.vtkStringOutputWindow()
    vtk.vtkOutputWindow.SetInstance(window)
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    try:
        with tempfile.TemporaryFile() as stream:
            try:
                with _stderr_into(stream.fileno()):
                    yield messages
            finally:
                stream.seek(0)
                messages.text = window.GetOutput() + stream.read().decode(errors="replace")
    finally:
        vtk.vtkLogger.SetStderrVerbosity(earlier_verbosity)
        vtk.vtkOutputWindow.SetInstance(earlier_window)
        if messages.text:
            _log.debug("%s", messages.text)


@contextlib.contextmanager
def _stderr_into(descriptor: int) -> Iterator[None]:
    """Redirect the process's standard error; MetaIO and zlib print there directly.

    A windowed program may have none: then there is nothing to redirect.
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
