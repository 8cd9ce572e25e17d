"""Modality independent neighborhood descriptors: how each voxel's surroundings resemble themselves, in any contrast.

MIND-SSC (Heinrich et al., MICCAI 2013): of the six neighbors of a voxel those twelve pairs that are not opposite each
other; a channel says how alike the patches around two of them are, 1 being as alike as the most similar pair.
"""

from __future__ import annotations

from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..sampling.filters import box_mean, gradient
from .local_correlation import Match

Offset = tuple[int, int, int]

_SIX = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))
PAIRS: tuple[tuple[Offset, Offset], ...] = tuple(
    (a, b) for a, b in combinations(_SIX, 2) if any(x + y for x, y in zip(a, b, strict=True))
)
"""Neighbors of a voxel, steps along k, j, i, two by two, without those that lie opposite each other."""
_NOISE_RANGE = (1e-3, 1e3)
_LEAST_SPREAD = 1e-3
_WHOLE = 0.999


def descriptors(image: Tensor, radius: int = 1, distance: int = 1) -> Tensor:
    """MIND-SSC of an image (1, 1, D, H, W): (1, 12, D, H, W), each from 0 to 1, in the order of `PAIRS`.

    radius: of the patches that are compared; distance: to the neighbors; both in voxels. A linear change of intensities
    leaves it as it is, an inversion too. The estimate of noise, the mean distance of the patches at a voxel, is held
    within 0.001 to 1000 times its mean over the image, as the authors do.
    """
    distances = _patch_distances(image, radius, distance)
    noise = distances.mean(1, keepdim=True)
    typical = float(noise.mean())
    if typical == 0:
        return torch.ones_like(distances)
    distances -= distances.amin(1, keepdim=True)
    noise.clamp_(_NOISE_RANGE[0] * typical, _NOISE_RANGE[1] * typical)
    return distances.div_(noise).neg_().exp_()


def _patch_distances(image: Tensor, radius: int, distance: int) -> Tensor:
    """Mean squared difference of the patches around the two neighbors of each of the `PAIRS`: (1, 12, D, H, W)."""
    reach = radius + distance
    padded = F.pad(image, [reach] * 6, mode="replicate")
    inner = [n + 2 * radius for n in image.shape[2:]]

    def moved(offset: Offset) -> Tensor:
        view = padded
        for axis, (step, length) in enumerate(zip(offset, inner, strict=True), 2):
            view = view.narrow(axis, distance * (1 + step), length)
        return view

    d, h, w = image.shape[2:]
    result = image.new_empty((1, len(PAIRS), d, h, w))
    for channel, (first, second) in enumerate(PAIRS):
        squares = (moved(first) - moved(second)).square_()
        means = box_mean(squares, radius)
        result[:, channel] = means[0, :, radius : radius + d, radius : radius + h, radius : radius + w]
    return result


class MindSimilarity:
    """One minus the squared distance of the descriptors, for two images of different contrast.

    The distance is divided by the spread of the fixed image's descriptors: 1 is a perfect match, 0 as good as none. The
    derivative takes the moving image's descriptors as fixed to its tissue (they are warped, not computed anew). Voxels
    whose patches reach into what has no weight are not compared: the edge of a field of view is no tissue.
    """

    name = "MIND"

    def __init__(self, fixed: Tensor, radius: int = 1, distance: int = 1) -> None:
        """fixed: (1, 1, D, H, W). radius: of the patches; distance: of the neighbors, voxels."""
        self.radius = radius
        self.distance = distance
        self._fixed = self.prepared(fixed)
        self._scale: float | None = None

    def prepared(self, moving: Tensor) -> Tensor:
        """The descriptors (1, 12, D, H, W) of an image (1, 1, D, H, W)."""
        return descriptors(moving, self.radius, self.distance)

    def match(self, warped: Tensor, weight: Tensor) -> Match:
        """Compare the warped descriptors; see `core.refinement.local_correlation.Similarity`."""
        weight = weight * (box_mean(weight, self.radius + self.distance) > _WHOLE)
        # Where both are compared hardly changes from step to step, and values can be compared if their unit does not.
        scale = self._scale = self._scale or 2 / self._spread(weight)
        pull = warped.new_zeros((1, 3, *warped.shape[2:]))
        stiffness, loss = torch.zeros_like(weight), torch.zeros_like(weight)
        for channel in range(warped.shape[1]):
            difference = self._fixed[:, channel : channel + 1] - warped[:, channel : channel + 1]
            slope = gradient(warped[:, channel : channel + 1])
            stiffness.add_((slope * slope).sum(1, keepdim=True))
            pull.add_(slope.mul_(difference))
            loss.add_(difference.square_())
        weight = weight * scale
        value = 1 - float((loss * weight).sum() / (2 * weight.sum() / scale).clamp(min=1))
        return Match(value, pull.mul_(weight), stiffness.mul_(weight))

    def _spread(self, weight: Tensor) -> float:
        """Variance of the fixed image's descriptors over the compared voxels, summed over the channels."""
        total = float(weight.sum().clamp(min=1))
        means = (self._fixed * weight).sum((2, 3, 4)) / total
        squares = (self._fixed.square() * weight).sum((2, 3, 4)) / total
        return max(float((squares - means * means).sum()), _LEAST_SPREAD)
