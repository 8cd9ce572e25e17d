"""Checks of ITK's transform files of text and of MATLAB 4: of too few parameters ITK reads other ones, or crashes."""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from .settings import FILES

TEXT_TRANSFORM_SUFFIXES = (".tfm", ".txt")
MATLAB_TRANSFORM_SUFFIX = ".mat"
_COUNTS = {
    "AffineTransform": (12, (3,)),
    "MatrixOffsetTransformBase": (12, (3,)),
    "Rigid3DTransform": (12, (3,)),
    "Euler3DTransform": (6, (3, 4)),
    "VersorTransform": (3, (3,)),
    "VersorRigid3DTransform": (6, (3,)),
    "QuaternionRigidTransform": (7, (3,)),
    "Similarity3DTransform": (7, (3,)),
    "ScaleVersor3DTransform": (9, (3,)),
    "ScaleSkewVersor3DTransform": (15, (3,)),
    "ScaleTransform": (3, (3,)),
    "TranslationTransform": (3, (0,)),
}
"""Numbers of the parameters and of the fixed parameters of ITK's linear transforms."""
_VERSORS = {
    **dict.fromkeys(("VersorTransform", "VersorRigid3DTransform", "Similarity3DTransform"), 3),
    **dict.fromkeys(("ScaleVersor3DTransform", "ScaleSkewVersor3DTransform"), 3),
    "QuaternionRigidTransform": 4,
}
"""How many of the first parameters are a versor, which is no longer than 1, or a quaternion, which is as long."""
_VERSOR_TOLERANCE = 1e-2
"""Rounding. Chosen."""
_GRIDS = ("BSplineTransform", "BSplineDeformableTransform", "DisplacementFieldTransform")
_GRID_COUNT = 18
"""Fixed parameters of a grid: size, origin, spacing, directions. It has three parameters for each node."""
_WITHOUT_PARAMETERS = ("CompositeTransform", "IdentityTransform")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_HDF5_NAME = re.compile(rb"Transform_(?:double|float)_(\d)_(\d)\b")
"""The classes in an .h5 file; their names are not compressed."""
WRONG_DIMENSIONS = "the transform is not one of three dimensions; use another one."
_KEYS = ("Parameters", "FixedParameters")
_MATLAB_HEADER, _MATLAB_TYPES = struct.Struct("<5i"), {0: 8, 10: 4}


@dataclass
class _Block:
    """One transform of a file: its class, and its numbers by key."""

    name: str
    numbers: dict[str, list[float]] = field(default_factory=dict)


def check_transform_parameters(path: Path) -> None:
    """Raise InputError for a text or MATLAB file of which a transform has not the numbers that its class needs."""
    is_text = path.name.lower().endswith(TEXT_TRANSFORM_SUFFIXES)
    blocks = list(_read_text(path) if is_text else _read_matlab(path))
    if not blocks:
        raise InputError(f"{path}: cannot be read as a transform; there is none of ITK in it.")
    for block in blocks:
        _, *types = block.name.split("_")
        if len(types) == 3 and types[1:] != ["3", "3"]:
            raise InputError(f"{path}: {WRONG_DIMENSIONS}")
        for problem in _find_problems(block):
            raise InputError(f"{path}: the transform is damaged ({block.name[:40]} {problem}); write it again.")


def check_hdf5_transform(path: Path) -> None:
    """Raise InputError for a .h5 file with a transform that is not of three dimensions: Slicer takes it for one."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for name in _HDF5_NAME.finditer(content):
            if name.groups() != (b"3", b"3"):
                raise InputError(f"{path}: {WRONG_DIMENSIONS}")


def _read_text(path: Path) -> Iterator[_Block]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read as a transform; it is damaged or no text.") from error
    block = None
    for line in lines:
        key, mark, value = (part.strip() for part in line.partition(":"))
        if not line.strip() or line.startswith("#"):
            continue
        if key == "Transform":
            if block is not None:
                yield block
            block = _Block(value)
        elif not mark or block is None or key not in _KEYS or key in block.numbers:
            raise InputError(f"{path}: cannot be read as a transform; the line '{line.strip()[:40]}' is none of ITK's.")
        else:
            block.numbers[key] = [_parse_number(word) for word in value.split()]
    if block is not None:
        yield block


def _parse_number(word: str) -> float:
    is_number = len(word) <= FILES.max_header_word and _NUMBER.fullmatch(word)
    return float(word) if is_number else math.nan


def _read_matlab(path: Path) -> Iterator[_Block]:
    """Read pairs of matrices: the parameters under the name of the class, then those called `fixed`."""
    content, position = path.read_bytes(), 0
    block = None
    while position < len(content):
        name, numbers, position = _read_matrix(path, content, position)
        if name == "fixed" and block is not None and "FixedParameters" not in block.numbers:
            block.numbers["FixedParameters"] = numbers
            continue
        if block is not None:
            yield block
        block = _Block(name, {"Parameters": numbers})
    if block is not None:
        yield block


def _read_matrix(path: Path, content: bytes, position: int) -> tuple[str, list[float], int]:
    try:
        kind, rows, columns, imaginary, length = _MATLAB_HEADER.unpack_from(content, position)
        if imaginary or min(rows, columns) < 0 or kind not in _MATLAB_TYPES or not 0 < length < FILES.max_header_word:
            raise ValueError
        start = position + _MATLAB_HEADER.size + length
        name = content[start - length : start].rstrip(b"\0").decode("ascii")
        code = "d" if _MATLAB_TYPES[kind] == 8 else "f"
        count = rows * columns
        if count * _MATLAB_TYPES[kind] > len(content) - start:
            raise ValueError
        numbers = struct.unpack_from(f"<{count}{code}", content, start)
    except (struct.error, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a transform; it is damaged or no file of MATLAB 4.") from error
    return name, list(numbers), start + count * _MATLAB_TYPES[kind]


def _find_problems(block: _Block) -> Iterable[str]:
    kind, *types = block.name.split("_")
    if types not in (["double", "3", "3"], ["float", "3", "3"]):
        yield "is not a transform of three dimensions"
    if kind in _WITHOUT_PARAMETERS:
        return
    missing = [key for key in _KEYS if key not in block.numbers]
    if missing:
        yield f"lacks {missing[0]}"
    if not all(map(math.isfinite, (n for key in _KEYS for n in block.numbers.get(key, [])))):
        yield "has what is no number"
    parameters, fixed = (block.numbers.get(key, []) for key in _KEYS)
    if kind in _COUNTS:
        count, fixed_counts = _COUNTS[kind]
    elif kind in _GRIDS:
        count, fixed_counts = 3 * round(math.prod(fixed[:3])), (_GRID_COUNT,)
    else:
        return
    if len(parameters) != count or len(fixed) not in fixed_counts:
        yield f"has {len(parameters)} and {len(fixed)} numbers, not {count} and {fixed_counts[-1]}"
    length = math.hypot(*parameters[: _VERSORS.get(kind, 0)])
    if length > 1 + _VERSOR_TOLERANCE or (kind == "QuaternionRigidTransform" and length < 1 - _VERSOR_TOLERANCE):
        yield f"has a rotation whose numbers have the length {length:g}"
