"""What determines a training run: TOML configurations of student, teacher and distillation."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..core.cascade import CascadeConfig
from ..core.errors import InputError
from .aldk import KnowledgeConfig
from .discriminator import CriticConfig
from .synthesis import SynthesisConfig
from .teacher import TeacherConfig


@dataclass(frozen=True, kw_only=True)
class RunStage:
    """A stretch of training: how many steps, at which grid, from which to which learning rate (linear)."""

    steps: int
    spacing_mm: int = 3
    rate: float = 1e-3
    final_rate: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class Stage(RunStage):
    """A stretch of a student's training: with how many cascades, and the weights of its losses."""

    cascades: int = 1
    smoothness: float = 1.0
    tissue: float = 0.5
    window: int = 7
    unfold: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TeacherStage(RunStage):
    """A stretch of a teacher's training; smoothness weighs the squared gradient of each cascade's flow."""

    smoothness: float = 1.0


@dataclass(frozen=True, kw_only=True)
class DistillationStage(RunStage):
    """A stretch of distillation; smoothness weighs what each cascade of the student predicts (0 as published)."""

    cascades: int = 1
    smoothness: float = 0.0


StageT = TypeVar("StageT", bound=RunStage)


@dataclass(frozen=True, kw_only=True)
class RunConfig(Generic[StageT]):
    """What all runs have; label_maps is a pattern below the data folder."""

    name: str
    seed: int
    label_maps: str
    stages: tuple[StageT, ...]
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    checkpoint_minutes: float = 3.0


@dataclass(frozen=True, kw_only=True)
class StudentRunConfig(RunConfig[StageT]):
    """What all runs have that yield a student, with what its card will say."""

    student: CascadeConfig = field(default_factory=CascadeConfig)
    card: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, Any] = field(default_factory=dict)
    intensity: dict[str, Any] = field(default_factory=dict)
    bfloat16: bool = True


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(StudentRunConfig[Stage]):
    """kind = "student" (the default): all that determines the training of a student without a teacher."""


@dataclass(frozen=True, kw_only=True)
class TeacherTrainingConfig(RunConfig[TeacherStage]):
    """kind = "teacher": all that determines the training of a teacher. batch: pairs in each step.

    clean: whether the similarity is taken on the noise-free renderings of a pair instead of the images the network
    sees (as published: what it sees).
    """

    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    batch: int = 1
    clean: bool = False


@dataclass(frozen=True, kw_only=True)
class DistillationConfig(StudentRunConfig[DistillationStage]):
    """kind = "distillation": all that determines the training of a student by a teacher; batch and clean as there."""

    knowledge: KnowledgeConfig = field(default_factory=KnowledgeConfig)
    critic: CriticConfig = field(default_factory=CriticConfig)
    batch: int = 1
    clean: bool = False


AnyConfig = TrainingConfig | TeacherTrainingConfig | DistillationConfig
AnyStudentConfig = TrainingConfig | DistillationConfig
ConfigT = TypeVar("ConfigT", TrainingConfig, TeacherTrainingConfig, DistillationConfig)

_KINDS: dict[str, tuple[type[Any], type[RunStage]]] = {
    "student": (TrainingConfig, Stage),
    "teacher": (TeacherTrainingConfig, TeacherStage),
    "distillation": (DistillationConfig, DistillationStage),
}
_TABLES: dict[str, type[Any]] = {
    "student": CascadeConfig,
    "synthesis": SynthesisConfig,
    "teacher": TeacherConfig,
    "knowledge": KnowledgeConfig,
    "critic": CriticConfig,
}
_PLAIN: dict[str, tuple[type[Any], ...]] = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,)}


def load_config(path: Path) -> AnyConfig:
    """Read a TOML configuration of any kind (its key `kind`; `student` if absent).

    Raises InputError, one line that names the file and the key, for a missing or broken file, an unknown or missing
    key, or a value that cannot be used.
    """
    values = _read(path)
    kind = values.pop("kind", "student")
    if kind not in _KINDS:
        raise InputError(f"{path}: kind is {kind!r}; use one of {', '.join(_KINDS)}.")
    config, stage = _KINDS[kind]
    stages = values.pop("stage", [])
    if not isinstance(stages, list) or not stages:
        raise InputError(f"{path}: there is no [[stage]]; a run needs at least one.")
    if "stages" in values:
        raise InputError(f"{path}: unknown key 'stages'; write one [[stage]] for each.")
    values["stages"] = tuple(_build(stage, table, f"{path}: [[stage]] {n + 1}") for n, table in enumerate(stages))
    known = {f.name for f in fields(config)}
    for name in _TABLES.keys() & values.keys() & known:
        values[name] = _build(_TABLES[name], values[name], f"{path}: [{name}]")
    return _build(config, values, f"{path}:", hidden=("stages",))


def load_config_as(path: Path, expected: type[ConfigT]) -> ConfigT:
    """Read a configuration that has to be of one kind; InputError says which kind it is if not."""
    config = load_config(path)
    if not isinstance(config, expected):
        wanted, found = (next(k for k, v in _KINDS.items() if v[0] is t) for t in (expected, type(config)))
        raise InputError(f"{path}: this configures a {found}, not a {wanted}; use the command for a {found}.")
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: the configuration cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: this is not valid TOML ({error}).") from error


def _build(cls: type[Any], values: object, where: str, hidden: tuple[str, ...] = ()) -> Any:
    if not isinstance(values, Mapping):
        raise InputError(f"{where} has to be a table of keys and values.")
    known = {f.name: f for f in fields(cls)}
    for key in values.keys() - known.keys():
        names = ", ".join(name for name in known if name not in hidden)
        raise InputError(f"{where} unknown key '{key}'; known keys are {names}.")
    for key in (name for name, f in known.items() if _required(f) and name not in values):
        raise InputError(f"{where} the key '{key}' is missing.")
    for key, value in values.items():
        plain = _PLAIN.get(str(known[key].type))
        if plain and (not isinstance(value, plain) or (isinstance(value, bool) and bool not in plain)):
            raise InputError(f"{where} the key '{key}' has to be of type {known[key].type}, got {value!r}.")
    arguments = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    try:
        return cls(**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} {error}") from error


def _required(item: Field[Any]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING
