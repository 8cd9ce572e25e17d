"""The temporary folder of the running double; it is deleted when the process ends."""

from __future__ import annotations

import tempfile
from pathlib import Path

_root = tempfile.TemporaryDirectory(prefix="SlicerHost-", ignore_cleanup_errors=True)


def make_own_folder(name: str) -> Path:
    """Return a subfolder of the double's folder; it is created if it does not exist."""
    folder = Path(_root.name) / name
    folder.mkdir(exist_ok=True)
    return folder
