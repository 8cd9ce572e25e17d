"""What a student is trained to do: match the images and the tissues, with a smooth velocity."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.losses import LocalNormalizedCrossCorrelationLoss
from torch import Tensor, nn

from ..core.flows import resize_flow, warp
from .synthesis import Pair


def diffusion(flow: Tensor) -> Tensor:
    """Mean squared forward difference of a flow (N, 3, D, H, W), over its nine derivatives; no unit.

    MONAI's DiffusionLoss indexes in a way that torch 2.13 warns about, so that these three lines stand here instead.
    """
    squares = [torch.diff(flow, dim=axis).square().mean() for axis in (2, 3, 4)]
    return torch.stack(squares).mean()


def folding(flow: Tensor, floor: float = 0.1) -> Tensor:
    """How far determinants of x + flow(x) (N, 3, D, H, W) lie below `floor`, mean over two corners of each cell."""
    inner = flow[:, :, :-1, :-1, :-1], flow[:, :, 1:, 1:, 1:]
    forward = [flow[:, :, :-1, :-1, 1:], flow[:, :, :-1, 1:, :-1], flow[:, :, 1:, :-1, :-1]]
    backward = [flow[:, :, 1:, 1:, :-1], flow[:, :, 1:, :-1, 1:], flow[:, :, :-1, 1:, 1:]]
    columns = [torch.stack([n - inner[0] for n in forward]), torch.stack([inner[1] - n for n in backward])]
    identity = torch.eye(3, dtype=flow.dtype, device=flow.device).view(3, 1, 3, 1, 1, 1)
    terms = []
    for along in columns:
        i, j, k = along + identity
        determinant = (i * torch.linalg.cross(j, k, dim=1)).sum(1)
        terms.append(torch.relu(floor - determinant).mean())
    return torch.stack(terms).mean()


class RegistrationLoss(nn.Module):
    """Local correlation of the clean images + squared error of the tissue projections + diffusion of the velocity.

    Both image terms are taken on noise-free renderings of what the network saw (the label maps are known in training),
    in both directions for a symmetric student.
    """

    def __init__(self, window: int = 7, tissue: float = 0.5, smoothness: float = 1.0, unfold: float = 0.0) -> None:
        super().__init__()
        self.correlation = LocalNormalizedCrossCorrelationLoss(spatial_dims=3, kernel_size=window)
        self.tissue = tissue
        self.smoothness = smoothness
        self.unfold = unfold

    def forward(self, pair: Pair, flow: Tensor, predictions: list[Tensor]) -> dict[str, Tensor]:
        """Return the loss terms, weighted, by name; their sum is minimized."""
        shape = tuple(pair.fixed.shape[2:])
        warped = warp(pair.moving_clean, resize_flow(flow, shape))
        target = pair.fixed_clean
        scale = target[:, 1:].var()
        return {
            "correlation": 1 + self.correlation(warped[:, :1], target[:, :1]),
            "tissue": self.tissue * F.mse_loss(warped[:, 1:], target[:, 1:]) / scale,
            "folding": self.unfold * folding(flow),
            "smoothness": self.smoothness * sum(diffusion(v) for v in predictions) / len(predictions),
        }
