"""Work in parts: a generator that yields between them, so that a panel can do each in a turn of its own."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")
Parts = Generator[None, None, T]
"""The work is complete at the end; the value is what the generator returns."""


def do_at_once(parts: Parts[T]) -> T:
    """Do all parts without a pause; returns their value."""
    while True:
        try:
            next(parts)
        except StopIteration as end:
            value: T = end.value
            return value
