"""Errors of the file system as one line for the user."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ...core.errors import InputError, make_write_error


@contextlib.contextmanager
def report_path_errors(path: Path) -> Iterator[None]:
    """Raise InputError for a path that cannot be looked up in the block.

    Reasons: no permission, too long a name, a loop of links, a name that is not UTF-8, which VTK requires, or one with
    a backslash where that separates no folders: VTK would take another file.
    """
    if os.sep != "\\" and "\\" in str(path):
        raise InputError(f"{path}: the name has a backslash; rename it.")
    try:
        str(path).encode()
        yield
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: the name is not valid UTF-8; rename it.") from error
    except (OSError, RuntimeError) as error:  # Path.resolve reports a loop of links as a RuntimeError
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: cannot be looked up ({reason}).") from error


@contextlib.contextmanager
def report_write_errors(folder: Path) -> Iterator[None]:
    """Raise InputError, naming the folder, for an error of the file system in a block that writes there."""
    try:
        yield
    except OSError as error:
        raise make_write_error(folder, error, explain(error)) from error


def explain(error: OSError) -> str:
    """Return the reason of an error of writing, in words."""
    # NumPy raises errors without the system's reason when less was written than it asked for.
    return error.strerror or f"{error}; is the disk full?"
