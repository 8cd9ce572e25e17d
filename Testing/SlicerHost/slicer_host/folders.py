"""The folder in which a running double keeps its files; it goes away with the process."""

from __future__ import annotations

import tempfile
from pathlib import Path

_root = tempfile.TemporaryDirectory(prefix="SlicerHost-", ignore_cleanup_errors=True)


def make_own_folder(name: str) -> Path:
    """A folder of the double's own, made where it is not there yet."""
    folder = Path(_root.name) / name
    folder.mkdir(exist_ok=True)
    return folder
