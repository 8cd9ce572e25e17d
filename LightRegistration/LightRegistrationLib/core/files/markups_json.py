"""Checks of Slicer's .mrk.json files, whose reader ends the process on values of another type than it expects."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import InputError

_TEXTS = (
    "type", "coordinateSystem", "name", "labelFormat", "id", "label", "description", "associatedNodeID",
    "positionStatus", "units", "printFormat", "quantityCode", "unitsCode", "glyphType", "curveType", "planeType",
    "sizeMode", "roiType",
)  # fmt: skip
_FLAGS = (
    "locked",
    "fixedNumberOfControlPoints",
    "selected",
    "visibility",
    "enabled",
    "visibility2D",
    "visibility3D",
    "insideOut",
)
_NUMBERS = (
    "lastUsedControlPointNumber", "maximumNumberOfControlPoints", "requiredNumberOfControlPoints", "value", "opacity",
    "textScale", "glyphScale", "glyphSize", "sliceProjectionOpacity", "numberOfInterpolatingPoints", "lineThickness",
    "lineDiameter", "autoScalingSizeFactor",
)  # fmt: skip
_VECTORS = {"position": 3, "orientation": 9, "color": 3, "selectedColor": 3, "activeColor": 3, "center": 3}
_TABLES = ("display",)
_LISTS = ("controlPoints", "measurements")


def check_markups(path: Path) -> str:
    """Return the type of the one list of markups in a file, such as ROI.

    Raises InputError, naming the path, for a file that does not hold one list of markups with points in mm.
    """
    try:
        content = json.loads(
            path.read_text(encoding="utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_make_table
        )
    except (RecursionError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as markups; it is damaged ({error}).") from error
    lists = content.get("markups") if isinstance(content, dict) else None
    if not isinstance(lists, list) or not lists or not all(isinstance(item, dict) for item in lists):
        raise InputError(f"{path}: cannot be read as markups; there is no list 'markups' of tables in it.")
    if len(lists) > 1:
        raise InputError(f"{path}: the file holds {len(lists)} lists of markups; save each in a file of its own.")
    for problem in chain(_find_wrong_types(lists[0]), _find_problems(lists[0])):
        raise InputError(f"{path}: cannot be read as markups; {problem}.")
    return str(lists[0]["type"])


def _find_problems(markups: dict[str, Any]) -> Iterable[str]:
    if not markups.get("type"):
        yield "it does not say which type they have"
    if markups.get("coordinateSystem", "LPS") not in ("LPS", "RAS"):
        yield f"their coordinate system is {markups['coordinateSystem']!r}, neither LPS nor RAS"
    units = markups.get("coordinateUnits", "mm")
    if (units[0] if isinstance(units, list) and units else units) != "mm":
        yield f"their unit of length is {units!r}; save them in mm"
    for number, point in enumerate(markups.get("controlPoints", []), start=1):
        status = point.get("positionStatus", "defined")
        if status not in ("defined", "undefined", "preview", "missing"):
            yield f"point {number} has the status {status!r}"
        if status == "defined" and "position" not in point:
            yield f"point {number} has no position"


def _find_wrong_types(table: dict[str, Any]) -> Iterable[str]:
    """Yield a line for each value of a known key, here and in the tables inside, that is of a wrong type."""
    for key, value in table.items():
        if not _fits(key, value):
            yield f"'{key}' has a wrong value ({json.dumps(value)[:40]})"
        elif key in _LISTS:
            for item in value:
                yield from _find_wrong_types(item)
        elif key in _TABLES:
            yield from _find_wrong_types(value)


def _fits(key: str, value: Any) -> bool:
    if key in _TEXTS:
        return isinstance(value, str)
    if key in _FLAGS:
        return isinstance(value, bool)
    if key in _NUMBERS:
        return _is_number(value)
    if key in _VECTORS:
        return isinstance(value, list) and len(value) == _VECTORS[key] and all(map(_is_number, value))
    if key in _TABLES:
        return isinstance(value, dict)
    return key not in _LISTS or (isinstance(value, list) and all(isinstance(item, dict) for item in value))


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value)
    except OverflowError:
        return False


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _make_table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a table; the readers differ in which of two values of one key they take."""
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a key occurs twice")
    return table
