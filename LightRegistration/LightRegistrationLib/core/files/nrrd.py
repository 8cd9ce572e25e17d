"""Checks of NRRD headers, for what ITK reads wrongly or reports without the reason."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from .claimed_size import check_claimed_size, check_sizes, list_surplus_warnings
from .data_files import LIST, find_data_file, find_data_files, is_numbered, number_names
from .settings import FILES
from .text_header import DATA_FILE, TextHeader, is_finite, parse_number, read_nrrd_header
from .text_voxels import check_text_voxels

NRRD_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "signed long long int"), "i8"),
    **dict.fromkeys(("int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
"""The names of voxel types, and their numpy types."""
_TEXT = ("txt", "text", "ascii")
_ENCODINGS = ("raw", *_TEXT, "hex", "gz", "gzip")
_SPACES = {
    *("right-anterior-superior", "ras", "left-anterior-superior", "las", "left-posterior-superior", "lps"),
    *("scanner-xyz", "3d-right-handed", "3d-left-handed"),
}
"""The spaces of three dimensions."""
_MILLIMETERS = ("mm", "millimeter", "millimeters", "")
_PATTERN = re.compile(r"(\S+)\s+(\d{1,9})\s+(\d{1,9})\s+(-?\d{1,9})(?:\s+\d+)?")
"""Numbered files: their name, the first and the last number, and the step."""


def check_nrrd(path: Path) -> list[str]:
    """Raise InputError for a NRRD file that ITK cannot read or reads wrongly; returns warnings about its header."""
    header = read_nrrd_header(path)
    fields = header.fields
    encoding = fields.get("encoding", "raw").lower()
    if encoding not in _ENCODINGS:
        raise InputError(f"{path}: the encoding '{encoding}' is not read; save the file with the encoding gzip or raw.")
    kind = fields.get("type", "").lower()
    if kind not in NRRD_TYPES:
        raise InputError(f"{path}: voxels of the type '{kind}' are not read; save them as float or short.")
    sizes = check_sizes(path, header.numbers("sizes"), header.number("dimension", math.nan))
    _check_geometry(header, len(sizes))
    _check_byte_order(header)
    files = _find_data(header)
    surplus = _check_size(header, files, sizes)
    return [*surplus, *_list_warnings(header)]


def _check_geometry(header: TextHeader, dimension: int) -> None:
    path, fields = header.path, header.fields
    spacings = header.numbers("spacings")
    if dimension == 3 and "space directions" not in fields and not is_finite(spacings):
        raise InputError(f"{path}: the header gives an axis no voxel spacing (nan); repair it.")
    for key in ("sizes", "spacings", "space directions", "space origin", "measurement frame", "axis mins", "axis maxs"):
        if any(len(word) > FILES.max_header_word for word in re.split(r"[\s(),]+", fields.get(key, ""))):
            raise InputError(f"{path}: the header is damaged (its {key} are too long to be numbers).")
    units = [unit.strip().lower() for unit in fields.get("space units", "").replace('"', " ").split()]
    others = [unit for unit in units if unit not in _MILLIMETERS]
    if others:
        raise InputError(f"{path}: the header's unit of length is {others[0]}; save the volume in mm.")
    if dimension == 3 and "none" in re.split(r"[\s()]+", fields.get("space directions", "").lower()):
        raise InputError(f"{path}: the header gives an axis no direction in space (none); save three axes of space.")
    _check_directions(header, dimension)
    if header.number("byte skip", 0) < -1:
        raise InputError(f"{path}: the header is damaged (a byte skip below -1).")


def _check_directions(header: TextHeader, dimension: int) -> None:
    """Raise InputError for what ITK's reader refuses without the reason: directions that contradict the axes."""
    path, fields = header.path, header.fields
    space = fields.get("space", "").lower()
    if space and space not in _SPACES:
        raise InputError(
            f"{path}: the space '{fields['space'][:40]}' of the header is not read; save the volume as RAS."
        )
    vectors = re.findall(r"none|\([^()]*\)", fields.get("space directions", "").lower())
    if "space directions" not in fields:
        if space and "spacings" in fields:
            raise InputError(f"{path}: the header gives a space, but no space directions; repair it.")
        return
    if "spacings" in fields:
        raise InputError(f"{path}: the header gives spacings and space directions; keep one of them.")
    if not space and "space dimension" not in fields:
        raise InputError(f"{path}: the header gives space directions, but no space such as RAS; repair it.")
    numbers = [[parse_number(word) for word in vector.strip("()").split(",")] for vector in vectors if vector != "none"]
    count = 3 if space else header.number("space dimension", 3)
    if "space origin" in fields:
        numbers.append([parse_number(word) for word in fields["space origin"].strip("() ").split(",")])
    if len(vectors) != dimension or any(len(v) != count or not is_finite(v) for v in numbers):
        raise InputError(
            f"{path}: the header's space directions and space origin are not {count:g} finite numbers for each of "
            f"its {dimension} axes; repair them."
        )


def _check_byte_order(header: TextHeader) -> None:
    """Raise InputError for voxels of several bytes without a byte order."""
    is_text = header.fields.get("encoding", "raw").lower() in _TEXT
    if "endian" not in header.fields and not is_text and not NRRD_TYPES[header.fields["type"].lower()].endswith("1"):
        raise InputError(f"{header.path}: the header does not give the byte order (endian: little, or big); add it.")


def _find_data(header: TextHeader) -> list[Path]:
    """Return the files with the voxels. Raises InputError if one is missing or lies elsewhere."""
    path, name = header.path, header.fields.get(DATA_FILE)
    if name is None:
        return [path]
    if name.startswith(LIST):
        if not header.listed:
            raise InputError(f"{path}: the header lists no file with voxels; repair the header.")
        return find_data_files(path, header.listed)
    if not re.search(r"%\d*d", name):
        return [find_data_file(path, name)]
    numbered = _PATTERN.fullmatch(name)
    step = int(numbered[4]) if numbered else 0
    if numbered is None or step == 0 or not is_numbered(numbered[1]):
        raise InputError(f"{path}: the header's numbered files, '{name}', cannot be read; list their names instead.")
    numbers = range(int(numbered[2]), int(numbered[3]) + (1 if step > 0 else -1), step)
    return find_data_files(path, number_names(numbered[1], numbers))


def _list_warnings(header: TextHeader) -> Iterator[str]:
    fields = header.fields
    if "space directions" not in fields and "spacings" not in fields:
        yield "the header gives no voxel spacing; 1 mm is assumed"
    if "space directions" in fields and "space origin" not in fields:
        yield "the header gives no position; its first voxel is put at 0, 0, 0"
    if "space" not in fields:
        yield "the header gives no orientation; left and right may be exchanged"
    elif fields["space"].lower().startswith(("scanner", "3d")):
        yield f"the header gives positions in the space '{fields['space']}', which says nothing of the patient's sides"


def _check_size(header: TextHeader, files: Sequence[Path], sizes: Sequence[int]) -> list[str]:
    """Raise InputError if the files with the voxels, which hold equal shares, cannot hold them; returns warnings."""
    kind = header.fields["type"].lower()
    dtype = NRRD_TYPES[kind]
    voxel_bytes = np.dtype(dtype).itemsize
    encoding = header.fields.get("encoding", "raw").lower()
    skipped, skipped_lines = header.number("byte skip", 0), header.number("line skip", 0)
    if not is_finite([skipped, skipped_lines]):
        raise InputError(f"{header.path}: the header is damaged (its byte skip or line skip is not a number).")
    share = math.prod(sizes) // len(files)
    warnings: list[str] = []
    for data in files:
        start = header.length if data == header.path else 0
        begin = start + max(int(skipped), 0)
        if encoding == "raw":
            check_claimed_size(data, begin, share * voxel_bytes)
            if skipped >= 0 and skipped_lines == 0:
                slice_bytes = math.prod(sizes[:-1]) * voxel_bytes
                warnings += list_surplus_warnings(data, begin, share * voxel_bytes, slice_bytes)
        elif encoding in ("gz", "gzip"):
            check_claimed_size(data, start, share * voxel_bytes, compressed=True)
        else:  # text: at least a digit and a space for each voxel
            check_claimed_size(data, start, share * 2 - 1)
        if encoding in _TEXT:
            check_text_voxels(data, begin, share, dtype, kind, skipped_lines=int(skipped_lines))
    return warnings
