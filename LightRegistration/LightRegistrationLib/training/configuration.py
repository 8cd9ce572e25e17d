"""Configurations of training runs (student, teacher, distillation): their types and what their values may be."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

from ..core.errors import InputError
from ..core.models.store import RESERVED_NAMES
from ..core.network.cascade import CascadeConfig
from .distillation.aldk import KnowledgeConfig
from .distillation.discriminator import DiscriminatorConfig
from .distillation.store import StoreConfig
from .distillation.teacher import TeacherConfig
from .distillation.teaching import TeachingConfig
from .sources import SourceConfig

_LEAST_SPACING_MM, _LARGEST_SPACING_MM = 0.001, 100.0
"""Of a grid, as in `core.models.registry`. Chosen."""
_LARGEST_SEED = 2**62
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Of a run and of the models that it makes: it becomes the name of a folder."""


@dataclass(frozen=True, kw_only=True)
class TrainingStage:
    """A stage of training: number of steps, grid spacing, and learning rate from `rate` to `final_rate` (linear)."""

    steps: int
    spacing_mm: float = 3
    rate: float = 1e-3
    final_rate: float = 1e-3

    def __post_init__(self) -> None:
        if not _LEAST_SPACING_MM <= self.spacing_mm <= _LARGEST_SPACING_MM:
            wanted = f"{_LEAST_SPACING_MM:g} to {_LARGEST_SPACING_MM:g}"
            raise ValueError(f"spacing_mm has to be {wanted}, got {self.spacing_mm:g}")
        negative = next((f.name for f in fields(self) if getattr(self, f.name) < 0), None)
        if negative is not None:
            raise ValueError(f"{negative} has to be 0 or more, got {getattr(self, negative):g}")


@dataclass(frozen=True, kw_only=True)
class StudentStage(TrainingStage):
    """A stage of a student's training: number of cascades, and the weights of `losses.RegistrationLoss`.

    window: size of the windows of the local correlation, voxels.
    """

    cascades: int = 1
    local_correlation: float = 1.0
    global_correlation: float = 0.0
    window: int = 7
    tissue: float = 0.5
    dice: float = 0.0
    smoothness: float = 1.0
    bending: float = 0.0
    unfold: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TeacherStage(TrainingStage):
    """A stage of a teacher's training. smoothness: weight of the squared gradient of each cascade's flow.

    window: 0 for the correlation over the whole grid, as published; otherwise the size of local windows, voxels.
    """

    smoothness: float = 1.0
    window: int = 0


@dataclass(frozen=True, kw_only=True)
class DistillationStage(TrainingStage):
    """A stage of distillation. smoothness: weight of the diffusion of the student's predictions (0 as published).

    window: as for a teacher. tissue, dice, unfold: as for a student, 0 as published; tissue and dice belong to l_rec,
    so that gamma weighs them too, and need `clean`. refresh: whether the stage is taught by fields that are refined
    anew from the deformations of the student as it is when the stage begins; otherwise by those of the teacher. It
    needs a store and the teacher `refinement`.
    """

    cascades: int = 1
    smoothness: float = 0.0
    window: int = 0
    tissue: float = 0.0
    dice: float = 0.0
    unfold: float = 0.0
    refresh: bool = False

    @property
    def uses_structures(self) -> bool:
        """Whether the loss needs the tissues or structures of the pairs."""
        return self.tissue > 0 or self.dice > 0

    def as_student_stage(self) -> StudentStage:
        """The stage of a student's training that has the same losses on images, structures and deformation."""
        return StudentStage(
            steps=self.steps,
            cascades=self.cascades,
            local_correlation=1.0 if self.window else 0.0,
            global_correlation=0.0 if self.window else 1.0,
            window=self.window or StudentStage.window,
            tissue=self.tissue,
            dice=self.dice,
            smoothness=self.smoothness,
            unfold=self.unfold,
        )


StageT = TypeVar("StageT", bound=TrainingStage)


@dataclass(frozen=True, kw_only=True)
class RunConfig(Generic[StageT]):
    """Settings of all runs: sources of the training pairs, and stages.

    validation: sources of the validation pairs; the training sources if empty. checkpoint_minutes, validate_minutes:
    intervals for writing the state and for registering the validation pairs; 0: never. validate_steps: the latter also
    after every such number of steps; 0: not. validation_pairs: their number.
    """

    name: str
    seed: int
    sources: tuple[SourceConfig, ...]
    stages: tuple[StageT, ...]
    validation: tuple[SourceConfig, ...] = ()
    checkpoint_minutes: float = 3.0
    validate_minutes: float = 10.0
    validate_steps: int = 0
    validation_pairs: int = 3

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= _LARGEST_SEED:
            raise InputError(f"seed has to be a number from 0 to {_LARGEST_SEED}, got {self.seed}.")
        check_model_name(self.name)
        if self.validate_steps < 0 or self.validation_pairs < 1:
            raise InputError(
                f"validate_steps has to be 0 or more and validation_pairs 1 or more, got {self.validate_steps} and "
                f"{self.validation_pairs}."
            )


@dataclass(frozen=True, kw_only=True)
class VariantConfig:
    """A table [variants.NAME]: card and settings of another model with the same weights as the student.

    network: how many cascades it runs in, where that differs from the student's; see `StudentRunConfig`.
    """

    card: dict[str, Any]
    network: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, Any] = field(default_factory=dict)
    intensity: dict[str, Any] = field(default_factory=dict)
    refinement: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StudentRunConfig(RunConfig[StageT]):
    """Settings of all runs that train a student, including the content of its card.

    start: name of an installed model whose weights the student starts from; random weights if empty. network: what the
    card says of the network in place of `student`: its weights may be used in other cascades than in training
    (`cascades`, `coarse_factors`). variants: further models with the same weights, by name, each with its own card,
    network, grid, intensity and refinement settings.
    """

    student: CascadeConfig = field(default_factory=CascadeConfig)
    start: str = ""
    card: dict[str, Any] = field(default_factory=dict)
    network: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, Any] = field(default_factory=dict)
    intensity: dict[str, Any] = field(default_factory=dict)
    refinement: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, VariantConfig] = field(default_factory=dict)
    bfloat16: bool = True  # where the hardware is fast at it


@dataclass(frozen=True, kw_only=True)
class StudentTrainingConfig(StudentRunConfig[StudentStage]):
    """kind = "student" (the default): training of a student without a teacher.

    average_decay: the weights that are validated and exported are an exponential moving average over the steps, with
    this decay a step; 0: the latest weights.
    """

    average_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.average_decay < 1:
            raise InputError(f"average_decay has to be 0 or more and below 1, got {self.average_decay}.")


@dataclass(frozen=True, kw_only=True)
class TeacherTrainingConfig(RunConfig[TeacherStage]):
    """kind = "teacher": training of a teacher. batch: pairs in each step.

    clean: whether the similarity is computed on the clean images of a pair instead of the network's input images (as
    published: on the input images).
    """

    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    batch: int = 1
    clean: bool = False


@dataclass(frozen=True, kw_only=True)
class DistillationConfig(StudentRunConfig[DistillationStage]):
    """kind = "distillation": training of a student with a teacher; batch and clean as for a teacher.

    teacher: where the deformations come from. critic: the discriminator. store: content of the knowledge store, for
    runs that are given a folder for it.
    """

    teacher: TeachingConfig = field(default_factory=TeachingConfig)
    knowledge: KnowledgeConfig = field(default_factory=KnowledgeConfig)
    critic: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    batch: int = 1
    clean: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.uses_structures and not self.clean:
            raise InputError(f"{self.name}: tissue and dice in [[stage]] need clean = true.")

    @property
    def uses_structures(self) -> bool:
        """Whether a stage needs the tissues or structures of the pairs."""
        return any(stage.uses_structures for stage in self.stages)


AnyConfig = StudentTrainingConfig | TeacherTrainingConfig | DistillationConfig
AnyStudentConfig = StudentTrainingConfig | DistillationConfig


def check_model_name(name: str) -> None:
    """Raise InputError for a name that would be no model's, or would lead out of the folder of the run."""
    if not _NAME.fullmatch(name) or name in RESERVED_NAMES:
        raise InputError(
            f"'{name}' cannot be the name of a model: use letters, digits, '.', '-' and '_', and none of "
            f"{', '.join(RESERVED_NAMES)}."
        )
