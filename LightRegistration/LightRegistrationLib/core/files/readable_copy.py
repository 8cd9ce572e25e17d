"""Copies of files that ITK cannot read as they are: some need a conversion, some an extension in lower case."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from .nifti import NIFTI_SUFFIXES, convert_to_nifti1, find_nifti_data, needs_conversion, read_nifti_header
from .text_header import META_SUFFIXES, NRRD_SUFFIXES, read_text_header

_DATA_SUFFIXES = (".img", ".img.gz")
_STEM = "volume"


@contextlib.contextmanager
def make_readable(path: Path) -> Iterator[Path]:
    """Yield an image file, or a copy in a folder of the user's own, converted or renamed, if ITK cannot read the file.

    path: one that `volume_header.check_header` takes. Raises InputError as `copy_to_plain_name` does, and OSError.
    """
    must_convert = path.name.lower().endswith(NIFTI_SUFFIXES) and needs_conversion(path)
    if not must_convert and has_plain_name(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="light-registration-") as folder:
        if must_convert:
            copy = Path(folder) / f"{_STEM}.nii"
            convert_to_nifti1(path, copy)
        else:
            copy = copy_to_plain_name(path, Path(folder))
        yield copy


def has_plain_name(path: Path) -> bool:
    """Tell whether ITK knows an image file, or a NIfTI pair, by its extension. Raises InputError for half a pair."""
    name = path.name
    if name.lower().endswith(NRRD_SUFFIXES):
        return True
    if name.lower().endswith(".hdr"):
        return name.endswith(".hdr") and _find_data(path).name.endswith(_DATA_SUFFIXES)
    return name.endswith((*NIFTI_SUFFIXES, *META_SUFFIXES))


def copy_to_plain_name(path: Path, folder: Path) -> Path:
    """Copy an image file into a folder, under a name that ITK knows; returns the copy.

    Raises InputError for a MetaImage whose voxels lie in other files, which its copy would not find.
    """
    suffix = next(s for s in (".nii.gz", *NIFTI_SUFFIXES, *META_SUFFIXES) if path.name.lower().endswith(s))
    if suffix == ".hdr":
        data = _find_data(path)
        data_suffix = next(s for s in (".img.gz", ".img") if data.name.lower().endswith(s))
        shutil.copyfile(data, folder / f"{_STEM}{data_suffix}")
    elif suffix in META_SUFFIXES and read_text_header(path).fields["ElementDataFile"].upper() != "LOCAL":
        raise InputError(f"{path}: the extension of this file is known in lower case only; rename it to '{suffix}'.")
    copy = folder / f"{_STEM}{suffix}"
    shutil.copyfile(path, copy)
    return copy


def _find_data(path: Path) -> Path:
    return find_nifti_data(path, read_nifti_header(path))
