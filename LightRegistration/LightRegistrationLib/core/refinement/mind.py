"""Modality independent neighborhood descriptors (MIND): the similarity for multimodal pairs.

MIND-SSC (Heinrich et al., MICCAI 2013): among the six neighbors of a voxel, twelve pairs are not opposite each other.
Each channel compares the patches around the two neighbors of one pair; 1 is the value of the most similar pair.
"""

from __future__ import annotations

from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..result.result import Metric
from ..sampling.filters import box_mean, gradient
from .settings import REFINEMENT, MindSettings
from .similarity import SimilarityResult

Offset = tuple[int, int, int]

_NEIGHBORS = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))
NEIGHBOR_PAIRS: tuple[tuple[Offset, Offset], ...] = tuple(
    (a, b) for a, b in combinations(_NEIGHBORS, 2) if any(x + y for x, y in zip(a, b, strict=True))
)
"""The pairs of neighbors of a voxel, as steps along k, j, i, without those that are opposite each other."""


def compute_descriptors(image: Tensor, settings: MindSettings = REFINEMENT.mind) -> Tensor:
    """Compute MIND-SSC of an image (1, 1, D, H, W): (1, 12, D, H, W), 0 to 1, in the order of `NEIGHBOR_PAIRS`.

    A linear change of the intensities, inversion included, does not change the descriptors. The noise estimate is the
    mean distance of the patches at a voxel, limited to a range around its mean over the image.
    """
    distances = _compute_patch_distances(image, settings.patch_radius_voxels, settings.neighbor_distance_voxels)
    noise = distances.mean(1, keepdim=True)
    typical = float(noise.mean())
    if typical == 0:
        return torch.ones_like(distances)
    distances -= distances.amin(1, keepdim=True)
    noise.clamp_(settings.min_noise_ratio * typical, settings.max_noise_ratio * typical)
    return distances.div_(noise).neg_().exp_()


def _compute_patch_distances(image: Tensor, radius: int, distance: int) -> Tensor:
    """Mean squared difference of the patches around the neighbors of each pair: (1, 12, D, H, W)."""
    reach = radius + distance
    padded = F.pad(image, [reach] * 6, mode="replicate")
    inner = [n + 2 * radius for n in image.shape[2:]]

    def shift(offset: Offset) -> Tensor:
        view = padded
        for axis, (step, length) in enumerate(zip(offset, inner, strict=True), 2):
            view = view.narrow(axis, distance * (1 + step), length)
        return view

    d, h, w = image.shape[2:]
    result = image.new_empty((1, len(NEIGHBOR_PAIRS), d, h, w))
    for channel, (first, second) in enumerate(NEIGHBOR_PAIRS):
        squares = (shift(first) - shift(second)).square_()
        means = box_mean(squares, radius)
        result[:, channel] = means[0, :, radius : radius + d, radius : radius + h, radius : radius + w]
    return result


class MindSimilarity:
    """One minus the squared distance of the descriptors, for two images of different contrast.

    The distance is divided by the spread of the fixed image's descriptors: 1 is a perfect match, 0 is no match. The
    gradient treats the descriptors of the moving image as constant values of its tissue: they are warped, not computed
    again. Voxels whose patches reach voxels without weight are not compared: the edge of a field of view is no tissue.
    """

    metric = Metric.MIND

    def __init__(self, fixed: Tensor, settings: MindSettings = REFINEMENT.mind) -> None:
        """fixed: (1, 1, D, H, W)."""
        self._settings = settings
        self._fixed = self.compute_channels(fixed)
        self._scale: float | None = None

    def compute_channels(self, moving: Tensor) -> Tensor:
        """Compute the descriptors (1, 12, D, H, W) of an image (1, 1, D, H, W)."""
        return compute_descriptors(moving, self._settings)

    def evaluate(self, warped: Tensor, weight: Tensor) -> SimilarityResult:
        """Compare the warped descriptors; see `core.refinement.similarity.Similarity`."""
        reach = self._settings.patch_radius_voxels + self._settings.neighbor_distance_voxels
        weight = weight * (box_mean(weight, reach) > self._settings.min_patch_fraction)
        # One scale for all steps of a level, so that the values of the steps can be compared.
        scale = self._scale = self._scale or 2 / self._measure_spread(weight)
        total = warped.new_zeros((1, 3, *warped.shape[2:]))
        curvature, loss = torch.zeros_like(weight), torch.zeros_like(weight)
        for channel in range(warped.shape[1]):
            difference = self._fixed[:, channel : channel + 1] - warped[:, channel : channel + 1]
            slope = gradient(warped[:, channel : channel + 1])
            curvature.add_((slope * slope).sum(1, keepdim=True))
            total.add_(slope.mul_(difference))
            loss.add_(difference.square_())
        weight = weight * scale
        value = 1 - float((loss * weight).sum() / (2 * weight.sum() / scale).clamp(min=1))
        return SimilarityResult(value, total.mul_(weight), curvature.mul_(weight))

    def _measure_spread(self, weight: Tensor) -> float:
        """Variance of the fixed image's descriptors over the compared voxels, summed over the channels."""
        total = float(weight.sum().clamp(min=1))
        means = (self._fixed * weight).sum((2, 3, 4)) / total
        squares = (self._fixed.square() * weight).sum((2, 3, 4)) / total
        return max(float((squares - means * means).sum()), self._settings.min_spread)
