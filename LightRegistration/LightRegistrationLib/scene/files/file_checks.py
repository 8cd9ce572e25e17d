"""What every file is checked for before it is read, and the words for what is wrong with it."""

from __future__ import annotations

import contextlib
import logging
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from ...core.errors import InputError
from ...core.files.nifti import NIFTI_SUFFIXES
from ...core.files.text_header import META_SUFFIXES, NRRD_SUFFIXES

VOLUME_SUFFIXES = (*NIFTI_SUFFIXES, *NRRD_SUFFIXES, *META_SUFFIXES)
TRANSFORM_SUFFIXES = (".h5", ".tfm", ".txt", ".mat")

_log = logging.getLogger(__name__)

OnWarning = Callable[[str], None]
"""Called with one line for the user, which names the file, if something in a file may be read wrongly."""


def log_warning(line: str) -> None:
    """Write a warning about a file to the log."""
    _log.warning("%s", line)


def check_file(path: Path, suffixes: tuple[str, ...], kind: str) -> None:
    """Raise InputError unless a path is a file with content and one of the suffixes; kind: what it should hold."""
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder.")
    if path.is_dir():
        raise InputError(f"{path}: a {kind} file is needed here, not a folder.")
    if not path.is_file():
        raise InputError(f"{path}: a {kind} file is needed here, but this is {_name_special_file(path)}.")
    if path.name.lower().endswith(".img"):
        raise InputError(f"{path}: this file holds the voxels alone; name the .hdr file beside it.")
    if not path.name.lower().endswith(suffixes):
        raise InputError(f"{path}: a {kind} cannot be read from this kind of file; use {', '.join(suffixes)}.")
    with path.open("rb") as stream:
        empty = not stream.read(1)
    if empty:
        raise InputError(f"{path}: the file is empty (0 bytes).")


def _name_special_file(path: Path) -> str:
    mode = path.stat().st_mode
    if stat.S_ISFIFO(mode):
        return "a pipe, which can be read only once; write its content to a file first"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


@contextlib.contextmanager
def report_os_errors(path: Path) -> Iterator[None]:
    """Turn an error of the operating system (no permission, a broken disk) into an InputError that names the path."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror or error}).") from error


def get_stem(path: Path) -> str:
    """Return the name of a file without its folder and suffix."""
    name = path.name
    for suffix in (".seg.nrrd", ".nii.gz", *VOLUME_SUFFIXES, *TRANSFORM_SUFFIXES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)] or name  # a scene has no node without a name
    return name
