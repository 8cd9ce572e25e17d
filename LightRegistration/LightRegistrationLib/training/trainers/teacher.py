"""Trains a teacher without labels: correlation of the warped image, smoothness of the flows, a nearly rigid stem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.network.flows import warp
from ..configuration import TeacherStage, TeacherTrainingConfig
from ..data.pairs import Mixture, Pair
from ..distillation.aldk import reconstruction_loss
from ..distillation.teacher import Teacher, TeacherResult, determinant_loss, orthogonality_loss
from ..loop.hardware import Hardware, Processes
from ..loop.run import run_training
from ..loop.trainer import Trainer, to_floats
from ..losses import diffusion
from ..monitoring.monitor import NO_MONITOR, Monitor, RunSummary

STEM_WEIGHT = 0.1
"""Weight of the determinant and of the orthogonality loss of the affine stem, as published."""


class TeacherTrainer(Trainer[TeacherStage]):
    """Trains a teacher; the state has its weights under `teacher`, and its configuration."""

    config: TeacherTrainingConfig

    def __init__(
        self,
        config: TeacherTrainingConfig,
        data: Path,
        output: Path,
        processes: Processes | None = None,
        monitor: Monitor = NO_MONITOR,
        bfloat16: bool = False,
    ) -> None:
        super().__init__(config, data, output, processes, monitor)
        self.bfloat16 = bfloat16
        self.teacher = Teacher(config.teacher)
        self.parallel = self.processes.parallel(self.teacher)
        self.optimizer = torch.optim.Adam(self.teacher.parameters(), lr=1e-4)

    def parts(self) -> dict[str, Any]:
        """Networks and optimizers by their key in the state file."""
        return {"teacher": self.teacher, "optimizer": self.optimizer}

    def start_stage(self, stage: TeacherStage, pairs: Mixture) -> None:
        """Do nothing: a teacher does not depend on the grid."""

    def train_step(self, pairs: Mixture, stage: TeacherStage) -> dict[str, float]:
        """One batch, one update."""
        pair = self.draw(pairs, self.config.batch)
        with torch.autocast(pair.fixed.device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            result = self.parallel(pair.fixed, pair.moving)
        self.require_finite("teacher's deformation", result.flow)  # sampling at NaN points can give a finite loss
        terms = teacher_loss(pair, result, stage.smoothness, self.config.clean, stage.window)
        self.descend(self.optimizer, terms)
        return to_floats(terms)

    def register(self, pair: Pair, stage: TeacherStage) -> Tensor:
        """The teacher's total flow."""
        flow: Tensor = self.teacher(pair.fixed, pair.moving).flow
        return flow


def teacher_loss(
    pair: Pair, result: TeacherResult, smoothness: float, clean: bool = False, window: int = 0
) -> dict[str, Tensor]:
    """The unsupervised terms, weighted, by name; their sum is minimized.

    1 - correlation of the warped moving and the fixed image (`pair_reconstruction_loss`), squared gradient of each
    cascade's flow (summed over the cascades), determinant and orthogonality of the stem's matrix, weighted by
    STEM_WEIGHT.
    """
    terms = {
        "reconstruction": pair_reconstruction_loss(pair, result.flow, clean, window),
        "smoothness": smoothness * torch.stack([diffusion(flow) for flow in result.cascade_flows]).sum(),
    }
    if result.matrix is not None:
        terms["determinant"] = STEM_WEIGHT * determinant_loss(result.matrix)
        terms["orthogonality"] = STEM_WEIGHT * orthogonality_loss(result.matrix)
    return terms


def pair_reconstruction_loss(pair: Pair, flow: Tensor, clean: bool, window: int = 0) -> Tensor:
    """l_rec of a pair and a flow (N, 3, D, H, W) on its grid, with the network's input images or the clean ones.

    window: 0 for 1 - Pearson correlation over the whole grid, as published; otherwise the window size in voxels of
    MONAI's local normalized cross correlation, and the loss is 1 - its mean.
    """
    moving, fixed = (pair.moving_clean[:, :1], pair.fixed_clean[:, :1]) if clean else (pair.moving, pair.fixed)
    warped = warp(moving, flow)
    if not window:
        return reconstruction_loss(warped, fixed)
    # Imported here: MONAI takes as long to load as PyTorch, and most teachers have no window.
    from monai.losses import LocalNormalizedCrossCorrelationLoss

    loss: Tensor = 1 + LocalNormalizedCrossCorrelationLoss(spatial_dims=3, kernel_size=window)(warped, fixed)
    return loss


def train_teacher(
    config: TeacherTrainingConfig,
    data: Path,
    output: Path,
    *,
    hardware: Hardware | None = None,
    monitor: Monitor = NO_MONITOR,
) -> RunSummary:
    """Train the teacher of a configuration, or resume from the state in the output folder.

    data: folder of the sources' files. output: folder for state.pt and log.jsonl; prepared data are cached in `cache`
    beside it. Raises InputError for every failure; see `run_training`.
    """
    hardware = hardware or Hardware()
    bfloat16 = hardware.bfloat16(configured=False)
    return run_training(lambda p: TeacherTrainer(config, data, output, p, monitor, bfloat16), hardware)
