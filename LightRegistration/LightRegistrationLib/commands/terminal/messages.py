"""Errors and warnings of the command line: one line each, on standard error."""

from __future__ import annotations

import contextlib
import sys

PROGRAM = "light-registration"


def print_error(message: str) -> None:
    """Print an error in one line."""
    _print_line(f"{PROGRAM}: error: {' '.join(message.split())}")


def print_warning(message: str) -> None:
    """Print a warning."""
    _print_line(f"{PROGRAM}: warning: {message}")


def _print_line(line: str) -> None:
    if sys.stderr is None:  # a program without a console may have none
        return
    with contextlib.suppress(BrokenPipeError):  # nobody reads the line
        print(line, file=sys.stderr, flush=True)
