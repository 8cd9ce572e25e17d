"""Train a student on synthesized pairs; saves its whole state every few minutes and resumes from it exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..core.cascade import RecursiveCascade
from .configuration import Stage, TrainingConfig, load_config, load_config_as
from .loop import Trainer, conduct, training_arguments, values_of
from .losses import RegistrationLoss
from .synthesis import PairSynthesizer

__all__ = ["Stage", "StudentTrainer", "TrainingConfig", "load_config", "main"]


class StudentTrainer(Trainer[Stage]):
    """Trains a student by the label maps' truth; the state holds weights, optimizer, generator and step."""

    config: TrainingConfig

    def __init__(self, config: TrainingConfig, data: Path, output: Path) -> None:
        super().__init__(config, data, output)
        self.student = RecursiveCascade(config.student).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=1e-3)

    def parts(self) -> dict[str, Any]:
        """Networks and optimizers by their key in the state file."""
        return {"student": self.student, "optimizer": self.optimizer}

    def start_stage(self, stage: Stage, shape: tuple[int, ...]) -> None:
        """Make the stage's loss."""
        self.loss = RegistrationLoss(stage.window, stage.tissue, stage.smoothness, stage.unfold)

    def train_step(self, pairs: PairSynthesizer, stage: Stage) -> dict[str, float]:
        """One pair, one update."""
        return self._step(pairs, self.loss, stage.cascades)

    def _step(self, pairs: PairSynthesizer, loss: RegistrationLoss, cascades: int) -> dict[str, float]:
        pair = pairs.draw()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.config.bfloat16):
            flow, predictions = self.student(pair.fixed, pair.moving, cascades)
        terms = loss(pair, flow.float(), predictions)
        self.descend(self.optimizer, terms)
        return values_of(terms)


def main() -> None:
    """Command line: train or resume the student of a configuration."""
    arguments = training_arguments("Train a student").parse_args()
    conduct(
        arguments,
        lambda: StudentTrainer(load_config_as(arguments.config, TrainingConfig), arguments.data, arguments.output),
    )


if __name__ == "__main__":
    main()
