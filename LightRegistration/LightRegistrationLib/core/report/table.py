"""The tables of report.json in Markdown, generated from its typed definition."""

from __future__ import annotations

from enum import StrEnum
from types import NoneType
from typing import Any, get_args, get_origin, is_typeddict

from .definition import SCHEMA_VERSION, Key, Report
from .schema import SCHEMA_FILE, SCHEMA_ID, get_text, read_keys

_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", NoneType: "`null`"}


def build_table() -> str:
    """Return a Markdown page: one table for report.json and one for each object in it."""
    records: list[type] = [Report]
    parts = [f"# report.json, schema {SCHEMA_VERSION}", get_text(Report).replace("\n", "\n\n"), _HEAD]
    for record in records:
        records += [inner for inner in _find_records(record) if inner not in records]
        if record is not Report:
            parts.append(f"## {_make_title(record)}\n\n{get_text(record)}")
        parts.append(_build_rows(record))
    return "\n\n".join(parts) + "\n"


_HEAD = (
    f"The JSON Schema is `LightRegistrationLib/core/report/{SCHEMA_FILE.name}` (`$id`: `{SCHEMA_ID}`). "
    "Keys marked * are written by the command line only; inside an object they depend on the options."
)


def _find_records(record: type) -> list[type]:
    found: list[type] = []
    for kind, _, _ in read_keys(record).values():
        found += [part for part in _walk(kind) if is_typeddict(part) and part not in found]
    return found


def _walk(kind: Any) -> list[Any]:
    return [kind, *(inner for argument in get_args(kind) for inner in _walk(argument))]


def _build_rows(record: type) -> str:
    lines = ["| key | type | meaning |", "|---|---|---|"]
    for name, (kind, key, is_required) in read_keys(record).items():
        lines.append(f"| `{name}`{'' if is_required else ' *'} | {_name_type(kind, key)} | {key.text} |")
    return "\n".join(lines)


def _name_type(kind: Any, key: Key) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is list:
        size = " x ".join(map(str, key.shape))
        inner = _name_type(_walk(kind)[-1] if key.shape else arguments[0], key)
        return f"{size} {inner}s" if size else f"list of {inner}"
    if origin is dict:
        names = ", ".join(f"`{word}`" for word in key.words) if key.words else "string"
        return f"object: {names} → {_name_type(arguments[1], key)}"
    if arguments:
        return " or ".join(_name_type(part, key) for part in arguments)
    if is_typeddict(kind):
        title = _make_title(kind)
        return f"[{title}](#{title.replace(' ', '-')})"
    if issubclass(kind, StrEnum):
        return ", ".join(f"`{word}`" for word in kind)
    return _NAMES[kind]


def _make_title(record: type) -> str:
    """`PreservedVolumeReport` -> `preserved volume`."""
    words = record.__name__.removesuffix("Report")
    return "".join(f" {c.lower()}" if c.isupper() else c for c in words).strip()
