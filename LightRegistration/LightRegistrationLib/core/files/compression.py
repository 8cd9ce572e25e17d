"""Compression of files on all cores into one ordinary gzip stream, which every reader of .gz understands."""

from __future__ import annotations

import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .settings import FILES

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"


def compress_file(source: Path, target: Path, threads: int | None = None) -> None:
    """Compress `source` to `target` by gzip; `source` stays. Raises OSError if that is not possible.

    threads: None for all cores. The blocks of the file are compressed independently and joined to one stream (RFC 1951
    allows that at byte boundaries), so that the result does not depend on the number of threads.
    """
    count = threads or os.cpu_count() or 1
    checksum, written, window = 0, 0, 4 * count
    with source.open("rb") as stream, target.open("wb") as out, ThreadPoolExecutor(count) as pool:
        out.write(_HEADER)
        while blocks := [block for _ in range(window) if (block := stream.read(FILES.compression_block_bytes))]:
            compressed = pool.map(_deflate, blocks)
            for block in blocks:
                checksum = zlib.crc32(block, checksum)
                written += len(block)
            for part in compressed:
                out.write(part)
        out.write(zlib.compressobj(FILES.compression_level, zlib.DEFLATED, -zlib.MAX_WBITS).flush(zlib.Z_FINISH))
        out.write(struct.pack("<2L", checksum, written & 0xFFFFFFFF))


def _deflate(block: bytes) -> bytes:
    """Compress a block to a part of a stream that ends at a byte boundary and is not the last one."""
    compressor = zlib.compressobj(FILES.compression_level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
