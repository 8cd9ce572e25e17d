"""Folders for unfinished results: private to the user, and removed by a later run if their process has died.

They hold a patient's image. A process locks its folder as long as it runs; the system releases the lock when it ends.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from ...core.errors import InputError

try:
    import fcntl
except ImportError:  # Windows, which has no locks on folders: there nothing is removed
    fcntl = None  # type: ignore[assignment]

_ATTEMPTS = 10

UNFINISHED: dict[Path, list[Path]] = {}
"""The folders of this process, each with the new folders above it, the innermost first."""


def discard_unfinished() -> None:
    """Remove all unfinished folders of this process, and the new folders above them if nothing else is in them."""
    for folder, parents in UNFINISHED.items():
        shutil.rmtree(folder, ignore_errors=True)
        for parent in parents:
            with contextlib.suppress(OSError):
                parent.rmdir()


def make_private_folder(parent: Path, prefix: str) -> tuple[Path, int | None]:
    """Make a folder for this user alone; returns it and the lock to close at the end (None where locks do not exist).

    Raises OSError.
    """
    for _ in range(_ATTEMPTS):
        folder = parent / f"{prefix}{secrets.token_hex(4)}"
        folder.mkdir(mode=0o700)
        lock = lock_folder(folder)
        # Another process may have found the folder before it was locked, and removed it.
        if folder.exists():
            return folder, lock
        if lock is not None:
            os.close(lock)
    raise FileExistsError(f"{parent}: another program removes new folders")


def make_parents(folder: Path) -> list[Path]:
    """Make a folder and its parents; returns those that were missing, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def remove_abandoned_folders(parent: Path, prefix: str) -> None:
    """Remove the folders with this prefix whose process has ended without removing them."""
    if fcntl is None:
        return
    for folder in parent.glob(f"{_escape(prefix)}*"):
        lock = lock_folder(folder) if folder.is_dir() and not folder.is_symlink() else None
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def lock_folder(folder: Path) -> int | None:
    """Lock a folder until the descriptor is closed.

    None if another process has it, or if the system cannot lock folders.
    """
    if fcntl is None:
        return None
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor
    return None


@contextlib.contextmanager
def open_private_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a folder for this user alone, and the folders above it; what is not filled by then is removed at the end.

    Raises OSError.
    """
    new_parents = make_parents(parent)
    remove_abandoned_folders(parent, prefix)
    folder, lock = make_private_folder(parent, prefix)
    UNFINISHED[folder] = new_parents
    try:
        yield folder
    finally:
        UNFINISHED.pop(folder, None)
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)
        for path in new_parents:
            with contextlib.suppress(OSError):
                path.rmdir()


@contextlib.contextmanager
def lock_output(output: Path, what: str) -> Iterator[None]:
    """Make the folder of a result, and keep other programs out of it during the block.

    what: what the other one would be, for the message. Raises InputError if there is one.
    """
    output.mkdir(parents=True, exist_ok=True)
    lock = lock_folder(output)
    if lock is None and os.name == "posix":
        raise InputError(f"{output}: another {what} is writing to this folder; wait for its end or choose another one.")
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _escape(text: str) -> str:
    """Return a text with the special signs of glob patterns escaped."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in text)
