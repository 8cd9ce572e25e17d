"""Names of files, and where warnings about them go."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from ...core.files.volume_header import VOLUME_SUFFIXES

TRANSFORM_SUFFIXES = (".h5", ".tfm", ".txt", ".mat")

_log = logging.getLogger(__name__)

OnWarning = Callable[[str], None]
"""Called with one line for the user, which names the file, if something in a file may be read wrongly."""


def log_warning(line: str) -> None:
    """Write a warning about a file to the log."""
    _log.warning("%s", line)


def get_stem(path: Path) -> str:
    """Return the name of a file without its folder and suffix."""
    name = path.name
    for suffix in (".seg.nrrd", ".nii.gz", *VOLUME_SUFFIXES, *TRANSFORM_SUFFIXES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)] or name  # a scene has no node without a name
    return name
