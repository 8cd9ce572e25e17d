"""JSON files of results and of what is kept between runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.files.plain_file import read_plain_text


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file; empty if it is missing, not ours, or half written by a killed process."""
    try:
        content = json.loads(read_plain_text(path))
    except ValueError:  # an InputError is one too
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values as JSON, one in a line. Raises OSError."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
