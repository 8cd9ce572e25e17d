"""Files that are never seen half written."""

from __future__ import annotations

import contextlib
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file aside and move it into place; its folder is made. A file with this content is left as it is.

    Text is written as UTF-8. Raises OSError.
    """
    data = content.encode() if isinstance(content, str) else content
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
