"""Voxels that are written as text: ITK's readers let numbers beyond the voxel type wrap around, and cut fractions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import InputError
from .settings import FILES

_INTEGER = r"[-+]?\d+"
_FINITE = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_FLOAT = _FINITE + r"|[-+]?(?:nan|inf|infinity)"
_SHOWN_CHARACTERS = 40


def check_text_voxels(
    path: Path, start: int, count: int, dtype: str, kind: str, *, skipped_lines: int = 0, for_metaimage: bool = False
) -> None:
    """Raise InputError unless a file holds so many numbers from `start` on, separated by blanks, that fit their type.

    start: bytes. dtype: the voxel type as numpy names it. kind: as the header names it. skipped_lines: after `start`.
    for_metaimage: its reader takes no NaN and no infinity, and needs a blank after the last number.
    """
    number = _INTEGER if not dtype.startswith("f") else _FINITE if for_metaimage else _FLOAT
    # Possessive: a wrong word must not be looked for in every way to cut the words before it.
    pattern = re.compile(rf"(?:(?:{number})(?: |$))*+".encode(), re.IGNORECASE)
    found = 0
    with path.open("rb") as stream:
        stream.seek(start)
        for _ in range(skipped_lines):
            stream.readline(FILES.read_bytes)
        for words in _read_words(stream):
            found += len(words)
            if found > count:
                break
            if not _fit(words, dtype, pattern):
                wrong = next(word for word in words if not _fit([word], dtype, pattern))
                shown = wrong[:_SHOWN_CHARACTERS].decode(errors="replace")
                raise InputError(
                    f"{path}: the number '{shown}' among the voxels does not fit their type, {kind}; repair the type "
                    "in the header, or the number."
                )
    if found != count:
        amount = "more than" if found > count else f"only {found} of"
        raise InputError(f"{path}: the file holds {amount} the {count} voxels of its header; repair the header.")
    if for_metaimage and not _ends_blank(path):
        raise InputError(f"{path}: there is no line end after the last voxel; add one.")


def _ends_blank(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read().isspace()


def _read_words(stream: IO[bytes]) -> Iterator[list[bytes]]:
    """Yield the words of a file in lists, each without a comma at its end."""
    rest = b""
    while chunk := stream.read(FILES.read_bytes):
        words = (rest + chunk).split()
        # The last word may go on in the next bytes.
        rest = words.pop() if words and not chunk[-1:].isspace() else b""
        if len(rest) > FILES.read_bytes:
            yield [rest]
        yield [word.removesuffix(b",") for word in words]
    if rest:
        yield [rest.removesuffix(b",")]


def _fit(words: list[bytes], dtype: str, pattern: re.Pattern[bytes]) -> bool:
    """Tell whether words are numbers that a type can hold."""
    line = b" ".join(words)
    if max(map(len, words), default=0) > FILES.max_header_word or not pattern.fullmatch(line):
        return False
    if dtype in ("i8", "u8"):
        return _fit_long_integers(words, dtype)
    values = np.fromstring(line.decode(), sep=" ")
    if not dtype.startswith("f"):
        limits = np.iinfo(dtype)
        return not len(values) or bool(limits.min <= values.min() and values.max() <= limits.max)
    with np.errstate(over="ignore"):
        are_infinite = np.isinf(values.astype(dtype))
    return all(b"inf" in words[n].lower() for n in np.flatnonzero(are_infinite))


def _fit_long_integers(words: list[bytes], dtype: str) -> bool:
    try:
        np.array(words, dtype=dtype)
    except (OverflowError, ValueError):
        return False
    return True
