"""Tuning constants for image files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FileSettings:
    """Tuning constants; none of them changes the content of a file."""

    compression_block_bytes: int = 1 << 20
    """Bytes that one thread compresses at once. Chosen, not measured."""
    compression_level: int = 1
    """Level of zlib, 1 to 9. Higher levels take several times as long, and the noise of medical images hardly becomes
    smaller. Chosen after trials on medical images; no command measures it."""
    max_compression: int = 1032
    """Deflate makes data at most 1032 times smaller (zlib's technical description)."""
    max_header_word: int = 64
    """Characters of a number in a header of text; longer ones crash ITK's readers. Chosen."""
    max_offset_bytes: int = 1 << 26
    """Bytes before the voxels of a NIfTI file: header and extensions. Chosen."""
    max_trailing_bytes: int = 1 << 24
    """Bytes after the voxels of a NIfTI file that are read to reach its checksum: a damaged stream often unpacks to too
    many bytes. Chosen."""
    read_bytes: int = 1 << 22
    """Bytes that are read at once when a file is checked. Chosen, not measured."""


FILES = FileSettings()
