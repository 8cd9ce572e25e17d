"""What a training command asks for, and the checks that come before any computation."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ..files.path_errors import report_path_errors

if TYPE_CHECKING:
    from ...training.configuration import AnyConfig, AnyStudentConfig, DistillationConfig

CONFIGS = Path(__file__).resolve().parents[2] / "training" / "configs"
MODELS_FOLDER, STATE_FILE = "models", "state.pt"
PACKAGES = ("monai", "SimpleITK", "lightning_fabric", "tensorboard", "PIL", "tqdm")


class TrainingKind(StrEnum):
    """What is trained."""

    TEACHER = "teacher"
    STUDENT = "student"
    DISTILLATION = "distillation"


@dataclass(frozen=True)
class TrainingRequest:
    """One training run.

    config: a file, or the name of a configuration of the package. data: folder with the files of the sources. output:
    folder of the run. teacher: the run of a teacher or a student (its folder or its state.pt), or the folder of stored
    fields, as the configuration's kind of teacher needs it; None if it needs none. store: folder for the teacher's
    deformations. seed: replaces that of the configuration. hardware: the arguments of
    `training.loop.hardware.Hardware`. tensorboard: whether to write events for TensorBoard.
    """

    kind: TrainingKind
    config: Path
    data: Path
    output: Path
    teacher: Path | None = None
    store: Path | None = None
    seed: int | None = None
    hardware: Mapping[str, Any] = field(default_factory=dict)
    tensorboard: bool = True


def check_installed() -> None:
    """Raise InputError if a package that only training needs is not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"Training needs packages that are not installed ({', '.join(missing)}): "
            'pip install "light-registration[training]"'
        )


def check_paths(request: TrainingRequest) -> None:
    """Raise InputError for folders and files that are missing or of the wrong kind."""
    with report_path_errors(request.data):
        if request.data.exists() and not request.data.is_dir():
            raise InputError(f"{request.data}: this is no folder; --data names the folder of the training data.")
        if not request.data.is_dir():
            raise InputError(f"{request.data}: there is no such folder; --data names the folder of the training data.")
    with report_path_errors(request.output):
        if request.output.exists() and not request.output.is_dir():
            raise InputError(f"{request.output}: the output is a folder, but this is a file; choose another name.")
    if request.teacher is not None:
        with report_path_errors(request.teacher):
            if not request.teacher.exists():
                raise InputError(f"{request.teacher}: there is no teacher here; give the folder of a teacher's run.")


def find_state_file(run: Path) -> Path:
    """Return the state file of a run, given its folder or the file itself."""
    return run / STATE_FILE if run.is_dir() else run


def find_config(config: Path) -> Path:
    """Return the file of a configuration: the given file, or that of the package's configuration of this name."""
    with report_path_errors(config):
        if config.exists():
            return config
    packaged = {file.stem: file for file in sorted(CONFIGS.glob("*.toml"))}
    if str(config) not in packaged:
        raise InputError(
            f"{config}: there is no such file, and no configuration of this name; the names are {', '.join(packaged)}."
        )
    return packaged[str(config)]


def read_config(request: TrainingRequest) -> AnyConfig:
    """Return the configuration of a request, with its seed. Raises InputError."""
    from ...training.configuration import DistillationConfig, StudentTrainingConfig, TeacherTrainingConfig
    from ...training.configuration_file import load_config_as

    file = find_config(request.config)
    config: AnyConfig
    if request.kind == TrainingKind.TEACHER:
        config = load_config_as(file, TeacherTrainingConfig)
    elif request.kind == TrainingKind.STUDENT:
        config = load_config_as(file, StudentTrainingConfig)
    else:
        config = load_config_as(file, DistillationConfig)
    if not isinstance(config, TeacherTrainingConfig):
        check_card(file, config)
    if isinstance(config, DistillationConfig):
        check_teacher(file, config, request)
    return config if request.seed is None else replace(config, seed=request.seed)


def find_teacher(config: DistillationConfig, path: Path | None) -> Path | None:
    """Return the state file of a run that is named by its folder; a folder of stored fields stays as it is."""
    return path if path is None or config.teacher.kind == "stored" else find_state_file(path)


def check_teacher(file: Path, config: DistillationConfig, request: TrainingRequest) -> None:
    """Raise InputError if --teacher and --store do not fit the configuration's kind of teacher."""
    kind = config.teacher.kind
    if request.teacher is None:
        if kind != "refinement":
            wanted = "the run of a teacher" if kind == "network" else "the folder of the fields"
            raise InputError(f"{file}: a teacher of kind {kind!r} needs --teacher, {wanted}.")
        return
    if kind == "stored" and request.store is None:
        raise InputError(f"{file}: stored fields belong to the pairs of a store; give --store too.")
    found = find_teacher(config, request.teacher)
    if kind != "stored" and found is not None and not found.exists():
        raise InputError(f"{request.teacher}: there is no teacher here; give the folder of a teacher's run.")


def check_card(file: Path, config: AnyStudentConfig) -> None:
    """Raise InputError, before the hours of training, for keys that the model's card would lack or that are wrong."""
    missing = [key for key in ("title", "modality", "summary") if not config.card.get(key)]
    if missing:
        raise InputError(f"{file}: [card] lacks {', '.join(missing)}; the list of models shows it.")
    if "spacing_mm" not in config.grid:
        raise InputError(f"{file}: [grid] lacks spacing_mm of the model, usually that of the last stage.")
    from ...training.export import check_export

    check_export(config, file)
