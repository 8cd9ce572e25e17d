"""Inputs have to be plain files: a pipe, a socket or a device may never end, and opening one may wait for ever."""

from __future__ import annotations

import contextlib
import hashlib
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import InputError


def check_plain_file(path: Path, kind: str = "plain") -> None:
    """Raise InputError unless a path is an existing file; kind: what it should hold. Raises OSError as `Path.stat`."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # the last for a null character
        raise InputError(f"{path}: there is no such file.") from error
    other = name_other_kind(path)
    if other:
        raise InputError(f"{path}: a {kind} file is needed here, {'not' if path.is_dir() else 'but this is'} {other}.")


def name_other_kind(path: Path) -> str:
    """Say what a path is that is no plain file, such as "a folder"; empty for a file, and if nothing can be found."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return ""
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a pipe, which can be read only once; write its content to a file first"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def list_same_files(kinds: Iterable[tuple[str, Path | None, Path | None]]) -> Iterator[str]:
    """Yield a warning for the first kind of input that is one file for both volumes.

    kinds: such as "volume", with the file of the fixed and of the moving one; the volumes first, because the same scan
    has the same labels.
    """
    for kind, fixed, moving in kinds:
        if fixed is not None and moving is not None and fixed.samefile(moving):
            yield f"{moving}: this is given both as the fixed and as the moving {kind}"
            return


def read_plain_bytes(path: Path, kind: str = "plain") -> bytes:
    """Return the content of a file. Raises InputError, naming the path, unless it is one that can be read."""
    with report_os_errors(path):
        check_plain_file(path, kind)
        return path.read_bytes()


def read_plain_text(path: Path, kind: str = "plain") -> str:
    """Return the content of a file of text in UTF-8, without the mark of that at its start.

    Raises InputError as `read_plain_bytes` does, and for text in another encoding.
    """
    try:
        return read_plain_bytes(path, kind).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: this is not a {kind} file of text in UTF-8; save it as UTF-8 ({error.reason})."
        ) from error


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file. Raises InputError as `read_plain_bytes` does."""
    with report_os_errors(path):
        check_plain_file(path)
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def report_os_errors(path: Path) -> Iterator[None]:
    """Turn an error of the operating system (no permission, a broken disk) into an InputError that names the path."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror or error}).") from error


def is_file(path: Path) -> bool:
    """Tell whether there is a plain file; False for what cannot be a name (too long, a null character)."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Tell whether there is a folder; False for what cannot be a name (too long, a null character)."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_there(path: Path) -> bool:
    """Tell whether there is anything of this name; False for what cannot be a name (too long, a null character)."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
