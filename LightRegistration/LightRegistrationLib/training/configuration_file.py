"""Configurations of training runs as TOML files and as the plain values of a training state."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..core.errors import InputError
from ..core.files.plain_file import read_plain_text
from .configuration import (
    AnyConfig,
    DistillationConfig,
    DistillationStage,
    RunConfig,
    StudentRunConfig,
    StudentStage,
    StudentTrainingConfig,
    TeacherStage,
    TeacherTrainingConfig,
    TrainingStage,
    VariantConfig,
    check_model_name,
)
from .sources import SOURCES, SourceConfig
from .state import load_state

ConfigT = TypeVar("ConfigT", StudentTrainingConfig, TeacherTrainingConfig, DistillationConfig)
_KINDS: dict[str, tuple[type[Any], type[TrainingStage]]] = {
    "student": (StudentTrainingConfig, StudentStage),
    "teacher": (TeacherTrainingConfig, TeacherStage),
    "distillation": (DistillationConfig, DistillationStage),
}
_PLAIN: dict[str, tuple[type[Any], ...]] = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,)}


def load_config(path: Path) -> AnyConfig:
    """Read a TOML configuration of any kind (its key `kind`; `student` if absent).

    Raises InputError, one line that names the file and the key, for a missing or broken file, an unknown or missing
    key, or a value that cannot be used.
    """
    return _build_config(_read_toml(path), str(path))


def load_state_config(state_file: Path) -> AnyConfig:
    """The configuration that a training state was written with; InputError if it has no usable configuration."""
    values = json.loads(load_state(state_file).get("config", "{}"))
    if "kind" not in values:
        raise InputError(f"{state_file}: this state has no complete configuration; name the configuration too.")
    return _build_config(values, str(state_file))


def config_to_dict(config: AnyConfig | RunConfig[Any]) -> dict[str, Any]:
    """A configuration as plain values, with the keys of a TOML file."""
    values = asdict(config)
    del values["stages"], values["sources"]
    kind = next(name for name, (cls, _) in _KINDS.items() if cls is type(config))
    return values | {
        "kind": kind,
        "stage": [asdict(stage) for stage in config.stages],
        "source": [source_to_dict(source) for source in config.sources],
        "validation": [source_to_dict(source) for source in config.validation],
    }


def source_to_dict(source: SourceConfig) -> dict[str, Any]:
    """The table of a source as plain values."""
    return {"kind": getattr(type(source), "kind", "")} | asdict(source)


def find_changed_settings(config: RunConfig[Any], written: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The name in a dictionary that `config_to_dict` returned earlier, and the keys whose values differ now."""
    now = json.loads(json.dumps(config_to_dict(config)))
    return written.get("name", config.name), [key for key in now if key in written and written[key] != now[key]]


def _check_finite(values: object, where: str) -> None:
    """Raise InputError for a number in a configuration, in whatever table, that is not finite."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            _check_finite(value, f"{where} {key}")
    elif isinstance(values, list):
        for value in values:
            _check_finite(value, where)
    elif isinstance(values, float) and not math.isfinite(values):
        raise InputError(f"{where} has to be a finite number, got {values}.")


def _build_config(values: dict[str, Any], where: str) -> AnyConfig:
    _check_finite(values, f"{where}:")
    kind = values.pop("kind", "student")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InputError(f"{where}: kind is {kind!r}; use one of {', '.join(_KINDS)}.")
    config, stage = _KINDS[kind]
    values["stages"] = tuple(_build_tables(where, values, "stage", lambda _: stage))
    values["sources"] = tuple(_build_tables(where, values, "source", _source_type))
    values["validation"] = tuple(_build_tables(where, values, "validation", _source_type, least=0))
    if issubclass(config, StudentRunConfig) and isinstance(values.get("variants"), dict):
        tables = values["variants"].items()
        for name in values["variants"]:
            check_model_name(name)
            if name == values.get("name"):
                raise InputError(f"{where}: [variants.{name}] has the name of the run's own model; choose another one.")
        values["variants"] = {n: _build(VariantConfig, table, f"{where}: [variants.{n}]") for n, table in tables}
    built: AnyConfig = _build(config, values, f"{where}:", hidden=("stages", "sources"))
    return built


def _build_tables(
    file: str, values: dict[str, Any], name: str, kind: Callable[[dict[str, Any]], type[Any]], least: int = 1
) -> Iterator[Any]:
    """Build the tables [[name]], at least `least` of them; they are removed from the values."""
    if f"{name}s" in values:
        raise InputError(f"{file}: unknown key '{name}s'; write one [[{name}]] for each.")
    tables = values.pop(name, [])
    if not isinstance(tables, list) or len(tables) < least:
        raise InputError(f"{file}: there is no table [[{name}]]; a run needs at least one.")
    for number, table in enumerate(tables, start=1):
        where = f"{file}: [[{name}]] {number}"
        if not isinstance(table, dict):
            raise InputError(f"{where} has to be a table of keys and values.")
        try:
            cls = kind(table)
        except ValueError as error:
            raise InputError(f"{where} {error}") from error
        yield _build(cls, table, where)


def _source_type(table: dict[str, Any]) -> type[SourceConfig]:
    kind = table.pop("kind", None)
    if not isinstance(kind, str) or kind not in SOURCES:
        raise ValueError(f"kind is {kind!r}; use one of {', '.join(SOURCES)}.")
    return SOURCES[kind]


def load_config_as(path: Path, expected: type[ConfigT]) -> ConfigT:
    """Read a configuration of the expected kind; InputError, naming the actual kind, if it is of another one."""
    config = load_config(path)
    if not isinstance(config, expected):
        wanted, actual = (next(k for k, v in _KINDS.items() if v[0] is t) for t in (expected, type(config)))
        raise InputError(f"{path}: this configures a {actual}, not a {wanted}; use the command for a {actual}.")
    return config


def _read_toml(path: Path) -> dict[str, Any]:
    text = read_plain_text(path, "configuration")
    try:
        return tomllib.loads(text)
    except (RecursionError, ValueError) as error:
        raise InputError(f"{path}: this is not valid TOML ({error}).") from error


def _build(cls: type[Any], values: object, where: str, hidden: tuple[str, ...] = ()) -> Any:
    if not isinstance(values, Mapping):
        raise InputError(f"{where} has to be a table of keys and values.")
    known = {f.name: f for f in fields(cls)}
    for key in values.keys() - known.keys():
        names = ", ".join(name for name in known if name not in hidden)
        raise InputError(f"{where} unknown key '{key}'; known keys are {names}.")
    for key in (name for name, f in known.items() if _is_required(f) and name not in values):
        raise InputError(f"{where} the key '{key}' is missing.")
    values = {key: _build_nested(known[key], value, where) for key, value in values.items()}
    for key, value in values.items():
        plain = _PLAIN.get(str(known[key].type))
        if plain and (not isinstance(value, plain) or (isinstance(value, bool) and bool not in plain)):
            raise InputError(f"{where} the key '{key}' has to be of type {known[key].type}, got {value!r}.")
    arguments = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    try:
        return cls(**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} {error}") from error


def _build_nested(item: Field[Any], value: object, where: str) -> Any:
    """Build the dataclass of a table if its key has one; other values are returned unchanged."""
    cls = item.default_factory
    return _build(cls, value, f"{where} [{item.name}]") if isinstance(cls, type) and is_dataclass(cls) else value


def _is_required(item: Field[Any]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING
