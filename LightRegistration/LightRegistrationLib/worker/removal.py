"""Removes a folder a bounded number of bytes at a time: to remove gigabytes at once takes long."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

REMOVED_BYTES = 128 << 20
"""Bytes that are removed in one call. Chosen: ten to thirty milliseconds of processor time."""


def remove_some(folder: Path, max_bytes: int = REMOVED_BYTES) -> bool:
    """Remove the next bytes of the files in a folder, at last the folder; returns whether it is gone.

    A large file becomes shorter from its end. What cannot be removed yet, as a file that a process of Windows still has
    open, stays for the next call.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        if max_bytes <= 0:
            return False
        with contextlib.suppress(OSError):
            size = path.lstat().st_size
            if size > max_bytes:
                os.truncate(path, size - max_bytes)
            else:
                path.unlink()
            max_bytes -= size
    if max_bytes <= 0:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
