"""Train a student on synthesized pairs; saves its whole state every few minutes and resumes from it exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..core.cascade import RecursiveCascade
from ..core.errors import InputError
from ..core.models import ModelRegistry
from .configuration import Stage, StudentRunConfig, TrainingConfig, load_config, load_config_as
from .loop import Trainer, conduct, training_arguments, values_of
from .losses import RegistrationLoss
from .pairs import Mixture

__all__ = ["Stage", "StudentTrainer", "TrainingConfig", "load_config", "main"]


class StudentTrainer(Trainer[Stage]):
    """Trains a student by the label maps' truth; the state holds weights, optimizer, generator and step."""

    config: TrainingConfig

    def __init__(self, config: TrainingConfig, data: Path, output: Path) -> None:
        super().__init__(config, data, output)
        self.student = new_student(config)
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=1e-3)

    def parts(self) -> dict[str, Any]:
        """Networks and optimizers by their key in the state file."""
        return {"student": self.student, "optimizer": self.optimizer}

    def start_stage(self, stage: Stage, pairs: Mixture) -> None:
        """Make the stage's loss."""
        self.loss = RegistrationLoss(stage)

    def train_step(self, pairs: Mixture, stage: Stage) -> dict[str, float]:
        """One pair, one update."""
        pair = pairs.draw(self.generator)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.config.bfloat16):
            flow, predictions = self.student(pair.fixed, pair.moving, stage.cascades)
        terms = self.loss(pair, flow.float(), predictions)
        self.descend(self.optimizer, terms)
        return values_of(terms)


def new_student(config: StudentRunConfig[Any]) -> RecursiveCascade:
    """The student of a configuration, with the weights that it starts from."""
    student = RecursiveCascade(config.student)
    if config.start:
        start = ModelRegistry().load(config.start).network
        if start.config != config.student:
            raise InputError(
                f"{config.name}: start = '{config.start}' is another kind of student than [student] asks for."
            )
        student.load_state_dict(start.state_dict())
    return student.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def main() -> None:
    """Command line: train or resume the student of a configuration."""
    arguments = training_arguments("Train a student").parse_args()
    conduct(
        arguments,
        lambda: StudentTrainer(load_config_as(arguments.config, TrainingConfig), arguments.data, arguments.output),
    )


if __name__ == "__main__":
    main()
