"""Local correlation: the similarity for single-contrast pairs."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from ..result.result import Metric
from ..sampling.filters import box_mean, gradient
from .settings import REFINEMENT, CorrelationSettings
from .similarity import SimilarityResult


class LocalCorrelation:
    """Squared correlation of the images in a window around each voxel, for two images of the same contrast.

    Voxels without weight are left out of the windows, so that neither the edge of a field of view nor what lies beyond
    it counts. The gradient is exact: it includes the sums over windows (Avants et al., Medical Image Analysis 2008, use
    the center of each window alone).
    """

    metric = Metric.CORRELATION

    def __init__(self, fixed: Tensor, radius: int = 2, settings: CorrelationSettings = REFINEMENT.correlation) -> None:
        """fixed: (1, 1, D, H, W) in [0, 1]. radius: of the window, voxels."""
        self.fixed = fixed
        self.radius = radius
        self._settings = settings

    def compute_channels(self, moving: Tensor) -> Tensor:
        """Return the moving image itself."""
        return moving

    def evaluate(self, warped: Tensor, weight: Tensor) -> SimilarityResult:
        """Compare the warped image; see `core.refinement.similarity.Similarity`."""
        fixed, mean_of = self.fixed, partial(box_mean, radius=self.radius)
        share = mean_of(weight)
        counts = weight * (share > self._settings.min_window_fraction)
        share.clamp_(min=1e-6)
        fixed_here, warped_here = fixed * weight, warped * weight
        fixed_mean, warped_mean = mean_of(fixed_here).div_(share), mean_of(warped_here).div_(share)
        fixed_variance = self._compute_variance(mean_of(fixed_here * fixed), share, fixed_mean)
        warped_variance = self._compute_variance(mean_of(warped_here * warped), share, warped_mean)
        covariance = mean_of(fixed_here * warped).div_(share).sub_(fixed_mean * warped_mean)

        per_covariance = counts * covariance / (fixed_variance * warped_variance)
        value = float((per_covariance * covariance).sum() / counts.sum().clamp(min=1))
        per_covariance *= 2 / share
        per_variance = per_covariance * covariance / warped_variance
        curvature = mean_of(per_variance)
        derivative = fixed * mean_of(per_covariance) - warped * curvature
        derivative -= mean_of(per_covariance * fixed_mean - per_variance * warped_mean)
        slope = gradient(warped)
        i, j, k = slope.unbind(1)
        squared_slope = (i * i).addcmul_(j, j).addcmul_(k, k)[:, None]
        return SimilarityResult(value, slope.mul_(derivative.mul_(weight)), curvature.mul_(squared_slope).mul_(weight))

    def _compute_variance(self, mean_square: Tensor, share: Tensor, mean: Tensor) -> Tensor:
        return mean_square.div_(share).sub_(mean * mean).clamp_(min=0).add_(self._settings.min_variance)
