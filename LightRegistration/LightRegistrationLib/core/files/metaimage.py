"""Checks of MetaImage headers, for what ITK reads wrongly or reports without the reason."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from .claimed_size import check_claimed_size, check_sizes, check_unpacked_size, list_surplus_warnings
from .data_files import LIST, find_data_file, find_data_files, is_numbered, number_names
from .text_header import TextHeader, is_finite, read_meta_header
from .text_voxels import check_text_voxels

META_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
"""The names of voxel types, and their numpy types."""
_COUNTS = {
    **dict.fromkeys(("ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "CenterOfRotation"), 1),
    **dict.fromkeys(("TransformMatrix", "Orientation", "Rotation"), 2),
}
"""Fields with one number for each axis (1), or for each pair of axes (2)."""
_PATTERN = re.compile(r"(\S+) +(\d{1,9})(?: +(\d{1,9}))?(?: +(\d{1,9}))?")
"""Numbered slices: their name, the first and the last number, and the step."""
_MAX_LENGTH_ERROR = 0.01
"""Axes may differ from length 1 by this much: rounding. Chosen."""
_MAX_CHANNELS = 1000
_LOCAL = ("LOCAL", "Local", "local")


def check_meta(path: Path) -> list[str]:
    """Raise InputError for a MetaImage that ITK cannot read or reads wrongly; returns warnings about its header."""
    header = read_meta_header(path)
    sizes = check_sizes(path, header.numbers("DimSize"), header.number("NDims", math.nan))
    for key, count in _COUNTS.items():
        numbers = header.numbers(key)
        if not is_finite(numbers):
            raise InputError(f"{path}: {key} in the header is not made of finite numbers; repair the header.")
        if numbers and len(numbers) != len(sizes) ** count:
            raise InputError(f"{path}: {key} in the header has {len(numbers)} numbers; repair the header.")
    _check_axes(header)
    if 0 in header.numbers("ElementSpacing"):
        raise InputError(f"{path}: the header gives an axis the length zero; repair its voxel spacing.")
    unit = header.fields.get("DistanceUnits", "mm")
    if unit.lower() not in ("mm", "?"):
        raise InputError(f"{path}: the header's unit of length is {unit[:40]}; save the volume in mm.")
    surplus = _check_size(header, _find_data(header, sizes[-1]), sizes)
    return [*surplus, *_list_warnings(header)]


def _check_axes(header: TextHeader) -> None:
    """Raise InputError for axes that are not of length 1: ITK would multiply the voxel spacing by their lengths."""
    for key in ("TransformMatrix", "Orientation", "Rotation"):
        numbers = header.numbers(key)
        size = math.isqrt(len(numbers))
        axes = (numbers[start : start + size] for start in range(0, len(numbers), size or 1))
        if any(abs(math.hypot(*axis) - 1) > _MAX_LENGTH_ERROR for axis in axes):
            raise InputError(f"{header.path}: the axes of {key} in the header are not of length 1; repair the header.")


def _find_data(header: TextHeader, slices: int) -> list[Path]:
    """Return the files with the voxels: one, or one for each slice. Raises InputError if one is missing or elsewhere.

    Of other numbers of files ITK would read other bytes.
    """
    path, name = header.path, header.fields["ElementDataFile"]
    if name in _LOCAL:
        return [path]
    if name.startswith(LIST):
        if name not in (LIST, f"{LIST} {int(header.number('NDims', 3)) - 1}"):
            raise InputError(f"{path}: a LIST of files that are no slices is not read; save the volume as one file.")
        if len(header.listed) < slices:
            raise InputError(
                f"{path}: the header lists {len(header.listed)} files with voxels, but has {slices} slices."
            )
        return find_data_files(path, header.listed[:slices])
    if "%" in name:
        return find_data_files(path, _list_numbered(path, name, slices))
    return [find_data_file(path, name)]


def _list_numbered(path: Path, name: str, slices: int) -> Iterable[str]:
    """Return the names of numbered slices. ITK counts with a step of (last - first) / slices where none is given."""
    numbered = _PATTERN.fullmatch(name)
    if numbered is None or not is_numbered(numbered[1]):
        raise InputError(f"{path}: the header's numbered files, '{name}', cannot be read; list their names instead.")
    first = int(numbered[2])
    last = first + slices - 1 if numbered[3] is None else int(numbered[3])
    step = 1 if numbered[3] is None else (last - first) // slices if numbered[4] is None else int(numbered[4])
    numbers = range(first, last + 1, step) if step > 0 else ()
    if len(numbers) < slices:
        raise InputError(
            f"{path}: the header's numbers of files, '{name}', are fewer than its {slices} slices; repair the header."
        )
    return number_names(numbered[1], numbers[:slices])


def _list_warnings(header: TextHeader) -> Iterator[str]:
    fields, spacing = header.fields, header.numbers("ElementSpacing")
    kind = META_TYPES[fields["ElementType"].upper()]
    if not any(key in fields for key in ("TransformMatrix", "Orientation", "Rotation")):
        yield "the header gives no orientation; left and right may be exchanged"
    if not any(key in fields for key in ("Offset", "Position", "Origin")):
        yield "the header gives no position; its first voxel is put at 0, 0, 0"
    has_order = "BinaryDataByteOrderMSB" in fields or "ElementByteOrderMSB" in fields
    if not has_order and not kind.endswith("1") and is_true(header, "BinaryData", missing=True):
        yield "the header gives no byte order; the least significant byte is taken to be the first"
    scale = [header.number(f"ElementToIntensityFunction{part}", n) for part, n in (("Slope", 1), ("Offset", 0))]
    if scale != [1, 0]:
        yield "the header gives a scale of the values (ElementToIntensityFunction), which is not applied"
    if not spacing and not header.numbers("ElementSize"):
        yield "the header gives no voxel spacing; 1 mm is assumed"
    if any(length < 0 for length in spacing):
        yield "the header gives a negative voxel spacing; left and right may be exchanged"


def _check_size(header: TextHeader, files: Sequence[Path], sizes: Sequence[int]) -> list[str]:
    """Raise InputError for an unknown voxel type, or if the files with the voxels cannot hold them in equal shares.

    Returns warnings.
    """
    path = header.path
    kind = header.fields.get("ElementType", "").upper()
    if kind not in META_TYPES:
        name = kind.removeprefix("MET_")
        raise InputError(f"{path}: voxels of the type '{name}' are not read; save them as MET_FLOAT or MET_SHORT.")
    channels, skipped = header.number("ElementNumberOfChannels", 1), header.number("HeaderSize", 0)
    packed = header.number("CompressedDataSize", 0)
    if not is_finite([channels, skipped, packed]) or not 1 <= channels <= _MAX_CHANNELS:
        raise InputError(f"{path}: the header is damaged (its channels or the place of its voxels are impossible).")
    if files[0] == path and 0 < skipped < header.length:
        raise InputError(f"{path}: the header is damaged (the voxels would begin inside it: HeaderSize).")
    size = np.dtype(META_TYPES[kind]).itemsize
    claimed = math.prod(sizes) * int(channels) * size // len(files)
    warnings: list[str] = []
    is_compressed = is_true(header, "CompressedData")
    for data in files:
        start = header.length if data == path else max(int(skipped), 0)
        if is_compressed:
            check_claimed_size(data, start, int(packed))
        elif kind in ("MET_LONG", "MET_ULONG") and data.stat().st_size - start == 2 * claimed:
            raise InputError(
                f"{path}: the header says {kind} (32 bits), but the file holds 64 bits for each voxel; write "
                f"{kind}_LONG in the header."
            )
        if is_compressed or is_true(header, "BinaryData", missing=True):
            check_claimed_size(data, start, claimed, compressed=is_compressed)
        else:
            check_claimed_size(data, start, claimed // size * 2 - 1)
            check_text_voxels(data, start, claimed // size, META_TYPES[kind], kind, for_metaimage=True)
        if is_compressed and packed < 1:
            raise InputError(f"{path}: the header lacks CompressedDataSize; without it ITK reads other values.")
        if is_compressed:
            check_unpacked_size(data, start, int(packed), claimed, path)
        elif skipped >= 0 and is_true(header, "BinaryData", missing=True):
            slice_bytes = math.prod(sizes[:-1]) * int(channels) * size
            warnings += list_surplus_warnings(data, start, claimed, slice_bytes)
    return warnings


def is_true(header: TextHeader, key: str, *, missing: bool = False) -> bool:
    """Tell whether a field says that something is so; `missing` without the field."""
    return header.fields.get(key, str(missing)).lower().startswith(("t", "1"))
