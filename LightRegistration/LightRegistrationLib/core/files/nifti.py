"""Checks for damaged NIfTI files: ITK reads them without an error and fills in zeros."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import InputError
from .settings import FILES


def check_nifti(path: Path) -> None:
    """Raise InputError if a .nii or .nii.gz file is damaged or incomplete, holds only NaN, or has a spacing of 0.

    ITK detects none of these: it reads missing and NaN voxels as 0, and replaces a spacing of 0 by 1.
    """
    try:
        with path.open("rb") as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if compressed:
                with gzip.GzipFile(fileobj=raw) as stream:
                    _check_stream(stream, path)
            else:
                _check_stream(raw, path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: the file is damaged (its compressed data cannot be read to the end).") from error


def _check_stream(stream: IO[bytes] | gzip.GzipFile, path: Path) -> None:
    layout = _read_layout(stream.read(540))
    if layout is None:
        raise InputError(f"{path}: this is not a NIfTI image, or its header is damaged.")
    if min(layout.spacing) == 0:
        raise InputError(f"{path}: the header gives an axis the length zero; repair its voxel spacing.")
    stream.seek(layout.offset)
    length, finite = 0, layout.float_type is None
    while chunk := stream.read(FILES.read_bytes):
        length += len(chunk)
        if not finite:
            usable = len(chunk) - len(chunk) % 8
            finite = bool(np.isfinite(np.frombuffer(chunk[:usable], dtype=layout.float_type)).any())
    if length < layout.length:
        raise InputError(f"{path}: the file is cut off ({length} of {layout.length} bytes); copy or download it again.")
    if not finite:
        raise InputError(f"{path}: the volume holds no finite value (only NaN or infinity).")


@dataclass(frozen=True)
class _Layout:
    """Offset and length of the voxels in the file, bytes; their type if it is floating point; the header's spacing."""

    offset: int
    length: int
    float_type: str | None
    spacing: tuple[float, ...]


def _read_layout(header: bytes) -> _Layout | None:
    for order in "<>":
        if len(header) >= 348 and struct.unpack_from(order + "i", header)[0] == 348:
            dimensions = struct.unpack_from(order + "8h", header, 40)
            data_type, bits = struct.unpack_from(order + "2h", header, 70)
            offset = int(struct.unpack_from(order + "f", header, 108)[0])
            spacing = struct.unpack_from(order + "3f", header, 80)
        elif len(header) >= 540 and struct.unpack_from(order + "i", header)[0] == 540:
            dimensions = struct.unpack_from(order + "8q", header, 16)
            data_type, bits = struct.unpack_from(order + "2h", header, 12)
            offset = struct.unpack_from(order + "q", header, 168)[0]
            spacing = struct.unpack_from(order + "3d", header, 112)
        else:
            continue
        count = math.prod(max(int(size), 1) for size in dimensions[1 : dimensions[0] + 1])
        return _Layout(offset, count * bits // 8, {16: order + "f4", 64: order + "f8"}.get(data_type), spacing)
    return None
