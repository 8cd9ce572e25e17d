"""What every similarity of two images provides: its value, its gradient and its curvature at each voxel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..result.result import Metric


@dataclass(frozen=True, eq=False)
class SimilarityResult:
    """The similarity of the fixed and the warped moving image, and its derivatives.

    value: mean over the compared voxels, larger is better. gradient: derivative by the displacement of each voxel
    (1, 3, D, H, W), per voxel of the grid, components i, j, k. curvature: Gauss-Newton approximation of the second
    derivative, (1, 1, D, H, W), not negative.
    """

    value: float
    gradient: Tensor
    curvature: Tensor


class Similarity(Protocol):
    """Compares one fixed image with moving images that are warped onto it; `metric` is its name in the report."""

    metric: Metric

    def compute_channels(self, moving: Tensor) -> Tensor:
        """Compute the channels (1, C, D, H, W) that are warped in place of the moving image (1, 1, D, H, W)."""

    def evaluate(self, warped: Tensor, weight: Tensor) -> SimilarityResult:
        """Compare the warped channels; weight (1, 1, D, H, W): how much each voxel counts, 0 to 1."""
