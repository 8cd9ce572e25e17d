"""How well a warped moving image matches the fixed one, voxel by voxel, and where each voxel should be pulled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Protocol

from torch import Tensor

from ..sampling.filters import box_mean, gradient


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

    Voxels of no weight are left out of the windows, so that neither the edge of a field of view nor what lies beyond
    it counts. The derivative is the exact one, sums over windows included (Avants et al., Medical Image Analysis 2008,
    take each window's center alone).
    """

    name = "correlation"
    _LEAST_VARIANCE = 1e-4
    _LEAST_SHARE = 0.25

    def __init__(self, fixed: Tensor, radius: int = 2) -> None:
        """fixed: (1, 1, D, H, W) in [0, 1]. radius: of the window, voxels."""
        self.fixed = fixed
        self.radius = radius

    def prepared(self, moving: Tensor) -> Tensor:
        """The moving image itself."""
        return moving

    def match(self, warped: Tensor, weight: Tensor) -> Match:
        """Compare; see `Similarity`."""
        fixed, mean_of = self.fixed, partial(box_mean, radius=self.radius)
        share = mean_of(weight)
        counts = weight * (share > self._LEAST_SHARE)
        share.clamp_(min=1e-6)
        fixed_here, warped_here = fixed * weight, warped * weight
        fixed_mean, warped_mean = mean_of(fixed_here).div_(share), mean_of(warped_here).div_(share)
        fixed_variance = self._variance(mean_of(fixed_here * fixed), share, fixed_mean)
        warped_variance = self._variance(mean_of(warped_here * warped), share, warped_mean)
        covariance = mean_of(fixed_here * warped).div_(share).sub_(fixed_mean * warped_mean)

        per_covariance = counts * covariance / (fixed_variance * warped_variance)
        value = float((per_covariance * covariance).sum() / counts.sum().clamp(min=1))
        per_covariance *= 2 / share
        per_variance = per_covariance * covariance / warped_variance
        stiffness = mean_of(per_variance)
        derivative = fixed * mean_of(per_covariance) - warped * stiffness
        derivative -= mean_of(per_covariance * fixed_mean - per_variance * warped_mean)
        slope = gradient(warped)
        i, j, k = slope.unbind(1)
        steepness = (i * i).addcmul_(j, j).addcmul_(k, k)[:, None]
        return Match(value, slope.mul_(derivative.mul_(weight)), stiffness.mul_(steepness).mul_(weight))

    def _variance(self, mean_square: Tensor, share: Tensor, mean: Tensor) -> Tensor:
        return mean_square.div_(share).sub_(mean * mean).clamp_(min=0).add_(self._LEAST_VARIANCE)
