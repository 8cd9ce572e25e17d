"""Headers that ITK's readers take otherwise than they are meant, or refuse without a reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from .nifti import NIFTI_SUFFIXES, read_nifti_header
from .text_header import DATA_FILE, NRRD_SUFFIXES, TextHeader, read_text_header

_LEAST_SLOPE = 2.3e-16
"""ITK's NIfTI reader takes a smaller one for none."""
_DISPLACEMENTS = 1006
_MILLIMETERS = ("mm", "millimeter", "millimeters", "")
_TRUTHS = ("BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB", "CompressedData")
_FIELD = re.compile(r"[^#:][^:]*:(?!=)")
"""A line with a field of a NRRD header, and no comment or key with a value."""
_KINDS_OF_SPACE = ("domain", "space", "???", "none", "time")
_NEWEST_NRRD = 5
_SHOWN = 40


def check_reader_limits(path: Path) -> list[str]:
    """Raise InputError for a header that would be read wrongly; returns warnings about it.

    path: a NIfTI file, NRRD file or MetaImage that has passed the check of its format, such as `check_nifti`.
    """
    name = path.name.lower()
    if name.endswith(NIFTI_SUFFIXES):
        return list(_check_nifti(path))
    header = read_text_header(path)
    return list(_check_nrrd(header) if name.endswith(NRRD_SUFFIXES) else _check_meta(header))


def explain_refusal(path: Path) -> str | None:
    """Return why ITK refuses a NRRD file that the checks have passed, in words; None if that is not known."""
    if not path.is_file() or not path.name.lower().endswith(NRRD_SUFFIXES):
        return None
    return next(_find_nrrd_faults(read_text_header(path)), None)


def _check_nifti(path: Path) -> Iterator[str]:
    header = read_nifti_header(path)
    slope = header.scale[0]
    if header.version > 0 and 0 < abs(slope) < _LEAST_SLOPE:
        raise InputError(
            f"{path}: the reader would not apply so small a scale of the values (scl_slope {slope:g}); save them as "
            "float."
        )
    if header.intent == _DISPLACEMENTS and all(n == 1 for n in header.size[3:]):
        raise InputError(
            f"{path}: the header says that its voxels are displacements (intent_code {_DISPLACEMENTS}), but they have "
            "one number each; repair the header."
        )
    if header.version == 0 and slope not in (0, 1):
        yield f"the header has a scale of the values ({slope:g}) where SPM writes one, which is not applied"


def _check_nrrd(header: TextHeader) -> Iterator[str]:
    if header.number("dimension", 3) != 3:
        return
    units = header.fields.get("units", "").replace('"', " ").lower().split()
    others = [unit for unit in units if unit not in _MILLIMETERS]
    if "time" in header.fields.get("kinds", "").lower().split():
        yield "by the header, one of its axes is time (kinds); it is taken as an axis of space"
    elif others and "spacings" in header.fields:
        raise InputError(f"{header.path}: the header's unit of length is {others[0][:_SHOWN]}; save the volume in mm.")


def _check_meta(header: TextHeader) -> Iterator[str]:
    for key in _TRUTHS:
        value = header.fields.get(key, "True")
        if value[:1].lower() not in ("t", "f", "1", "0"):
            raise InputError(f"{header.path}: {key} in the header is '{value[:_SHOWN]}', not True or False; repair it.")
    if header.number("HeaderSize", 0) < -1:
        raise InputError(f"{header.path}: the header is damaged (a HeaderSize below -1).")
    yield from ()


def _find_nrrd_faults(header: TextHeader) -> Iterator[str]:
    with header.path.open("rb") as stream:
        first, *lines = stream.read(header.length).decode("utf-8", errors="replace").split("\n")
    version = first.strip().removeprefix("NRRD")
    if version.isdigit() and int(version) > _NEWEST_NRRD:
        yield f"its version of the format, NRRD{version}, is newer than is read (NRRD000{_NEWEST_NRRD}); save it again"
    keys = Counter(line.partition(":")[0].strip().lower() for line in lines if _FIELD.match(line))
    for key in (key for key, count in keys.items() if count > 1):
        yield f"the header gives '{key[:_SHOWN]}' twice; repair it"
    for kind in header.fields.get("kinds", "").split():
        if kind.lower() not in _KINDS_OF_SPACE:
            yield f"by the header, an axis is of the kind '{kind[:_SHOWN]}', but a volume has three axes of space"
    if header.number("dimension", 3) != 3:
        yield f"a 3-D volume is needed, but this has {header.fields['dimension']} axes; extract one volume first"
    if 0 in header.numbers("spacings"):
        yield "the header gives an axis the length zero; repair its voxel spacing"
    if DATA_FILE in header.fields and lines[-1]:
        yield "the last line of the header has no line end; add one"
