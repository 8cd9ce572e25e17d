"""How well a warped moving image matches the fixed one, voxel by voxel, and where each voxel should be pulled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .filters import box_mean, gradient


@dataclass(frozen=True, eq=False)
class Match:
    """What a similarity says of one deformation.

    value: mean similarity over the compared voxels, larger is better. pull: its derivative by the displacement of each
    voxel (1, 3, D, H, W), per voxel of the grid, components i, j, k. stiffness: the Gauss-Newton curvature of the
    same, (1, 1, D, H, W), not negative.
    """

    value: float
    pull: Tensor
    stiffness: Tensor


class Similarity(Protocol):
    """Compares one fixed image with moving images as warped onto it; `name` says how, for the report."""

    name: str

    def prepared(self, moving: Tensor) -> Tensor:
        """The channels (1, C, D, H, W) to be warped in place of the moving image (1, 1, D, H, W)."""

    def match(self, warped: Tensor, weight: Tensor) -> Match:
        """Compare the warped channels; weight (1, 1, D, H, W), 0 to 1: how much each voxel counts."""


class LocalCorrelation:
    """Squared correlation of the images in a window around each voxel, for two images of one contrast.

    The derivative is the exact one, sums over windows included (Avants et al., Medical Image Analysis 2008, take each
    window's center alone).
    """

    name = "correlation"
    _LEAST_VARIANCE = 1e-4

    def __init__(self, fixed: Tensor, radius: int = 2) -> None:
        """fixed: (1, 1, D, H, W) in [0, 1]. radius: of the window, voxels."""
        self.radius = radius
        self.fixed = fixed
        self._mean = box_mean(fixed, radius)
        self._variance = (box_mean(fixed * fixed, radius) - self._mean**2).clamp_(min=0).add_(self._LEAST_VARIANCE)

    def prepared(self, moving: Tensor) -> Tensor:
        """The moving image itself."""
        return moving

    def match(self, warped: Tensor, weight: Tensor) -> Match:
        """Compare; see `Similarity`."""
        mean = box_mean(warped, self.radius)
        variance = (box_mean(warped * warped, self.radius) - mean * mean).clamp_(min=0).add_(self._LEAST_VARIANCE)
        covariance = box_mean(self.fixed * warped, self.radius) - self._mean * mean
        per_covariance = 2 * weight * covariance / (self._variance * variance)
        value = float((per_covariance * covariance).sum() / (2 * weight.sum()).clamp(min=1))
        per_variance = per_covariance * covariance / variance
        stiffness = box_mean(per_variance, self.radius)
        derivative = self.fixed * box_mean(per_covariance, self.radius) - warped * stiffness
        derivative -= box_mean(per_covariance * self._mean - per_variance * mean, self.radius)
        slope = gradient(warped)
        steepness = (slope * slope).sum(1, keepdim=True)
        return Match(value, slope.mul_(derivative), stiffness.mul_(steepness))
