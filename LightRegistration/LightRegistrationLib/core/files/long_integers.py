"""Voxels that are integers of 64 bits, in NRRD files and MetaImages: ITK's reader rounds them to 32-bit numbers."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from .metaimage import META_TYPES, is_true
from .nrrd import NRRD_TYPES
from .plain_file import is_file
from .text_header import DATA_FILE, NRRD_SUFFIXES, TextHeader

_SKIPS = ("line skip", "byte skip")


def holds_long_integers(header: TextHeader) -> bool:
    """Tell whether the voxels of a sound NRRD file or MetaImage are integers of 64 bits."""
    fields = header.fields
    if header.path.name.lower().endswith(NRRD_SUFFIXES):
        return NRRD_TYPES[fields["type"].lower()] in ("i8", "u8")
    return META_TYPES[fields["ElementType"].upper()] in ("i8", "u8")


def read_long_integers(header: TextHeader) -> NDArray | None:
    """Read the voxels of a sound file with integers of 64 bits, (n), in the order of the file.

    None if they lie in several files or begin at another place than usual, or if they are written in another way than
    raw, compressed by deflate, or as decimal numbers.
    """
    is_nrrd = header.path.name.lower().endswith(NRRD_SUFFIXES)
    try:
        return _read_nrrd(header) if is_nrrd else _read_meta(header)
    except (OverflowError, ValueError, zlib.error):
        return None


def _read_nrrd(header: TextHeader) -> NDArray | None:
    fields = header.fields
    kind = fields["type"].lower()
    name = fields.get(DATA_FILE)
    data = header.path if name is None else header.path.parent / name
    if not is_file(data) or any(header.number(key, 0) for key in _SKIPS):
        return None
    with data.open("rb") as stream:
        stream.seek(header.length if name is None else 0)
        content = stream.read()
    encoding = fields.get("encoding", "raw").lower()
    if encoding in ("gz", "gzip"):
        content = zlib.decompressobj(wbits=47).decompress(content)
    is_text = encoding in ("txt", "text", "ascii")
    if not is_text and encoding not in ("raw", "gz", "gzip"):
        return None
    order = ">" if fields.get("endian", "little").lower() == "big" else "<"
    return _decode(content, order, kind.startswith("u"), is_text)


def _read_meta(header: TextHeader) -> NDArray | None:
    fields = header.fields
    if not is_true(header, "BinaryData", missing=True):
        return None
    name = fields["ElementDataFile"]
    is_local = name.upper() == "LOCAL"
    data = header.path if is_local else header.path.parent / name
    if not is_file(data) or header.number("HeaderSize", 0):
        return None
    with data.open("rb") as stream:
        stream.seek(header.length if is_local else 0)
        content = stream.read()
    if is_true(header, "CompressedData"):
        content = zlib.decompressobj(wbits=47).decompress(content)
    order = ">" if any(is_true(header, key) for key in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")) else "<"
    return _decode(content, order, "ULONG" in fields["ElementType"].upper(), is_text=False)


def _decode(content: bytes, order: str, is_unsigned: bool, is_text: bool) -> NDArray:
    if is_text:
        return np.array(content.split(), np.uint64 if is_unsigned else np.int64)
    count = len(content) // 8
    return np.frombuffer(content, f"{order}{'u' if is_unsigned else 'i'}8", count)
