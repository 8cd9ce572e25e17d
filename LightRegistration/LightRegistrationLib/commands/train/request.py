"""What a training command asks for, and what can be said of it before anything is computed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ..files.path_errors import report_path_errors

if TYPE_CHECKING:
    from ...training.configuration import AnyConfig, AnyStudentConfig

CONFIGS = Path(__file__).resolve().parents[2] / "training" / "configs"
MODELS_FOLDER, STATE_FILE = "models", "state.pt"
PACKAGES = ("monai", "SimpleITK", "lightning_fabric", "tensorboard", "PIL", "tqdm")


@dataclass(frozen=True)
class TrainingRequest:
    """A run that is asked for.

    kind: `teacher`, `student` or `distillation`. config: a file, or the name of a configuration of the package. data:
    folder that the sources' files are in. output: folder of the run. teacher: state.pt of a teacher, or the folder of
    its run. store: folder for the teacher's deformations. seed: instead of the configuration's. hardware: the arguments
    of `training.loop.hardware.Hardware`. tensorboard: whether to write events for it.
    """

    kind: str
    config: Path
    data: Path
    output: Path
    teacher: Path | None = None
    store: Path | None = None
    seed: int | None = None
    hardware: Mapping[str, Any] = field(default_factory=dict)
    tensorboard: bool = True


def check_installed() -> None:
    """Raise InputError unless the packages that only training needs are there."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"Training needs packages that are missing ({', '.join(missing)}): "
            'pip install "light-registration[training]"'
        )


def check_paths(request: TrainingRequest) -> None:
    """Raise InputError for folders and files that cannot be what they are given as."""
    with report_path_errors(request.data):
        if not request.data.is_dir():
            raise InputError(f"{request.data}: there is no such folder; --data names the folder of the training data.")
    with report_path_errors(request.output):
        if request.output.exists() and not request.output.is_dir():
            raise InputError(f"{request.output}: the output is a folder, but this is a file; choose another name.")
    if request.teacher is not None:
        with report_path_errors(request.teacher):
            if not find_state_file(request.teacher).is_file():
                raise InputError(f"{request.teacher}: there is no teacher here; give the folder of a teacher's run.")


def find_state_file(run: Path) -> Path:
    """The state file of a run that is named by its folder or by the file itself."""
    return run / STATE_FILE if run.is_dir() else run


def find_config(config: Path) -> Path:
    """The file of a configuration, or of the one of the package that has this name. Raises InputError."""
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
    """The configuration of a request, with the seed that it asks for. Raises InputError."""
    from ...training.configuration import (
        DistillationConfig,
        StudentTrainingConfig,
        TeacherTrainingConfig,
        load_config_as,
    )

    file = find_config(request.config)
    config: AnyConfig
    if request.kind == "teacher":
        config = load_config_as(file, TeacherTrainingConfig)
    elif request.kind == "student":
        config = load_config_as(file, StudentTrainingConfig)
    else:
        config = load_config_as(file, DistillationConfig)
    if not isinstance(config, TeacherTrainingConfig):
        check_card(file, config)
    return config if request.seed is None else replace(config, seed=request.seed)


def check_card(file: Path, config: AnyStudentConfig) -> None:
    """Raise InputError for what the model's card would lack: before the hours of training, not after them."""
    missing = [key for key in ("title", "modality", "summary") if not config.card.get(key)]
    if missing:
        raise InputError(f"{file}: [card] lacks {', '.join(missing)}; the model that comes out is listed with it.")
    if "spacing_mm" not in config.grid:
        raise InputError(f"{file}: [grid] lacks spacing_mm; the model registers at it, mostly that of the last stage.")
