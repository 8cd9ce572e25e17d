"""Check of PLY surfaces: VTK's reader crashes on files that are cut off and on faces with points that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .settings import FILES

_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_FACES, _VERTICES = "face", "vertex"
_END = b"end_header"


@dataclass
class _Element:
    """One kind of element: how many there are, and the types of their properties; lists: (length type, value type)."""

    name: str
    count: int
    properties: list[tuple[str, ...]] = field(default_factory=list)


def check_ply(path: Path) -> None:
    """Raise InputError for a PLY file that is cut off, or whose faces name points that are not there."""
    content = path.read_bytes()
    end = content.find(_END)
    start = content.find(b"\n", end) + 1
    if not content.startswith(b"ply") or end < 0 or start == 0:
        raise InputError(f"{path}: cannot be read as a surface; it is damaged, empty, or of another kind.")
    try:
        order, elements = _parse_header(content[:end].decode("ascii").splitlines())
        count = next((e.count for e in elements if e.name == _VERTICES), 0)
        read = _read_text if order == "" else _read_binary
        faces = read(content[start:], elements, order)
    except (UnicodeDecodeError, ValueError, KeyError, IndexError) as error:
        raise InputError(f"{path}: the surface is cut off or damaged; save it again.") from error
    if faces.size and not (faces.min() >= 0 and faces.max() < count):
        raise InputError(f"{path}: the surface is damaged (a face has a point that is not there); save it again.")


def _parse_header(lines: list[str]) -> tuple[str, list[_Element]]:
    order, elements = "", list[_Element]()
    for line in lines[1:]:
        words = line.split()
        if words[:1] == ["format"]:
            order = _ORDERS[words[1]]
        elif words[:1] == ["element"]:
            elements.append(_Element(words[1], int(words[2])))
            if elements[-1].count < 0:
                raise ValueError(line)
        elif words[:2] == ["property", "list"]:
            elements[-1].properties.append((_TYPES[words[2]], _TYPES[words[3]]))
        elif words[:1] == ["property"]:
            elements[-1].properties.append((_TYPES[words[1]],))
        elif words and words[0] not in ("comment", "obj_info"):
            raise ValueError(line)
    if any(e.name == _VERTICES and any(len(types) > 1 for types in e.properties) for e in elements):
        raise ValueError("a list in the points")
    return order, elements


def _read_text(content: bytes, elements: list[_Element], order: str) -> NDArray[np.int64]:
    """Read the points of the faces (n) of a text file; its elements are lines."""
    lines = [line for line in content.split(b"\n") if line.strip()]
    faces: list[int] = []
    for element in elements:
        rows, lines = lines[: element.count], lines[element.count :]
        if len(rows) < element.count:
            raise ValueError("cut off")
        for row in rows:
            words = iter(row.split())
            for types in element.properties:
                values = [float(_next(words)) for _ in range(int(_next(words)) if len(types) > 1 else 1)]
                if element.name == _FACES and len(types) > 1:
                    faces += map(int, values)
    return np.array(faces, np.int64)


def _next(words: Iterator[bytes]) -> bytes:
    word = next(words, b"")
    if len(word) > FILES.max_header_word:
        raise ValueError("no number")
    return word


def _read_binary(content: bytes, elements: list[_Element], order: str) -> NDArray[np.int64]:
    """Read the points of the faces (n) of a binary file."""
    position, faces = 0, []
    for element in elements:
        is_plain = all(len(types) == 1 for types in element.properties)
        if is_plain:
            position += element.count * sum(np.dtype(types[0]).itemsize for types in element.properties)
            if position > len(content):
                raise ValueError("cut off")
            continue
        for _ in range(element.count):
            for types in element.properties:
                count = 1
                if len(types) > 1:
                    count = int(np.frombuffer(content, order + types[0], 1, position)[0])
                    position += np.dtype(types[0]).itemsize
                values = np.frombuffer(content, order + types[-1], count, position) if count else np.zeros(0)
                position += count * np.dtype(types[-1]).itemsize
                if element.name == _FACES and len(types) > 1:
                    faces.append(values.astype(np.int64))
    return np.concatenate(faces) if faces else np.zeros(0, np.int64)
