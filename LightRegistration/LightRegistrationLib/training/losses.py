"""Losses of a student that is trained without a teacher: similarity of images and tissues, smoothness, folding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.network.flows import resize_flow, warp
from .configuration import StudentStage
from .data.pairs import Pair
from .distillation.aldk import reconstruction_loss


def diffusion(flow: Tensor) -> Tensor:
    """Mean squared forward difference of a flow (N, 3, D, H, W), over its nine derivatives; without unit.

    Replaces MONAI's DiffusionLoss, whose indexing causes a deprecation warning of torch.
    """
    squares = [torch.diff(flow, dim=axis).square().mean() for axis in (2, 3, 4)]
    return torch.stack(squares).mean()


def folding(flow: Tensor, smallest: float = 0.1) -> Tensor:
    """Mean of max(0, smallest - determinant) of x + flow(x), (N, 3, D, H, W), over two corners of each grid cell.

    smallest: determinant below which a cell is penalized; chosen, not measured.
    """
    inner = flow[:, :, :-1, :-1, :-1], flow[:, :, 1:, 1:, 1:]
    forward = [flow[:, :, :-1, :-1, 1:], flow[:, :, :-1, 1:, :-1], flow[:, :, 1:, :-1, :-1]]
    backward = [flow[:, :, 1:, 1:, :-1], flow[:, :, 1:, :-1, 1:], flow[:, :, :-1, 1:, 1:]]
    columns = [torch.stack([n - inner[0] for n in forward]), torch.stack([inner[1] - n for n in backward])]
    identity = torch.eye(3, dtype=flow.dtype, device=flow.device).view(3, 1, 3, 1, 1, 1)
    terms = []
    for along in columns:
        i, j, k = along + identity
        determinant = (i * torch.linalg.cross(j, k, dim=1)).sum(1)
        terms.append(torch.relu(smallest - determinant).mean())
    return torch.stack(terms).mean()


class RegistrationLoss(nn.Module):
    """Similarity of a pair under a student's flow and regularity of its predictions; a sum weighted by a stage.

    local_correlation, global_correlation: of the clean images (MONAI's local normalized cross correlation; 1 - Pearson
    correlation over the grid). tissue: squared error of the random projections of the structures. dice: mean soft Dice
    loss of the structures that both images have. smoothness, bending: diffusion and bending energy (MONAI) of each
    prediction. unfold: see `folding`. A term with weight 0, or for which the pair has no data, is left out.
    """

    def __init__(self, stage: StudentStage) -> None:
        # Imported here: MONAI takes as long to load as PyTorch, and a distillation needs none of it.
        from monai.losses import BendingEnergyLoss, DiceLoss, LocalNormalizedCrossCorrelationLoss

        super().__init__()
        self.stage = stage
        self.local = LocalNormalizedCrossCorrelationLoss(spatial_dims=3, kernel_size=stage.window)
        self.overlap = DiceLoss(reduction="none")
        self.energy = BendingEnergyLoss()

    def forward(self, pair: Pair, flow: Tensor, predictions: list[Tensor]) -> dict[str, Tensor]:
        """Return the loss terms, weighted, by name; their sum is minimized. flow: (N, 3, ...) in voxels of its grid."""
        return self.compute_similarity(pair, flow) | self.compute_regularity(flow, predictions)

    def compute_similarity(self, pair: Pair, flow: Tensor) -> dict[str, Tensor]:
        """The terms that compare images, tissues and structures; as `forward`."""
        stage = self.stage
        full = resize_flow(flow, tuple(pair.fixed.shape[2:]))
        warped, target = warp(pair.moving_clean, full), pair.fixed_clean
        terms: dict[str, Tensor] = {}
        if stage.local_correlation:
            terms["correlation"] = stage.local_correlation * (1 + self.local(warped[:, :1], target[:, :1]))
        if stage.global_correlation:
            terms["global"] = stage.global_correlation * reconstruction_loss(warped[:, :1], target[:, :1])
        if stage.tissue and target.shape[1] > 1:
            terms["tissue"] = stage.tissue * F.mse_loss(warped[:, 1:], target[:, 1:]) / target[:, 1:].var()
        if stage.dice and pair.fixed_labels is not None and pair.moving_labels is not None:
            terms["dice"] = stage.dice * self._dice(warp(pair.moving_labels, full), pair.fixed_labels)
        return terms

    def compute_regularity(self, flow: Tensor, predictions: list[Tensor]) -> dict[str, Tensor]:
        """The terms that concern the deformation alone; as `forward`."""
        stage = self.stage
        terms: dict[str, Tensor] = {}
        if stage.unfold:
            terms["folding"] = stage.unfold * folding(flow)
        if stage.smoothness:
            terms["smoothness"] = stage.smoothness * torch.stack([diffusion(v) for v in predictions]).mean()
        if stage.bending:
            terms["bending"] = stage.bending * torch.stack([self.energy(v) for v in predictions]).mean()
        return terms

    def _dice(self, warped: Tensor, target: Tensor) -> Tensor:
        """1 - Dice, mean over the structures with more than one voxel in both images; 0 if there are none."""
        loss = self.overlap(warped, target).flatten(2).mean(2)
        present = ((warped.flatten(2).sum(2) > 1) & (target.flatten(2).sum(2) > 1)).float()
        return (loss * present).sum() / present.sum().clamp(min=1)
