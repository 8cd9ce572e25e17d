"""Checks of NRRD and MetaImage headers, for what ITK reads wrongly or reports without the reason."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from .claimed_size import check_claimed_size, check_sizes, check_unpacked_size, is_file
from .settings import FILES

NRRD_SUFFIXES = (".nrrd", ".nhdr")
META_SUFFIXES = (".mha", ".mhd")
_MAX_HEADER_BYTES = 1 << 20
_MAX_CHANNELS = 1000

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
_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
_META_COUNTS = {
    **dict.fromkeys(("ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "CenterOfRotation"), 1),
    **dict.fromkeys(("TransformMatrix", "Orientation", "Rotation"), 2),
}
"""Fields of a MetaImage with one number for each axis (1), or for each pair of axes (2)."""
_META_ALIASES = {
    **dict.fromkeys(("Offset", "Position", "Origin"), "position"),
    **dict.fromkeys(("TransformMatrix", "Rotation", "Orientation"), "orientation"),
    **dict.fromkeys(("BinaryDataByteOrderMSB", "ElementByteOrderMSB"), "byte order"),
}
"""Names of one property; a header that gives it twice, differently, is read otherwise by other programs."""
_META_PATTERN = re.compile(r"[^%]*%\d*d[^%\s]*( +\d+){1,2}( +[1-9]\d*)?")
"""The names of numbered slices: of which numbers, and of every which one. ITK divides by the last, also by 0."""
_MAX_LENGTH_ERROR = 0.01
"""Axes of a MetaImage may differ from length 1 by this much: rounding. Chosen."""
_NRRD_ENCODINGS = ("raw", "txt", "text", "ascii", "hex", "gz", "gzip")
_MILLIMETERS = ("mm", "millimeter", "millimeters", "")


@dataclass(frozen=True)
class TextHeader:
    """A header of lines `key: value` (NRRD) or `key = value` (MetaImage).

    fields: values by key; NRRD keys in lower case. length: bytes of the header in the file. key_values: the lines
    `key:=value` of a NRRD header, which are for programs other than the reader.
    """

    path: Path
    length: int
    fields: dict[str, str] = field(default_factory=dict)
    key_values: dict[str, str] = field(default_factory=dict)

    def number(self, key: str, missing: float) -> float:
        """Return the first number of a field; `missing` without the field."""
        return (self.numbers(key) or [missing])[0]

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
    sizes = check_sizes(path, header.numbers("sizes"), header.number("dimension", math.nan))
    _check_nrrd_geometry(header, len(sizes))
    data, start = _find_nrrd_data(header)
    _check_nrrd_size(header, data, start, math.prod(sizes), _TYPE_BYTES[kind])
    return list(_list_nrrd_warnings(header))


def check_meta(path: Path) -> list[str]:
    """Raise InputError for a MetaImage that ITK cannot read or reads wrongly; returns warnings about its header."""
    header = _read_meta_header(path)
    sizes = check_sizes(path, header.numbers("DimSize"), header.number("NDims", math.nan))
    for key, count in _META_COUNTS.items():
        numbers = header.numbers(key)
        if not _is_finite(numbers):
            raise InputError(f"{path}: {key} in the header is not made of finite numbers; repair the header.")
        if numbers and len(numbers) != len(sizes) ** count:
            raise InputError(f"{path}: {key} in the header has {len(numbers)} numbers; repair the header.")
    _check_meta_axes(header)
    if 0 in header.numbers("ElementSpacing"):
        raise InputError(f"{path}: the header gives an axis the length zero; repair its voxel spacing.")
    name = header.fields["ElementDataFile"]
    if name.split()[:1] == ["LIST"]:
        _check_meta_list(header, sizes)
        return []
    if _META_PATTERN.fullmatch(name):
        return []
    data = path if name.upper() == "LOCAL" else path.parent / name
    if not is_file(data):
        hint = "; it is a Windows path: write it with /" if is_file(path.parent / name.replace("\\", "/")) else ""
        raise InputError(f"{path}: the file with the voxels, {name}, is missing{hint}.")
    if name.upper() != "LOCAL":
        _check_other_file(path, data)
    _check_meta_size(header, data)
    return list(_list_meta_warnings(header))


def read_text_header(path: Path) -> TextHeader:
    """Read the header of a NRRD file or a MetaImage. Raises InputError for another file."""
    is_nrrd = path.name.lower().endswith(NRRD_SUFFIXES)
    return _read_nrrd_header(path) if is_nrrd else _read_meta_header(path)


def holds_long_integers(header: TextHeader) -> bool:
    """Tell whether the voxels of a sound NRRD file or MetaImage are integers of 64 bits."""
    if header.path.name.lower().endswith(NRRD_SUFFIXES):
        kind = header.fields["type"].lower()
        return kind != "double" and _TYPE_BYTES[kind] == 8
    return header.fields["ElementType"].upper().endswith("LONG_LONG")


def _read_nrrd_header(path: Path) -> TextHeader:
    content = _read_start(path)
    if not content.startswith(b"NRRD"):
        raise InputError(f"{path}: this is not a NRRD file; give its name the extension that belongs to its content.")
    ends = [(content.find(mark), len(mark)) for mark in (b"\n\n", b"\r\n\r\n")]
    found = [start + length for start, length in ends if start >= 0]
    if not found and len(content) == _MAX_HEADER_BYTES:
        raise InputError(f"{path}: the header is damaged (it does not end within its first {len(content)} bytes).")
    length = min(found, default=len(content))
    if re.search(rb"\r(?!\n)", content[:length]):  # ITK's reader cannot read it, and in a long value it crashes
        raise InputError(f"{path}: the header is damaged (a line is cut by a carriage return); save the file again.")
    header = TextHeader(path, length)
    for line in content[:length].decode("utf-8", errors="replace").splitlines()[1:]:
        key, mark, value = line.partition(":")
        if not mark or line.startswith("#"):
            continue
        if value.startswith("="):
            header.key_values.setdefault(key, value[1:])
        else:
            header.fields.setdefault(key.strip().lower(), value.strip())
    return header


def _read_meta_header(path: Path) -> TextHeader:
    content = _read_start(path)
    fields: dict[str, str] = {}
    values: dict[str, str] = {}
    position = 0
    for line in content.splitlines(keepends=True):
        position += len(line)
        key, mark, value = line.decode("utf-8", errors="replace").partition("=")
        if mark:
            fields[key.strip()] = value.strip()
            name = _META_ALIASES.get(key.strip(), key.strip())
            if not _are_equal(values.setdefault(name, value), value):
                raise InputError(f"{path}: the header gives {name} twice, with different values; repair the header.")
        if key.strip() == "ElementDataFile":
            return TextHeader(path, position, fields)
    raise InputError(f"{path}: this is not a MetaImage, or its header is damaged.")


def _are_equal(value: str, other: str) -> bool:
    """Whether two values of a header are the same numbers or the same words."""
    words, others = value.lower().split(), other.lower().split()
    numbers = [_parse_number(word) for word in words]
    return words == others or (_is_finite(numbers) and numbers == [_parse_number(word) for word in others])


def _read_start(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_MAX_HEADER_BYTES)


def _check_nrrd_geometry(header: TextHeader, dimension: int) -> None:
    path, fields = header.path, header.fields
    spacings = header.numbers("spacings")
    if dimension == 3 and "space directions" not in fields and not _is_finite(spacings):
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
    if header.number("byte skip", header.number("byteskip", 0)) < -1:
        raise InputError(f"{path}: the header is damaged (a byte skip below -1).")


def _find_nrrd_data(header: TextHeader) -> tuple[Path | None, int]:
    """Return the file with the voxels (None if there are several) and where they start."""
    name = header.fields.get("data file") or header.fields.get("datafile")
    if name is None:
        return header.path, header.length
    if name.startswith("LIST") or "%" in name:
        return None, 0
    data = header.path.parent / name
    if not is_file(data):
        raise InputError(f"{header.path}: the file with the voxels, {name}, is missing.")
    _check_other_file(header.path, data)
    return data, 0


def _check_other_file(path: Path, data: Path) -> None:
    if data.samefile(path):
        raise InputError(f"{path}: the header names itself as the file with the voxels; repair it.")


def _list_nrrd_warnings(header: TextHeader) -> Iterator[str]:
    fields = header.fields
    if "space directions" not in fields and "spacings" not in fields:
        yield "the header gives no voxel spacing; 1 mm is assumed"
    if "space directions" in fields and "space origin" not in fields:
        yield "the header gives no position; its first voxel is put at 0, 0, 0"
    if "space" not in fields:
        yield "the header gives no orientation; left and right may be exchanged"
    elif fields["space"].lower().startswith(("scanner", "3d")):
        yield f"the header gives positions in the space '{fields['space']}', which says nothing of the patient's sides"


def _check_nrrd_size(header: TextHeader, data: Path | None, start: int, voxels: int, voxel_bytes: int) -> None:
    """Raise InputError if the file with the voxels (None: several beside the header) cannot hold them."""
    encoding = header.fields.get("encoding", "raw").lower()
    skipped = header.numbers("byte skip") or header.numbers("byteskip") or [0.0]
    if not _is_finite(skipped):
        raise InputError(f"{header.path}: the header is damaged (its byte skip is not a number).")
    if data is None:
        available = sum(file.stat().st_size for file in header.path.parent.iterdir() if file.is_file())
        if available * FILES.max_compression < voxels * voxel_bytes:
            raise InputError(f"{header.path}: the header is damaged (it claims more voxels than its files can hold).")
    elif encoding == "raw":
        check_claimed_size(data, start + max(int(skipped[0]), 0), voxels * voxel_bytes)
    elif encoding in ("gz", "gzip"):
        check_claimed_size(data, start, voxels * voxel_bytes, compressed=True)
    else:  # text: at least a digit and a space for each voxel
        check_claimed_size(data, start, voxels * 2 - 1)


def _check_meta_axes(header: TextHeader) -> None:
    """Raise InputError for axes that are not of length 1: ITK would multiply the voxel spacing by their lengths."""
    for key in ("TransformMatrix", "Orientation", "Rotation"):
        numbers = header.numbers(key)
        size = math.isqrt(len(numbers))
        axes = (numbers[start : start + size] for start in range(0, len(numbers), size or 1))
        if any(abs(math.hypot(*axis) - 1) > _MAX_LENGTH_ERROR for axis in axes):
            raise InputError(f"{header.path}: the axes of {key} in the header are not of length 1; repair the header.")


def _check_meta_list(header: TextHeader, sizes: Sequence[int]) -> None:
    """Raise InputError if the lines after a header do not name a file for each slice: ITK would read other bytes."""
    path = header.path
    if header.fields["ElementDataFile"] not in ("LIST", f"LIST {len(sizes) - 1}"):
        raise InputError(f"{path}: a LIST of files that are no slices is not read; save the volume as one file.")
    lines = _read_start(path)[header.length :].decode("utf-8", errors="replace").splitlines()
    names = [line.strip() for line in lines if line.strip()]
    if len(names) < sizes[-1]:
        raise InputError(f"{path}: the header lists {len(names)} files with voxels, but has {sizes[-1]} slices.")
    for name in names[: sizes[-1]]:
        if not is_file(path.parent / name):
            raise InputError(f"{path}: the file with the voxels, {name}, is missing.")


def _list_meta_warnings(header: TextHeader) -> Iterator[str]:
    spacing = header.numbers("ElementSpacing")
    if not spacing and not header.numbers("ElementSize"):
        yield "the header gives no voxel spacing; 1 mm is assumed"
    if any(length < 0 for length in spacing):
        yield "the header gives a negative voxel spacing; left and right may be exchanged"


def _check_meta_size(header: TextHeader, data: Path) -> None:
    """Raise InputError for an unknown voxel type, or if the file with the voxels cannot hold them."""
    path = header.path
    kind = header.fields.get("ElementType", "").upper().removeprefix("MET_").replace("UCHAR", "CHAR")
    size = _META_BYTES.get(kind.removeprefix("U"))
    if size is None:
        raise InputError(f"{path}: voxels of the type '{kind}' are not read; save them as MET_FLOAT or MET_SHORT.")
    channels, skipped = header.number("ElementNumberOfChannels", 1), header.number("HeaderSize", 0)
    packed = header.number("CompressedDataSize", 0)
    if not _is_finite([channels, skipped, packed]) or not 1 <= channels <= _MAX_CHANNELS:
        raise InputError(f"{path}: the header is damaged (its channels or the place of its voxels are impossible).")
    claimed = math.prod(int(n) for n in header.numbers("DimSize")) * int(channels) * size
    if data == path and 0 < skipped < header.length:
        raise InputError(f"{path}: the header is damaged (the voxels would begin inside it: HeaderSize).")
    start = header.length if data == path else max(int(skipped), 0)
    is_compressed = header.fields.get("CompressedData", "False").lower().startswith(("t", "1"))
    if is_compressed:
        check_claimed_size(data, start, int(packed))
    if kind in ("LONG", "ULONG") and not is_compressed and data.stat().st_size - start == 2 * claimed:
        raise InputError(
            f"{path}: the header says MET_{kind} (32 bits), but the file holds 64 bits for each voxel; write "
            f"MET_{kind}_LONG in the header."
        )
    if is_compressed or header.fields.get("BinaryData", "True").lower() == "true":
        check_claimed_size(data, start, claimed, compressed=is_compressed)
    else:
        check_claimed_size(data, start, claimed // size * 2 - 1)
    if is_compressed and packed < 1:
        raise InputError(f"{path}: the header lacks CompressedDataSize; without it ITK reads other values.")
    if is_compressed:
        check_unpacked_size(data, start, int(packed), claimed, path)


def _parse_number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _is_finite(values: list[float]) -> bool:
    return all(math.isfinite(value) for value in values)
