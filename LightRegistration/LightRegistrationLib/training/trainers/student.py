"""Trains a student without a teacher, with losses on the images and structures of the pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ...core.errors import InputError
from ...core.models.registry import ModelRegistry
from ...core.network.cascade import RecursiveCascade
from ...core.network.flows import resize_flow
from ...core.network.inputs import INTENSITY
from ..configuration import StudentRunConfig, StudentStage, StudentTrainingConfig
from ..data.pairs import Mixture, Pair
from ..loop.hardware import Hardware, Processes
from ..loop.run import run_training
from ..loop.trainer import Trainer, to_floats
from ..losses import RegistrationLoss
from ..monitoring.monitor import NO_MONITOR, Monitor, RunSummary

NEW_CHANNELS_SCALE = 0.1
"""Weights of input channels that a start lacks, relative to those of a new network; chosen, not measured."""


class StudentTrainer(Trainer[StudentStage]):
    """Trains a student with the loss of the stage; the state has its weights under `student`, and the optimizer."""

    config: StudentTrainingConfig

    def __init__(
        self,
        config: StudentTrainingConfig,
        data: Path,
        output: Path,
        processes: Processes | None = None,
        monitor: Monitor = NO_MONITOR,
        bfloat16: bool | None = None,
    ) -> None:
        super().__init__(config, data, output, processes, monitor)
        self.bfloat16 = config.bfloat16 if bfloat16 is None else bfloat16
        self.student, self.notes = build_student(config)
        self.parallel = self.processes.parallel(self.student, partly_used=not config.student.shared)
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=1e-3)
        decay = config.average_decay
        self.average = AveragedModel(self.student, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None

    def parts(self) -> dict[str, Any]:
        """Networks and optimizers by their key in the state file; `average` only with an average_decay."""
        average = {} if self.average is None else {"average": self.average}
        return {"student": self.student, "optimizer": self.optimizer, **average}

    def start_stage(self, stage: StudentStage, pairs: Mixture) -> None:
        """Build the loss of the stage."""
        self.loss = RegistrationLoss(stage)

    def train_step(self, pairs: Mixture, stage: StudentStage) -> dict[str, float]:
        """One pair, one update."""
        pair = self.draw(pairs)
        with torch.autocast(pair.fixed.device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            layout = torch.channels_last_3d  # a fifth faster on CPUs
            fixed, moving = (image.to(memory_format=layout) for image in (pair.fixed, pair.moving))
            flow, predictions = self.parallel(fixed, moving, stage.cascades)
        terms = self.loss(pair, flow.float(), predictions)
        self.descend(self.optimizer, terms)
        if self.average is not None:
            self.average.update_parameters(self.student)
        return to_floats(terms)

    def register(self, pair: Pair, stage: StudentStage) -> Tensor:
        """The student's total flow on the grid of the pair, with the averaged weights if there are any."""
        student = self.student if self.average is None else self.average
        flow, _ = student(pair.fixed, pair.moving, stage.cascades)
        return resize_flow(flow, tuple(pair.fixed.shape[2:]))


def build_student(config: StudentRunConfig[Any]) -> tuple[RecursiveCascade, dict[str, str]]:
    """Build the student of a configuration with its initial weights; notes: their hash if they are those of a model.

    Raises InputError if the model that it starts from has another network.
    """
    student, notes = RecursiveCascade(config.student), {}
    if config.start:
        start = ModelRegistry().load(config.start)
        _load_start(student, start.network, config)
        notes["start_sha256"] = start.card.sha256
    return student.to(memory_format=torch.channels_last_3d), notes  # type: ignore[call-overload]


def _load_start(student: RecursiveCascade, start: RecursiveCascade, config: StudentRunConfig[Any]) -> None:
    """Load the weights that a student starts from; it may have other cascades (shared weights) and see more.

    The weights of additional input channels are those of a new network times NEW_CHANNELS_SCALE.
    """
    own = config.student
    wanted = replace(start.config, cascades=own.cascades, coarse_factors=own.coarse_factors, inputs=own.inputs)
    has_same_networks = len(start.networks) == len(student.networks)
    if wanted != config.student or not has_same_networks or start.config.inputs not in (INTENSITY, wanted.inputs):
        raise InputError(f"{config.name}: start = '{config.start}' has another network than [student] describes.")
    weights = start.state_dict()
    for name, tensor in student.state_dict().items():
        added = tensor.shape[1] - weights[name].shape[1] if tensor.dim() == 5 else 0
        if added:
            widened = tensor * NEW_CHANNELS_SCALE
            widened[:, [0, tensor.shape[1] // 2]] = weights[name]
            weights[name] = widened
    student.load_state_dict(weights)


def train_student(
    config: StudentTrainingConfig,
    data: Path,
    output: Path,
    *,
    hardware: Hardware | None = None,
    monitor: Monitor = NO_MONITOR,
) -> RunSummary:
    """Train the student of a configuration, or resume from the state in the output folder.

    data: folder of the sources' files. output: folder for state.pt and log.jsonl; prepared data are cached in `cache`
    beside it. Raises InputError for every failure; see `run_training`.
    """
    hardware = hardware or Hardware()
    bfloat16 = hardware.bfloat16(config.bfloat16)
    return run_training(lambda p: StudentTrainer(config, data, output, p, monitor, bfloat16), hardware)
