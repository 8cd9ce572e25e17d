"""Errors whose messages are written for the user."""

from __future__ import annotations

import errno
import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_MAX_CHARACTERS = 2000


class InputError(ValueError):
    """The user's input cannot be used; the message is one line with the problem and what to do.

    Control characters, which a damaged file may bring into the message, become spaces; very long messages are cut.
    """

    def __init__(self, message: str) -> None:
        line = _CONTROL.sub(" ", message)
        super().__init__(line if len(line) <= _MAX_CHARACTERS else f"{line[: _MAX_CHARACTERS - 2]} …")


class FullDiskError(InputError):
    """A result cannot be written because the disk is full: no fault of its input, and others could not be written."""


def make_write_error(name: object, error: OSError, reason: str) -> InputError:
    """Return the error to raise where writing a file fails, in words; a FullDiskError if there is no room for it.

    name: what the user knows the file by. reason: of the system's error, in words.
    """
    # NumPy raises errors without a number when less was written than it asked for.
    is_full = error.errno in (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return (FullDiskError if is_full else InputError)(f"{name}: cannot be written ({reason}).")


class ModelError(InputError):
    """A bundled or added model cannot be used: unknown name, damaged weights, wrong hash, unknown network."""
