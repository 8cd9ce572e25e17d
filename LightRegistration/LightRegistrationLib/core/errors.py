"""Errors whose messages are written for the user."""

from __future__ import annotations


class InputError(ValueError):
    """The user's input cannot be used; the message is one line with the problem and what to do."""


class ModelError(InputError):
    """A bundled or added model cannot be used: unknown name, damaged weights, wrong hash, unknown network."""
