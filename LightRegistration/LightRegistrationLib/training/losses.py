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


class RegistrationLoss(nn.Module):
    """Local correlation of the clean images + squared error of the tissue projections + diffusion of the velocity.

    Both image terms are taken on noise-free renderings of what the network saw (the label maps are known in training),
    in both directions for a symmetric student.
    """

    def __init__(self, window: int = 7, tissue: float = 0.5, smoothness: float = 1.0) -> None:
        super().__init__()
        self.correlation = LocalNormalizedCrossCorrelationLoss(spatial_dims=3, kernel_size=window)
        self.tissue = tissue
        self.smoothness = smoothness

    def forward(self, pair: Pair, flow: Tensor, predictions: list[Tensor]) -> dict[str, Tensor]:
        """Return the loss terms, weighted, by name; their sum is minimized."""
        shape = tuple(pair.fixed.shape[2:])
        warped = warp(pair.moving_clean, resize_flow(flow, shape))
        target = pair.fixed_clean
        scale = target[:, 1:].var()
        return {
            "correlation": 1 + self.correlation(warped[:, :1], target[:, :1]),
            "tissue": self.tissue * F.mse_loss(warped[:, 1:], target[:, 1:]) / scale,
            "smoothness": self.smoothness * sum(diffusion(v) for v in predictions) / len(predictions),
        }
