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
    read_bytes: int = 1 << 22
    """Bytes that are read at once when a file is checked. Chosen, not measured."""


FILES = FileSettings()
