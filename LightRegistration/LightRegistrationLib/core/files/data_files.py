"""The files with the voxels that a header of text names: only files in the folder of the header are read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from .plain_file import check_plain_file, is_file, is_there, report_os_errors

LIST = "LIST"
"""What a header says in place of a name if the names are in the lines after it."""
_OUTSIDE = re.compile(r"[/\\~]|[A-Za-z]:")
"""How a path begins that does not start from the folder of the header, on any system."""
_NUMBER = re.compile(r"%0?\d{0,2}d")


def find_data_file(header: Path, name: str) -> Path:
    """Return the file of this name beside a header, or in a subfolder.

    Raises InputError for a path that leads elsewhere (a header from elsewhere must not open the user's other files),
    for the header itself, and if there is no such file.
    """
    if _OUTSIDE.match(name) or ".." in re.split(r"[/\\]", name):
        raise InputError(
            f"{header}: the header names its data by the path '{name}', but only data beside it are read; put the data "
            "file beside the header, and write its name alone."
        )
    data = header.parent / name
    if not is_there(data):
        is_windows_path = is_file(header.parent / name.replace("\\", "/"))
        hint = "; it is a Windows path: write it with /" if is_windows_path else ""
        raise InputError(f"{header}: the file with the voxels, {name}, is missing{hint}.")
    with report_os_errors(data):
        check_plain_file(data, "data")
    if data.samefile(header):
        raise InputError(f"{header}: the header names itself as the file with the voxels; repair it.")
    return data


def find_data_files(header: Path, names: Iterable[str]) -> list[Path]:
    """Return the files of several names; raises InputError as `find_data_file` does, at the first wrong one."""
    return [find_data_file(header, name) for name in names]


def is_numbered(pattern: str) -> bool:
    """Tell whether a name stands for numbered files: it has one place for the number (such as %03d) and no blank."""
    return len(_NUMBER.findall(pattern)) == 1 and pattern.count("%") == 1 and not re.search(r"\s", pattern)


def number_names(pattern: str, numbers: Iterable[int]) -> Iterable[str]:
    """Return the names of numbered files."""
    return (pattern % number for number in numbers)
