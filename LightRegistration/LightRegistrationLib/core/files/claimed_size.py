"""Checks of the size that a header claims against the bytes that are there, before anything is read or reserved."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import InputError
from .settings import FILES


def check_claimed_size(
    data: Path, start: int, claimed: int, *, compressed: bool = False, path: Path | None = None
) -> None:
    """Raise InputError if a file cannot hold the voxels that its header claims.

    start: where the voxels begin, bytes. claimed: bytes of all voxels. compressed: by deflate (gzip, zlib), which makes
    data at most 1032 times smaller. path: of the header, for the message; default: `data`.
    """
    available = max(data.stat().st_size - start, 0)
    if available * (FILES.max_compression if compressed else 1) >= claimed:
        return
    if compressed:
        raise InputError(
            f"{path or data}: the file is cut off or its header is damaged ({available} compressed bytes cannot hold "
            f"the {claimed} bytes that the header claims); copy or download it again."
        )
    raise InputError(
        f"{path or data}: the file is cut off ({available} of {claimed} bytes); copy or download it again."
    )


def list_surplus_warnings(data: Path, start: int, claimed: int, slice_bytes: int) -> Iterator[str]:
    """Yield a warning if a file holds at least one slice more than the voxels that its header claims."""
    surplus = data.stat().st_size - start - claimed
    if surplus >= slice_bytes:
        yield (
            f"{data.name} holds {surplus} bytes more than the {claimed} of the header's voxels; check the size and the "
            "voxel type in the header"
        )


def check_unpacked_size(data: Path, start: int, packed: int, claimed: int, path: Path) -> None:
    """Raise InputError unless `packed` bytes from `start` on unpack (deflate) to exactly the bytes that are claimed.

    path: of the header, for the message.
    """
    unpacker = zlib.decompressobj(wbits=47)
    length = 0
    with data.open("rb") as stream:
        stream.seek(start)
        remaining = packed
        try:
            while length <= claimed and (chunk := stream.read(min(FILES.read_bytes, remaining))):
                remaining -= len(chunk)
                while chunk and length <= claimed:
                    length += len(unpacker.decompress(chunk, FILES.read_bytes))
                    chunk = unpacker.unconsumed_tail
        except zlib.error as error:
            raise InputError(f"{path}: the file is damaged (its compressed data cannot be read to the end).") from error
    if length != claimed or not unpacker.eof:
        raise InputError(f"{path}: the file is damaged (its compressed data are not the voxels of the header).")


def check_sizes(path: Path, sizes: Sequence[float], dimension: float) -> tuple[int, ...]:
    """Return the voxels along each axis as whole numbers. Raises InputError if they are none, or of another number."""
    if not math.isfinite(dimension) or dimension != int(dimension) or len(sizes) != dimension:
        raise InputError(f"{path}: the header is damaged (its number of axes and its size contradict each other).")
    if not all(math.isfinite(size) and size == int(size) and size >= 1 for size in sizes):
        raise InputError(f"{path}: the header is damaged (its size is not given in whole numbers above 0).")
    return tuple(int(size) for size in sizes)
