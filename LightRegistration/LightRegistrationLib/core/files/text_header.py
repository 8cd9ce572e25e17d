"""Checks of NRRD and MetaImage headers, for what ITK reads wrongly or reports without the reason."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError

NRRD_SUFFIXES = (".nrrd", ".nhdr")
META_SUFFIXES = (".mha", ".mhd")
_MAX_HEADER_BYTES = 1 << 20

_TYPE_BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t"), 4),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "signed long long int"), 8),
    **dict.fromkeys(("int64", "int64_t", "ulonglong", "unsigned long long", "unsigned long long int"), 8),
    **dict.fromkeys(("uint64", "uint64_t", "double"), 8),
    "float": 4,
}
_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 8, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
_NRRD_ENCODINGS = ("raw", "txt", "text", "ascii", "hex", "gz", "gzip")
_MILLIMETERS = ("mm", "millimeter", "millimeters", "")


@dataclass(frozen=True)
class TextHeader:
    """A header of lines `key: value` (NRRD) or `key = value` (MetaImage).

    fields: values by key; NRRD keys in lower case. length: bytes of the header in the file.
    """

    path: Path
    length: int
    fields: dict[str, str] = field(default_factory=dict)

    def numbers(self, key: str) -> list[float]:
        """Return the numbers of a field, NaN for what is none; empty without the field."""
        return [_parse_number(word) for word in self.fields.get(key, "").split()]


def check_nrrd(path: Path) -> list[str]:
    """Raise InputError for a NRRD file that ITK cannot read or reads wrongly; returns warnings about its header."""
    header = _read_nrrd_header(path)
    fields = header.fields
    encoding = fields.get("encoding", "raw").lower()
    if encoding not in _NRRD_ENCODINGS:
        raise InputError(f"{path}: the encoding '{encoding}' is not read; save the file with the encoding gzip or raw.")
    kind = fields.get("type", "").lower()
    if kind not in _TYPE_BYTES:
        raise InputError(f"{path}: voxels of the type '{kind}' are not read; save them as float or short.")
    sizes = header.numbers("sizes")
    _check_nrrd_geometry(header, len(sizes))
    data, start = _find_nrrd_data(header)
    if data is not None and encoding == "raw" and _is_finite(sizes):
        skipped = header.numbers("byte skip") or header.numbers("byteskip") or [0.0]
        _check_length(data, start + max(int(skipped[0]), 0), math.prod(sizes) * _TYPE_BYTES[kind])
    return list(_list_nrrd_warnings(header))


def check_meta(path: Path) -> list[str]:
    """Raise InputError for a MetaImage that ITK cannot read or reads wrongly; returns warnings about its header."""
    header = _read_meta_header(path)
    for key in ("ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "TransformMatrix"):
        if not _is_finite(header.numbers(key)):
            raise InputError(f"{path}: {key} in the header is not finite; repair the header.")
    if 0 in header.numbers("ElementSpacing"):
        raise InputError(f"{path}: the header gives an axis the length zero; repair its voxel spacing.")
    name = header.fields["ElementDataFile"]
    if name == "LIST" or "%" in name:
        return []
    data = path if name.upper() == "LOCAL" else path.parent / name
    if not data.is_file():
        hint = "; it is a Windows path: write it with /" if (path.parent / name.replace("\\", "/")).is_file() else ""
        raise InputError(f"{path}: the file with the voxels, {name}, is missing{hint}.")
    kind = header.fields.get("ElementType", "").upper().removeprefix("MET_").replace("UCHAR", "CHAR")
    size = _META_BYTES.get(kind.removeprefix("U"))
    sizes = header.numbers("DimSize")
    if size and _is_finite(sizes) and header.fields.get("CompressedData", "False").lower() != "true":
        channels = (header.numbers("ElementNumberOfChannels") or [1.0])[0]
        start = header.length if data == path else max(int((header.numbers("HeaderSize") or [0.0])[0]), 0)
        if header.fields.get("BinaryData", "True").lower() == "true":
            _check_length(data, start, math.prod(sizes) * channels * size)
    if not header.numbers("ElementSpacing") and not header.numbers("ElementSize"):
        return ["the header gives no voxel spacing; 1 mm is assumed"]
    return []


def _read_nrrd_header(path: Path) -> TextHeader:
    content = _read_start(path)
    if not content.startswith(b"NRRD"):
        raise InputError(f"{path}: this is not a NRRD file; give its name the extension that belongs to its content.")
    ends = [(content.find(mark), len(mark)) for mark in (b"\n\n", b"\r\n\r\n")]
    found = [start + length for start, length in ends if start >= 0]
    length = min(found, default=len(content))
    header = TextHeader(path, length)
    for line in content[:length].decode("utf-8", errors="replace").splitlines()[1:]:
        key, mark, value = line.partition(":")
        if mark and not line.startswith("#") and not value.startswith("="):
            header.fields.setdefault(key.strip().lower(), value.strip())
    return header


def _read_meta_header(path: Path) -> TextHeader:
    content = _read_start(path)
    fields: dict[str, str] = {}
    position = 0
    for line in content.splitlines(keepends=True):
        position += len(line)
        key, mark, value = line.decode("utf-8", errors="replace").partition("=")
        if mark:
            fields[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            return TextHeader(path, position, fields)
    raise InputError(f"{path}: this is not a MetaImage, or its header is damaged.")


def _read_start(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_MAX_HEADER_BYTES)


def _check_nrrd_geometry(header: TextHeader, dimension: int) -> None:
    path, fields = header.path, header.fields
    spacings = header.numbers("spacings")
    if dimension == 3 and "space directions" not in fields and not _is_finite(spacings):
        raise InputError(f"{path}: the header gives an axis no voxel spacing (nan); repair it.")
    units = [unit.strip().lower() for unit in fields.get("space units", "").replace('"', " ").split()]
    if any(unit not in _MILLIMETERS for unit in units):
        raise InputError(f"{path}: the header's unit of length is {units[0]}; save the volume in mm.")


def _find_nrrd_data(header: TextHeader) -> tuple[Path | None, int]:
    """Return the file with the voxels (None if there are several) and where they start."""
    name = header.fields.get("data file") or header.fields.get("datafile")
    if name is None:
        return header.path, header.length
    if name.startswith("LIST") or "%" in name:
        return None, 0
    data = header.path.parent / name
    if not data.is_file():
        raise InputError(f"{header.path}: the file with the voxels, {name}, is missing.")
    return data, 0


def _list_nrrd_warnings(header: TextHeader) -> Iterator[str]:
    fields = header.fields
    if "space directions" not in fields and "spacings" not in fields:
        yield "the header gives no voxel spacing; 1 mm is assumed"
    if "space" not in fields:
        yield "the header gives no orientation; left and right may be exchanged"
    elif fields["space"].lower().startswith(("scanner", "3d")):
        yield f"the header gives positions in the space '{fields['space']}', which says nothing of the patient's sides"


def _check_length(data: Path, start: int, length: float) -> None:
    """Raise InputError if a file with uncompressed voxels is too short."""
    available = data.stat().st_size - start
    if available < length:
        raise InputError(
            f"{data}: the file is cut off ({max(available, 0)} of {int(length)} bytes); copy or download it again."
        )


def _parse_number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _is_finite(values: list[float]) -> bool:
    return all(math.isfinite(value) for value in values)
