"""Files compressed on all cores into one ordinary gzip stream, which every reader of .gz understands."""

from __future__ import annotations

import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_BLOCK = 1 << 20
_LEVEL = 1
"""Of zlib. The noise of medical images shrinks little more at higher levels, which take several times as long."""
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"


def compress_file(source: Path, target: Path, threads: int | None = None) -> None:
    """Write `source`, gzip-compressed, to `target`; `source` stays. Raises OSError where that is not possible.

    threads: None for all cores. The blocks of the file are compressed on their own and put one behind the other in
    one stream (RFC 1951 allows that at byte boundaries), so that the result does not depend on the number of threads.
    """
    count = threads or os.cpu_count() or 1
    checksum, written, window = 0, 0, 4 * count
    with source.open("rb") as stream, target.open("wb") as out, ThreadPoolExecutor(count) as pool:
        out.write(_HEADER)
        while blocks := [block for _ in range(window) if (block := stream.read(_BLOCK))]:
            compressed = pool.map(_deflated, blocks)
            for block in blocks:
                checksum = zlib.crc32(block, checksum)
                written += len(block)
            for part in compressed:
                out.write(part)
        out.write(zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS).flush(zlib.Z_FINISH))
        out.write(struct.pack("<2L", checksum, written & 0xFFFFFFFF))


def _deflated(block: bytes) -> bytes:
    """A block as a stretch of a stream that ends at a byte and is not the last one."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
