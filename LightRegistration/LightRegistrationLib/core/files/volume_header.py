"""What every image file is checked for before a reader opens it: the scene's, and that of training."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from .metaimage import check_meta
from .nifti import NIFTI_SUFFIXES, check_nifti
from .nrrd import check_nrrd
from .plain_file import check_plain_file
from .reader_limits import check_reader_limits
from .text_header import META_SUFFIXES, NRRD_SUFFIXES

VOLUME_SUFFIXES = (*NIFTI_SUFFIXES, *NRRD_SUFFIXES, *META_SUFFIXES)


def check_file(path: Path, suffixes: tuple[str, ...], kind: str) -> None:
    """Raise InputError unless a path is a file with content and one of the suffixes; kind: what it should hold."""
    check_plain_file(path, kind)
    if path.name.lower().endswith(".img"):
        raise InputError(f"{path}: this file holds the voxels alone; name the .hdr file beside it.")
    if not path.name.lower().endswith(suffixes):
        raise InputError(f"{path}: a {kind} cannot be read from this kind of file; use {', '.join(suffixes)}.")
    with path.open("rb") as stream:
        empty = not stream.read(1)
    if empty:
        raise InputError(f"{path}: the file is empty (0 bytes).")


def check_header(path: Path) -> list[str]:
    """Raise InputError if the header shows that the file would be read wrongly; returns warnings about it.

    path: one that `check_file` takes as a volume.
    """
    name = path.name.lower()
    if name.endswith(NIFTI_SUFFIXES):
        warnings = check_nifti(path)
    else:
        warnings = check_nrrd(path) if name.endswith(NRRD_SUFFIXES) else check_meta(path)
    return [*warnings, *check_reader_limits(path)]
