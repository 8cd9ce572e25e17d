"""The segments that the header of a .seg.nrrd file lists, with checks: else Slicer's reader would lose segments."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .nrrd import check_nrrd
from .text_header import TextHeader, read_text_header

MAX_EXTENT_FACTOR = 8
"""Segments whose extents hold more than this many times the voxels of the grid are refused: the reader reserves memory
for them. Chosen: extents that were left over from an uncropped grid are read."""
MAX_EXTENT_INDEX = 10_000_000
"""Extents and offsets with larger numbers are refused: the reader counts with 32 bits, and crashes. Chosen."""
_OFFSET = "Segmentation_ReferenceImageExtentOffset"
_FIELD = re.compile(r"Segment(\d{1,9})_(\w+)")
_LIST_DIMENSIONS = 4


@dataclass(frozen=True)
class StoredSegment:
    """One segment of a file: its identifier, and its label value in its layer."""

    identifier: str
    value: int
    layer: int


def read_stored_segments(path: Path) -> tuple[StoredSegment, ...]:
    """Read the segments of a .seg.nrrd file; none if they have no label values, but a layer each, as those of old
    versions of Slicer.

    Raises InputError for a header from which segments would be read wrongly or not at all.
    """
    check_nrrd(path)
    header = read_text_header(path)
    if any("\0" in text for pair in header.key_values.items() for text in pair):
        raise InputError(f"{path}: the header is damaged (it holds a null character); save it again in Slicer.")
    entries = _collect(header)
    sizes = [int(size) for size in header.numbers("sizes")]
    if len(sizes) not in (_LIST_DIMENSIONS - 1, _LIST_DIMENSIONS):
        raise InputError(f"{path}: a segmentation has 3 axes, or 4 with layers, but this has {len(sizes)}.")
    layers, grid = (sizes[0], sizes[1:]) if len(sizes) == _LIST_DIMENSIONS else (1, sizes)
    if [number for number, entry in sorted(entries.items()) if entry.get("ID")] != list(range(len(entries))):
        raise InputError(f"{path}: the segments are not numbered from 0 on with an ID each; save it again in Slicer.")
    if _OFFSET in header.key_values:
        _parse_indices(path, f"{_OFFSET} of the segmentation", header.key_values[_OFFSET], 3)
    for number, entry in entries.items():
        _check_extent(path, number, entry.get("Extent", ""), grid)
    _check_distinct(path, [entry["ID"] for entry in entries.values()], "ID")
    with_value = sum("LabelValue" in entry for entry in entries.values())
    if with_value == 0 and layers == len(entries):
        return ()
    if with_value < len(entries):
        raise InputError(f"{path}: {len(entries) - with_value} segments have no label value; save it again in Slicer.")
    segments = tuple(_parse(path, number, entry, layers) for number, entry in sorted(entries.items()))
    _check_distinct(path, [f"{segment.value} in layer {segment.layer}" for segment in segments], "label value")
    return segments


def _collect(header: TextHeader) -> dict[int, dict[str, str]]:
    """Collect the fields of each segment by its number."""
    entries: dict[int, dict[str, str]] = {}
    for key, value in header.key_values.items():
        match = _FIELD.fullmatch(key)
        if match:
            entries.setdefault(int(match[1]), {})[match[2]] = value
    return entries


def _parse(path: Path, number: int, entry: dict[str, str], layers: int) -> StoredSegment:
    value, layer = (_parse_count(entry.get(key, missing)) for key, missing in (("LabelValue", ""), ("Layer", "0")))
    if value is None or value == 0:
        raise InputError(f"{path}: the label value of segment {number} is no whole number above 0; repair the header.")
    if layer is None or layer >= layers:
        raise InputError(f"{path}: segment {number} is in a layer that the file does not hold; repair the header.")
    return StoredSegment(entry["ID"], value, layer)


def _check_extent(path: Path, number: int, text: str, grid: list[int]) -> None:
    """Raise InputError for an extent that is none, or that is much larger than the grid."""
    bounds = _parse_indices(path, f"Extent of segment {number}", text, 6)
    voxels = allowed = 1
    for size, low, high in zip(grid, bounds[::2], bounds[1::2], strict=True):
        voxels *= max(high - low + 1, 0)
        allowed *= size
    if voxels > MAX_EXTENT_FACTOR * allowed:
        raise InputError(f"{path}: the Extent of segment {number} is far larger than the grid; repair the header.")


def _parse_indices(path: Path, what: str, text: str, count: int) -> list[int]:
    """Read whole numbers. Raises InputError for another count of them, and for numbers that no grid has."""
    words = text.split()
    if len(words) != count or not all(re.fullmatch(r"[-+]?\d{1,9}", word, re.ASCII) for word in words):
        name = {3: "three", 6: "six"}[count]
        raise InputError(f"{path}: the {what} is not {name} whole numbers below {MAX_EXTENT_INDEX}; repair the header.")
    numbers = [int(word) for word in words]
    if max(map(abs, numbers)) > MAX_EXTENT_INDEX:
        raise InputError(f"{path}: the {what} is not within {MAX_EXTENT_INDEX} voxels; repair the header.")
    return numbers


def _check_distinct(path: Path, values: list[str], what: str) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise InputError(f"{path}: two segments have the {what} '{repeated[0][:40]}'; repair the header.")


def _parse_count(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\s*\d{1,9}\s*", text) else None
