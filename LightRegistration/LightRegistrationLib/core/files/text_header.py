"""The headers of NRRD files and MetaImages: lines of text before the voxels, or in a file of their own."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from .data_files import LIST

NRRD_SUFFIXES = (".nrrd", ".nhdr")
META_SUFFIXES = (".mha", ".mhd")
DATA_FILE = "data file"
_NRRD_MAGIC = b"NRRD"
_MAX_HEADER_BYTES = 1 << 20
_NRRD_ALIASES = {"datafile": DATA_FILE, "byteskip": "byte skip", "lineskip": "line skip", "centers": "centerings"}
_META_ALIASES = {
    **dict.fromkeys(("Offset", "Position", "Origin"), "position"),
    **dict.fromkeys(("TransformMatrix", "Rotation", "Orientation"), "orientation"),
    **dict.fromkeys(("BinaryDataByteOrderMSB", "ElementByteOrderMSB"), "byte order"),
}
"""Names of one property; a header that gives it twice, differently, is read otherwise by other programs."""


@dataclass(frozen=True)
class TextHeader:
    """A header of lines `key: value` (NRRD) or `key = value` (MetaImage).

    fields: values by key; NRRD keys in lower case. length: bytes of the header in the file. key_values: the lines
    `key:=value` of a NRRD header, which are for programs other than the reader. listed: the lines after the field with
    the name of the data file, if it begins with LIST.
    """

    path: Path
    length: int
    fields: dict[str, str] = field(default_factory=dict)
    key_values: dict[str, str] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)

    def number(self, key: str, missing: float) -> float:
        """Return the first number of a field; `missing` without the field."""
        return (self.numbers(key) or [missing])[0]

    def numbers(self, key: str) -> list[float]:
        """Return the numbers of a field, NaN for what is none; empty without the field."""
        return [parse_number(word) for word in self.fields.get(key, "").split()]


def read_text_header(path: Path) -> TextHeader:
    """Read the header of a NRRD file or a MetaImage. Raises InputError for another file."""
    return read_nrrd_header(path) if path.name.lower().endswith(NRRD_SUFFIXES) else read_meta_header(path)


def is_nrrd(path: Path) -> bool:
    """Tell whether a file begins as a NRRD file, by which ITK knows it, whatever its name."""
    with path.open("rb") as stream:
        return stream.read(len(_NRRD_MAGIC)) == _NRRD_MAGIC


def read_nrrd_header(path: Path) -> TextHeader:
    """Read the header of a NRRD file. Raises InputError for another file."""
    content = _read_start(path)
    if not content.startswith(_NRRD_MAGIC):
        raise InputError(f"{path}: this is not a NRRD file; give its name the extension that belongs to its content.")
    ends = [(content.find(mark), len(mark)) for mark in (b"\n\n", b"\r\n\r\n")]
    found = [start + length for start, length in ends if start >= 0]
    if not found and len(content) == _MAX_HEADER_BYTES:
        raise InputError(f"{path}: the header is damaged (it does not end within its first {len(content)} bytes).")
    length = min(found, default=len(content))
    if re.search(rb"\r(?!\n)", content[:length]):  # ITK's reader cannot read it, and in a long value it crashes
        raise InputError(f"{path}: the header is damaged (a line is cut by a carriage return); save the file again.")
    header = TextHeader(path, length)
    lines = [line.removesuffix("\r") for line in content[:length].decode("utf-8", errors="replace").split("\n")]
    for number, line in enumerate(lines[1:], start=1):
        key, mark, value = line.partition(":")
        if not mark or line.startswith("#"):
            continue
        if value.startswith("="):
            header.key_values.setdefault(key, value[1:])
            continue
        name = _NRRD_ALIASES.get(key.strip().lower(), key.strip().lower())
        header.fields.setdefault(name, value.strip())
        if name == DATA_FILE and value.strip().startswith(LIST):
            header.listed.extend(line.strip() for line in lines[number + 1 :] if line.strip())
            break
    return header


def read_meta_header(path: Path) -> TextHeader:
    """Read the header of a MetaImage. Raises InputError for another file."""
    content = _read_start(path)
    if content.startswith(_NRRD_MAGIC):
        raise InputError(f"{path}: this is a NRRD file; give its name the extension .nrrd.")
    fields: dict[str, str] = {}
    values: dict[str, str] = {}
    position = 0
    for line in content.split(b"\n"):
        position += len(line) + 1
        key, mark, value = _split_meta_line(line)
        if not mark and key:
            break
        fields[key] = value
        name = _META_ALIASES.get(key, key)
        if not _are_equal(values.setdefault(name, value), value):
            raise InputError(f"{path}: the header gives {name} twice, with different values; repair the header.")
        if key == "ElementDataFile":
            header = TextHeader(path, position, fields)
            if value.startswith(LIST):
                lines = content[position:].decode("utf-8", errors="replace").split("\n")
                header.listed.extend(line.strip() for line in lines if line.strip())
            return header
    raise InputError(f"{path}: this is not a MetaImage, or its header is damaged.")


def _split_meta_line(line: bytes) -> tuple[str, str, str]:
    """Split a line at the first = or :, both of which ITK's reader takes, into its key, the sign, and its value."""
    text = line.decode("utf-8", errors="replace")
    key, *rest = re.split("[=:]", text, maxsplit=1)
    return key.strip(), text[len(key) : len(key) + 1], "".join(rest).strip()


def _are_equal(value: str, other: str) -> bool:
    """Whether two values of a header are the same numbers or the same words."""
    words, others = value.lower().split(), other.lower().split()
    numbers = [parse_number(word) for word in words]
    return words == others or (is_finite(numbers) and numbers == [parse_number(word) for word in others])


def _read_start(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_MAX_HEADER_BYTES)


def parse_number(word: str) -> float:
    """Return a word as a number; NaN for what is none."""
    try:
        return float(word)
    except ValueError:
        return math.nan


def is_finite(values: list[float]) -> bool:
    """Whether all numbers of a field are finite."""
    return all(math.isfinite(value) for value in values)
