"""Opens the teacher of a configuration: a trained network, the refinement of a student, or stored fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ...core.models.registry import ModelRegistry
from ...core.network.cascade import CascadeConfig, RecursiveCascade
from ..distillation.lesson import FieldTeacher
from ..distillation.refinement_teacher import RefinementTeacher
from ..distillation.stored_teacher import StoredFieldsTeacher
from ..distillation.teacher import NetworkTeacher, Teacher, TeacherConfig
from ..distillation.teaching import TeachingConfig
from ..state import first_line, load_state


def open_teacher(config: TeachingConfig, path: Path | None) -> FieldTeacher:
    """The teacher of a kind.

    path: for `network` the state.pt of a teacher's training; for `refinement` that of a student's, or None for the
    model of the configuration or no deformation; for `stored` the folder of the fields. Raises InputError.
    """
    if config.kind == "refinement":
        if path is not None and config.model:
            raise InputError(f"{path}: [teacher] names the model {config.model!r} already; give only one of the two.")
        student = load_student(path) if path is not None else _load_model(config.model)
        return RefinementTeacher(student, config.refinement_settings())
    if path is None:
        wanted = "run of a teacher" if config.kind == "network" else "folder of fields"
        raise InputError(f"[teacher] kind = {config.kind!r} needs the {wanted}, but none is given.")
    return NetworkTeacher(load_teacher(path)) if config.kind == "network" else StoredFieldsTeacher(path)


def load_teacher(state_file: Path) -> Teacher:
    """The trained teacher of a training state, with fixed weights; InputError if the file has none."""
    settings = _load_settings(state_file, "teacher", "a teacher's training")
    teacher = Teacher(TeacherConfig(**settings["config"]))
    teacher.load_state_dict(settings["weights"])
    return teacher.eval().requires_grad_(False)


def load_student(state_file: Path) -> RecursiveCascade:
    """The student of a training state, with fixed weights; InputError if the file has none."""
    settings = _load_settings(state_file, "student", "a student's training")
    student = RecursiveCascade(CascadeConfig(**settings["config"]))
    try:
        student.load_state_dict(settings["weights"])
    except RuntimeError as error:
        raise InputError(f"{state_file}: the weights do not fit the network ({first_line(error)}).") from error
    return student.eval().requires_grad_(False)


def _load_settings(state_file: Path, part: str, origin: str) -> dict[str, Any]:
    state = load_state(state_file)
    if part not in state or "config" not in state:
        raise InputError(f"{state_file}: this state holds no {part}; give the state.pt of {origin}.")
    return {"weights": state[part], "config": json.loads(state["config"])[part]}


def _load_model(name: str) -> RecursiveCascade | None:
    return ModelRegistry().load(name).network if name else None
