"""Typed values in folders that appear as a whole, so that a stopped run finds what is finished."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...worker.serialization import load_value, save_value
from .json_files import read_json
from .output_folder import staging_folder

RECORD_FILE, _VALUE_FILE, _ARRAYS_FOLDER = "record.json", "value.json", "arrays"
_ENTRIES = (RECORD_FILE, _VALUE_FILE, _ARRAYS_FOLDER)


def store(folder: Path, key: str, value: Any, record: Mapping[str, Any]) -> None:
    """Write a value, and a record of plain values with its key, into a folder. Raises InputError if it cannot be."""
    with staging_folder(folder, _ENTRIES) as staging:
        (staging / _VALUE_FILE).write_text(save_value(value, staging / _ARRAYS_FOLDER), encoding="utf-8")
        text = json.dumps({"key": key, **record}, indent=1, allow_nan=False)
        (staging / RECORD_FILE).write_text(text + "\n", encoding="utf-8")


def is_stored(folder: Path, key: str) -> bool:
    """Whether a folder holds the whole value of this key."""
    return read_record(folder).get("key") == key


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record of a folder; empty if there is none."""
    return read_json(folder / RECORD_FILE)


def load(folder: Path) -> Any:
    """Return the value of a folder, its arrays memory-mapped."""
    return load_value((folder / _VALUE_FILE).read_text(encoding="utf-8"), folder / _ARRAYS_FOLDER)
