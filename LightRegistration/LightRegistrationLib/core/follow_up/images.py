"""The images that a stiff refinement compares: only tissue with a counterpart has a weight, at each resolution."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..network.flows import sample, voxel_grid
from ..refinement.images import LevelImages, RefinementImages
from .settings import FOLLOW_UP, FollowUpSettings


class MatchedImages:
    """The images of a pair without its unmatched tissue; each level is computed once.

    unmatched: 1 where tissue has no counterpart, else 0, on the refinement grid (1, 1, D, H, W). flow: of the
    deformation under which that was found (1, 3, D, H, W): the moving tissue there is left out too.
    """

    def __init__(
        self, images: RefinementImages, unmatched: Tensor, flow: Tensor, settings: FollowUpSettings = FOLLOW_UP
    ) -> None:
        self._images = images
        self._settings = settings
        full = images(1)
        self._keep_fixed = 1 - unmatched
        self._keep_moving = 1 - _push_forward(unmatched, flow, full.margin)
        self._cache: dict[float, LevelImages] = {}

    def __call__(self, factor: float) -> LevelImages:
        """Return the images at a factor of the refinement grid's spacing: 1, 2, 4 or 8."""
        if factor not in self._cache:
            self._cache[factor] = self._leave_out(round(factor))
        return self._cache[factor]

    def _leave_out(self, factor: int) -> LevelImages:
        """Leave the unmatched tissue out of the weights and out of the means over blocks."""
        full, level = self._images(1), self._images(factor)
        fixed, fixed_weight = self._average_kept(full.fixed, self._keep_fixed, factor)
        moving, moving_weight = self._average_kept(full.moving, self._keep_moving, factor)
        return replace(
            level,
            fixed=fixed,
            fixed_weight=level.fixed_weight * fixed_weight,
            moving=moving,
            moving_weight=level.moving_weight * moving_weight,
        )

    def _average_kept(self, image: Tensor, keep: Tensor, factor: int) -> tuple[Tensor, Tensor]:
        """Average what is kept over blocks; returns also the weight: 1 where enough of a block is kept, else 0."""
        if factor == 1:
            return image, keep
        share = F.avg_pool3d(keep, factor)
        average = F.avg_pool3d(image * keep, factor) / share.clamp(min=1e-6)
        is_kept = share >= self._settings.min_matched_fraction
        return torch.where(is_kept, average, F.avg_pool3d(image, factor)), is_kept.float()


def _push_forward(mask: Tensor, flow: Tensor, margin: int) -> Tensor:
    """Move a mask of the fixed grid to the moving image, whose grid has `margin` more voxels on every side.

    The inverse of the flow is approximated by its opposite, which is enough for the small motion of one person.
    """
    wide, opposite = F.pad(mask, [margin] * 6), F.pad(-flow, [margin] * 6, mode="replicate")
    moved = sample(wide, voxel_grid(tuple(wide.shape[2:]), wide.device) + opposite)
    return (moved > 0.5).float()
