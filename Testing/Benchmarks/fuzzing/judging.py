"""What the kinds of inputs share: how a kind is written, and how it says that an input was read wrongly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random


class Wrong(Exception):
    """An input was read, but not rightly, or a sound one was refused."""


Make = Callable[[Random, Path], None]
"""A kind: makes one input in a folder and gives it to the library."""


def check_line(line: str) -> None:
    """Raise Wrong for a warning of several lines."""
    if "\n" in line:
        raise Wrong(f"a warning of several lines: {line!r}")
