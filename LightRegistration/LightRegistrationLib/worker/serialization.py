"""Typed values as JSON text and .npy files: arrays are written once, then memory-mapped or read; nothing is pickled."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from ..scene.nodes.cropped_segmentation import CroppedSegmentation
from .array_files import ArrayWriter

_VALUE_TYPES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        AffineTransform,
        ChangedPlace,
        CroppedSegmentation,
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


def prepare_value(value: Any, folder: Path) -> tuple[str, ArrayWriter]:
    """Return a value without its arrays as one line of JSON, and what writes its arrays into the folder (made here).

    value: a value of one of the listed types, or tuples, lists and mappings of such values and plain JSON values.
    Raises TypeError for a type that `load_value` could not rebuild.
    """
    folder.mkdir(parents=True)
    arrays = ArrayWriter(folder)
    return json.dumps(_encode(value, arrays)), arrays


def save_value(value: Any, folder: Path) -> str:
    """Write the arrays of a value into the folder (made here) and return the rest; see `prepare_value`."""
    text, arrays = prepare_value(value, folder)
    while not arrays.write_next():
        pass
    return text


def load_value(text: str, folder: Path) -> Any:
    """Rebuild what `save_value` wrote; its arrays are memory-mapped, read only."""
    return build_value(text, lambda name: np.load(folder / name, mmap_mode="r", allow_pickle=False))


def build_value(text: str, get_array: Callable[[str], NDArray]) -> Any:
    """Rebuild a value from its line of JSON and its arrays. get_array: returns the array of a file name."""
    return _decode(json.loads(text), get_array)


def _encode(value: Any, arrays: ArrayWriter) -> Any:
    if isinstance(value, StrEnum) and _ENUMERATIONS.get(type(value).__name__) is type(value):
        return {"enumeration": type(value).__name__, "value": value.value}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return {"npy": arrays.add(value)}
    if isinstance(value, (tuple, list)):
        items = [_encode(item, arrays) for item in value]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, Mapping):
        return {"mapping": {str(key): _encode(item, arrays) for key, item in value.items()}}
    name = type(value).__name__
    if not dataclasses.is_dataclass(value) or _VALUE_TYPES.get(name) is not type(value):
        raise TypeError(f"a {name} cannot be sent between the panel and the worker")
    fields = {f.name: _encode(getattr(value, f.name), arrays) for f in dataclasses.fields(value)}
    return {"type": name, "fields": fields}


def _decode(value: Any, get_array: Callable[[str], NDArray]) -> Any:
    if isinstance(value, list):
        return [_decode(item, get_array) for item in value]
    if not isinstance(value, dict):
        return value
    if "npy" in value:
        return get_array(value["npy"])
    if "tuple" in value:
        return tuple(_decode(item, get_array) for item in value["tuple"])
    if "enumeration" in value:
        return _ENUMERATIONS[value["enumeration"]](value["value"])
    if "mapping" in value:
        return {key: _decode(item, get_array) for key, item in value["mapping"].items()}
    fields = {name: _decode(item, get_array) for name, item in value["fields"].items()}
    return _VALUE_TYPES[value["type"]](**fields)
