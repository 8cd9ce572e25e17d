"""The headers of NIfTI-1, NIfTI-2 and Analyze 7.5 files (nifti1.h, nifti2.h)."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

GZIP_MAGIC = b"\x1f\x8b"
_NIFTI1_BYTES, _NIFTI2_BYTES = 348, 540
_NIFTI1_OFFSET, _NIFTI2_OFFSET = 352, 544
"""The header and four bytes that tell whether extensions follow: where the voxels begin in one file at the earliest."""
_MAX_NIFTI1_SIZE = 32767


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """What a header says of an image.

    version: 1, 2, or 0 for Analyze 7.5, which has no positions. size: voxels along each axis. offset, bits: where the
    voxels start in the file, bytes, and bits of each. spacing: of the first three axes, in the header's unit; may be
    negative. qform, sform: 4x4 (i, j, k, 1) -> RAS; None if their code is 0. qfac, quaternion: as stored. intent:
    what the values mean, a code.
    """

    TYPES: ClassVar[dict[int, str]] = {
        2: "uint8",
        4: "int16",
        8: "int32",
        16: "float32",
        32: "complex64",
        64: "float64",
        128: "RGB",
        256: "int8",
        512: "uint16",
        768: "uint32",
        1024: "int64",
        1280: "uint64",
    }
    """Types that ITK reads; colors and complex numbers are refused later, by the number of components."""
    TYPES_BITS: ClassVar[dict[int, int]] = {
        **dict.fromkeys((2, 256), 8),
        **dict.fromkeys((4, 512), 16),
        **dict.fromkeys((8, 16, 768), 32),
        **dict.fromkeys((32, 64, 1024, 1280), 64),
        128: 24,
    }
    OTHER_TYPES: ClassVar[dict[int, str]] = {
        1: "bit",
        1536: "float128",
        1792: "complex128",
        2048: "complex256",
        2304: "RGBA",
    }

    version: int
    order: str
    size: tuple[int, ...]
    data_type: int
    bits: int
    offset: int
    is_single_file: bool
    pixdim: tuple[float, ...]
    scale: tuple[float, float]
    codes: tuple[int, int]
    quaternion: tuple[float, ...]
    rows: tuple[float, ...]
    units: int
    intent: int = 0

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel spacing of the first three axes."""
        return self.pixdim[1:4]

    @property
    def min_offset(self) -> int:
        """Where the voxels can begin at the earliest, bytes, if they lie in the same file."""
        return _NIFTI2_OFFSET if self.version == 2 else _NIFTI1_OFFSET

    @property
    def length(self) -> int:
        """Bytes of all voxels."""
        return (math.prod(max(n, 1) for n in self.size) * self.bits + 7) // 8

    @property
    def float_type(self) -> str | None:
        """The numpy type of floating-point voxels, None for others."""
        return {16: self.order + "f4", 64: self.order + "f8"}.get(self.data_type)

    @property
    def type_name(self) -> str:
        """The name of the voxel type."""
        return {**self.TYPES, **self.OTHER_TYPES}.get(self.data_type, f"number {self.data_type}")

    @property
    def qform(self) -> NDArray[np.float64] | None:
        """The affine of the quaternion."""
        if self.codes[0] <= 0:
            return None
        b, c, d = self.quaternion[:3]
        a = math.sqrt(max(1 - b * b - c * c - d * d, 0))
        rotation = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
            ]
        )
        steps = np.abs(self.spacing) * (1, 1, -1 if self.pixdim[0] < 0 else 1)
        return _make_affine(rotation * steps, np.array(self.quaternion[3:]))

    @property
    def sform(self) -> NDArray[np.float64] | None:
        """The affine of the three rows."""
        if self.codes[1] <= 0:
            return None
        rows = np.array(self.rows).reshape(3, 4)
        return _make_affine(rows[:, :3], rows[:, 3])

    @property
    def unit_mm(self) -> float:
        """The header's unit of length, mm."""
        return {1: 1000.0, 3: 0.001}.get(self.units & 7, 1.0)


def parse_nifti_header(content: bytes) -> NiftiHeader | None:
    """Parse the first bytes of a file; None if they are no header."""
    for order in "<>":
        if len(content) >= _NIFTI1_BYTES and struct.unpack_from(order + "i", content)[0] == _NIFTI1_BYTES:
            return _parse_nifti1(content, order)
        if len(content) >= _NIFTI2_BYTES and struct.unpack_from(order + "i", content)[0] == _NIFTI2_BYTES:
            return _parse_nifti2(content, order)
    return None


def _parse_nifti1(content: bytes, order: str) -> NiftiHeader | None:
    take = _Reader(content, order)
    magic = content[344:348]
    sizes = take("8h", 40)
    offset = take("f", 108)[0]
    if not 1 <= sizes[0] <= 7 or not math.isfinite(offset):
        return None
    is_nifti = magic in (b"n+1\0", b"ni1\0")
    return NiftiHeader(
        version=int(is_nifti),
        order=order,
        size=sizes[1 : sizes[0] + 1],
        data_type=take("h", 70)[0],
        bits=take("h", 72)[0],
        offset=max(int(offset), 0),
        is_single_file=magic == b"n+1\0",
        pixdim=take("8f", 76),
        scale=take("2f", 112),
        codes=take("2h", 252) if is_nifti else (0, 0),
        quaternion=take("6f", 256),
        rows=take("12f", 280),
        units=content[123] if is_nifti else 0,
        intent=take("h", 68)[0] if is_nifti else 0,
    )


def _parse_nifti2(content: bytes, order: str) -> NiftiHeader | None:
    take = _Reader(content, order)
    sizes = take("8q", 16)
    if not 1 <= sizes[0] <= 7:
        return None
    return NiftiHeader(
        version=2,
        order=order,
        size=sizes[1 : sizes[0] + 1],
        data_type=take("h", 12)[0],
        bits=take("h", 14)[0],
        offset=max(take("q", 168)[0], 0),
        is_single_file=content[4:8] == b"n+2\0",
        pixdim=take("8d", 104),
        scale=take("2d", 176),
        codes=take("2i", 344),
        quaternion=take("6d", 352),
        rows=take("12d", 400),
        units=take("i", 500)[0],
        intent=take("i", 504)[0],
    )


def make_nifti1_header(header: NiftiHeader, path: Path) -> bytes:
    """Return the header as NIfTI-1, without extensions; the voxels follow it. Raises InputError for too many voxels.

    path: of the file, for the message.
    """
    if max(header.size) > _MAX_NIFTI1_SIZE:
        raise InputError(f"{path}: an axis has {max(header.size)} voxels; resample it to {_MAX_NIFTI1_SIZE} or fewer.")
    content = bytearray(_NIFTI1_OFFSET)
    parts: list[tuple[str, int, tuple[float, ...]]] = [
        ("i", 0, (_NIFTI1_BYTES,)),
        ("8h", 40, (len(header.size), *header.size, *[1] * (7 - len(header.size)))),
        ("2h", 70, (header.data_type, header.bits)),
        ("8f", 76, header.pixdim),
        ("3f", 108, (_NIFTI1_OFFSET, *header.scale)),
        ("2h", 252, header.codes),
        ("6f", 256, header.quaternion),
        ("12f", 280, header.rows),
    ]
    try:
        for layout, start, values in parts:
            struct.pack_into(header.order + layout, content, start, *values)
    except (OverflowError, struct.error) as error:
        raise InputError(f"{path}: the header is damaged (a number in it is too large).") from error
    content[123] = header.units & 0xFF
    content[344:348] = b"n+1\0"
    return bytes(content)


def list_header_warnings(header: NiftiHeader) -> Iterator[str]:
    """Yield what may make two programs place the image differently; which position was used is not known here."""
    if min(header.spacing) < 0:
        axes = ", ".join("ijk"[n] for n in range(3) if header.spacing[n] < 0)
        yield (
            f"the header gives axis {axes} a negative voxel spacing; programs read that differently, and left and "
            "right may be exchanged"
        )
    if header.qform is None and header.sform is None:
        yield "the header gives no position or orientation, only voxel sizes; left and right may be exchanged"


def _make_affine(matrix: NDArray[np.float64], offset: NDArray[np.float64]) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, offset
    return affine


@dataclass(frozen=True)
class _Reader:
    """Unpacks values of the header's byte order."""

    content: bytes
    order: str

    def __call__(self, layout: str, start: int) -> Any:
        return struct.unpack_from(self.order + layout, self.content, start)
