"""The JSON Schema (draft 2020-12) of report.json, generated from its typed definition."""

from __future__ import annotations

import inspect
import json
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from .definition import SCHEMA_VERSION, Key, Report

SCHEMA_FILE = Path(__file__).with_name("report.schema.json")
SCHEMA_ID = f"urn:light-registration:report:{SCHEMA_VERSION}"
_SIMPLE = {str: "string", bool: "boolean", int: "integer", float: "number", NoneType: "null"}


def build_schema() -> dict[str, Any]:
    """Return the schema of report.json; each typed dictionary of the definition is one of its `$defs`."""
    defs: dict[str, Any] = {}
    root = _describe_record(Report, defs)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "report.json of LightRegistration",
        **root,
        "$defs": dict(sorted(defs.items())),
    }


def format_schema() -> str:
    """Return the text of the schema file."""
    return json.dumps(build_schema(), indent=2, ensure_ascii=False) + "\n"


def read_keys(record: type) -> dict[str, tuple[Any, Key, bool]]:
    """The keys of a typed dictionary: type, meaning, and whether the key is always there."""
    found = {}
    for name, hint in get_type_hints(record, include_extras=True).items():
        is_required = get_origin(hint) is not NotRequired
        kind, key = get_args(hint if is_required else get_args(hint)[0])
        found[name] = (kind, key, is_required)
    return found


def get_text(kind: type) -> str:
    """The docstring of a type on one line for each of its paragraphs."""
    paragraphs = inspect.cleandoc(kind.__doc__ or "").split("\n\n")
    return "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _describe_record(record: type, defs: dict[str, Any]) -> dict[str, Any]:
    keys = read_keys(record)
    return {
        "description": get_text(record),
        "type": "object",
        "properties": {
            name: {"description": key.text, **_describe(kind, key, defs)} for name, (kind, key, _) in keys.items()
        },
        "required": [name for name, (_, _, is_required) in keys.items() if is_required],
        "additionalProperties": False,
    }


def _describe(kind: Any, key: Key, defs: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """The schema of one type; `depth`: how many lists it lies in."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return {"anyOf": [_describe(part, key, defs, depth) for part in arguments]}
    if origin is list:
        length = key.shape[depth] if depth < len(key.shape) else None
        sizes = {} if length is None else {"minItems": length, "maxItems": length}
        return {"type": "array", "items": _describe(arguments[0], key, defs, depth + 1), **sizes}
    if origin is dict:
        names = {"propertyNames": {"enum": list(key.words)}} if key.words else {}
        return {"type": "object", "additionalProperties": _describe(arguments[1], key, defs, depth), **names}
    if is_typeddict(kind):
        if kind.__name__ not in defs:
            defs[kind.__name__] = _describe_record(kind, defs)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    if issubclass(kind, StrEnum):
        return {"type": "string", "enum": list(kind)}
    return {"type": _SIMPLE[kind], **(_describe_bounds(key) if kind in (int, float) else {})}


def _describe_bounds(key: Key) -> dict[str, float]:
    if key.low is not None and key.low == key.high:
        return {"const": key.low}
    bounds = {"minimum": key.low, "maximum": key.high}
    return {name: bound for name, bound in bounds.items() if bound is not None}
