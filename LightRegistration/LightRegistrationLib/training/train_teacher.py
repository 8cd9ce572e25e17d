"""Train a teacher without labels: correlation of the final warped image, smooth flows, a nearly rigid stem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.flows import warp
from .aldk import reconstruction_loss
from .configuration import TeacherStage, TeacherTrainingConfig, load_config_as
from .loop import Trainer, conduct, training_arguments, values_of
from .losses import diffusion
from .pairs import Mixture, Pair
from .teacher import Teacher, TeacherResult, determinant_loss, orthogonality_loss

STEM_WEIGHT = 0.1


class TeacherTrainer(Trainer[TeacherStage]):
    """Trains a teacher; the state holds its weights under `teacher`, and its configuration."""

    config: TeacherTrainingConfig

    def __init__(self, config: TeacherTrainingConfig, data: Path, output: Path) -> None:
        super().__init__(config, data, output)
        self.teacher = Teacher(config.teacher)
        self.optimizer = torch.optim.Adam(self.teacher.parameters(), lr=1e-4)

    def parts(self) -> dict[str, Any]:
        """Networks and optimizers by their key in the state file."""
        return {"teacher": self.teacher, "optimizer": self.optimizer}

    def start_stage(self, stage: TeacherStage, pairs: Mixture) -> None:
        """Nothing depends on the grid."""

    def train_step(self, pairs: Mixture, stage: TeacherStage) -> dict[str, float]:
        """One batch, one update."""
        pair = pairs.draw(self.generator, self.config.batch)
        result = self.teacher(pair.fixed, pair.moving)
        self.require_finite("teacher's deformation", result.flow)  # a sampler takes NaN for a place
        terms = teacher_loss(pair, result, stage.smoothness, self.config.clean)
        self.descend(self.optimizer, terms)
        return values_of(terms)


def teacher_loss(pair: Pair, result: TeacherResult, smoothness: float, clean: bool = False) -> dict[str, Tensor]:
    """The unsupervised terms, weighted, by name; their sum is minimized.

    1 - Pearson correlation of the final warped image and the fixed one, the squared gradient of each cascade's flow
    (summed over the cascades), determinant and orthogonality of the stem's matrix, 0.1 each.
    """
    terms = {
        "reconstruction": reconstruction(pair, result.flow, clean),
        "smoothness": smoothness * torch.stack([diffusion(flow) for flow in result.cascade_flows]).sum(),
    }
    if result.matrix is not None:
        terms["determinant"] = STEM_WEIGHT * determinant_loss(result.matrix)
        terms["orthogonality"] = STEM_WEIGHT * orthogonality_loss(result.matrix)
    return terms


def reconstruction(pair: Pair, flow: Tensor, clean: bool) -> Tensor:
    """l_rec of a pair under a flow (N, 3, D, H, W) on its grid: of the images as seen, or of the noise-free ones."""
    moving, fixed = (pair.moving_clean[:, :1], pair.fixed_clean[:, :1]) if clean else (pair.moving, pair.fixed)
    return reconstruction_loss(warp(moving, flow), fixed)


def main() -> None:
    """Command line: train or resume the teacher of a configuration."""
    arguments = training_arguments("Train a teacher").parse_args()
    conduct(
        arguments,
        lambda: TeacherTrainer(
            load_config_as(arguments.config, TeacherTrainingConfig), arguments.data, arguments.output
        ),
    )


if __name__ == "__main__":
    main()
