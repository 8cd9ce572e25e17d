"""Train a student on pairs without a teacher; saves its whole state every few minutes and resumes from it exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.errors import InputError
from ...core.models.registry import ModelRegistry
from ...core.network.cascade import RecursiveCascade
from ...core.network.flows import resize_flow
from ..configuration import StudentRunConfig, StudentStage, StudentTrainingConfig
from ..data.pairs import Mixture, Pair
from ..loop.hardware import Hardware, Processes
from ..loop.run import run_training
from ..loop.trainer import Trainer, to_floats
from ..losses import RegistrationLoss
from ..monitoring.monitor import NO_MONITOR, Monitor, RunSummary


class StudentTrainer(Trainer[StudentStage]):
    """Trains a student by what is known of the pairs; the state holds weights, optimizer, generator and step."""

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
        self.student, self.notes = new_student(config)
        self.parallel = self.processes.parallel(self.student, partly_used=not config.student.shared)
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=1e-3)

    def parts(self) -> dict[str, Any]:
        """Networks and optimizers by their key in the state file."""
        return {"student": self.student, "optimizer": self.optimizer}

    def start_stage(self, stage: StudentStage, pairs: Mixture) -> None:
        """Make the stage's loss."""
        self.loss = RegistrationLoss(stage)

    def train_step(self, pairs: Mixture, stage: StudentStage) -> dict[str, float]:
        """One pair, one update."""
        pair = self.draw(pairs)
        with torch.autocast(pair.fixed.device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            flow, predictions = self.parallel(pair.fixed, pair.moving, stage.cascades)
        terms = self.loss(pair, flow.float(), predictions)
        self.descend(self.optimizer, terms)
        return to_floats(terms)

    def register(self, pair: Pair, stage: StudentStage) -> Tensor:
        """The student's flow on the grid of the pair."""
        flow, _ = self.student(pair.fixed, pair.moving, stage.cascades)
        return resize_flow(flow, tuple(pair.fixed.shape[2:]))


def new_student(config: StudentRunConfig[Any]) -> tuple[RecursiveCascade, dict[str, str]]:
    """The student of a configuration with the weights that it starts from, and the hash of those if they are a model's.

    Raises InputError if the model that it starts from is another kind of student.
    """
    student, notes = RecursiveCascade(config.student), {}
    if config.start:
        start = ModelRegistry().load(config.start)
        if start.network.config != config.student:
            raise InputError(
                f"{config.name}: start = '{config.start}' is another kind of student than [student] asks for."
            )
        student.load_state_dict(start.network.state_dict())
        notes["start_sha256"] = start.card.sha256
    return student.to(memory_format=torch.channels_last_3d), notes  # type: ignore[call-overload]


def train_student(
    config: StudentTrainingConfig,
    data: Path,
    output: Path,
    *,
    hardware: Hardware | None = None,
    monitor: Monitor = NO_MONITOR,
) -> RunSummary:
    """Train the student of a configuration, or go on where the state in the output folder stopped.

    data: folder that the sources' files are in. output: gets state.pt and log.jsonl; `cache` is made beside it.
    Raises InputError for all that is wrong; see `run_training`.
    """
    hardware = hardware or Hardware()
    bfloat16 = hardware.bfloat16(config.bfloat16)
    return run_training(lambda p: StudentTrainer(config, data, output, p, monitor, bfloat16), hardware)
