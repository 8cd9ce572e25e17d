"""Errors that are meant to be read by the person who uses the software."""

from __future__ import annotations


class InputError(ValueError):
    """The user's input cannot be used; the message is one line that says what is wrong and what to do."""


class ModelError(InputError):
    """A bundled or added model cannot be used: unknown name, damaged weights, wrong hash, unknown network."""
