"""Typed values as JSON text and .npy files: arrays are written once and memory-mapped, nothing is pickled."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from ..core.geometry.transforms import AffineTransform, DisplacementField
from ..core.geometry.volume import Segment, Segmentation, Volume
from ..core.result.result import (
    ChangedPlace,
    ChangeKind,
    DisplacementSummary,
    JacobianSummary,
    Metric,
    PreservedVolume,
    RefinementEnd,
    RefinementSummary,
    RegistrationResult,
)
from ..core.result.settings import InitialAlignment, RefinementPreset, RegistrationSettings

_VALUE_TYPES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        AffineTransform,
        ChangedPlace,
        DisplacementField,
        DisplacementSummary,
        JacobianSummary,
        PreservedVolume,
        RefinementSummary,
        RegistrationResult,
        RegistrationSettings,
        Segment,
        Segmentation,
        Volume,
    )
}

_ENUMERATIONS: dict[str, type[StrEnum]] = {
    kind.__name__: kind for kind in (ChangeKind, InitialAlignment, Metric, RefinementEnd, RefinementPreset)
}


def save_value(value: Any, folder: Path) -> str:
    """Write the arrays of a value into the folder (made here) and return the rest as one line of JSON.

    value: a value of one of the listed types, or tuples, lists and mappings of such values and plain JSON values.
    Raises TypeError for a type that `load_value` could not rebuild.
    """
    folder.mkdir(parents=True)
    return json.dumps(_encode(value, folder, []))


def load_value(text: str, folder: Path, *, mapped: bool) -> Any:
    """Rebuild what `save_value` wrote.

    mapped: True memory-maps the arrays (read only); False reads them, so that the folder may be removed while they are
    in use.
    """
    return _decode(json.loads(text), folder, mapped)


def _encode(value: Any, folder: Path, written: list[Path]) -> Any:
    if isinstance(value, StrEnum) and _ENUMERATIONS.get(type(value).__name__) is type(value):
        return {"enumeration": type(value).__name__, "value": value.value}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return {"npy": _write_array(value, folder, written)}
    if isinstance(value, (tuple, list)):
        items = [_encode(item, folder, written) for item in value]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, Mapping):
        return {"mapping": {str(key): _encode(item, folder, written) for key, item in value.items()}}
    name = type(value).__name__
    if not dataclasses.is_dataclass(value) or _VALUE_TYPES.get(name) is not type(value):
        raise TypeError(f"a {name} cannot be sent between the panel and the worker")
    fields = {f.name: _encode(getattr(value, f.name), folder, written) for f in dataclasses.fields(value)}
    return {"type": name, "fields": fields}


def _write_array(array: np.ndarray, folder: Path, written: list[Path]) -> str:
    path = folder / f"{len(written)}.npy"
    np.save(path, array, allow_pickle=False)
    written.append(path)
    return path.name


def _decode(value: Any, folder: Path, mapped: bool) -> Any:
    if isinstance(value, list):
        return [_decode(item, folder, mapped) for item in value]
    if not isinstance(value, dict):
        return value
    if "npy" in value:
        return np.load(folder / value["npy"], mmap_mode="r" if mapped else None, allow_pickle=False)
    if "tuple" in value:
        return tuple(_decode(item, folder, mapped) for item in value["tuple"])
    if "enumeration" in value:
        return _ENUMERATIONS[value["enumeration"]](value["value"])
    if "mapping" in value:
        return {key: _decode(item, folder, mapped) for key, item in value["mapping"].items()}
    fields = {name: _decode(item, folder, mapped) for name, item in value["fields"].items()}
    return _VALUE_TYPES[value["type"]](**fields)
