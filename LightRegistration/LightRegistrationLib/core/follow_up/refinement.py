"""The deformation between two scans of one person: stiff, and driven by tissue that both show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from ..network.flow_conversion import Deformation, resample_flow
from ..network.flows import sample, voxel_grid
from ..refinement.images import RefinementImages
from ..refinement.local_correlation import LocalCorrelation
from ..refinement.optimizer import Level, Start, refine
from ..refinement.settings import RefinementSettings
from ..result.progress import Progress, scale_progress
from ..result.settings import RefinementPreset
from .images import MatchedImages
from .settings import FOLLOW_UP, FollowUpSettings, UnmatchedSettings
from .unmatched import TissueDifference, compare_tissue, cover_unmatched, find_unmatched


@dataclass(frozen=True, eq=False)
class FollowUpRefinement:
    """The refinement of one pair of scans of one person, after a rigid alignment.

    images: of the pair after that alignment, with the masks of the user. refinement: of the model.
    """

    images: RefinementImages
    refinement: RefinementSettings
    settings: FollowUpSettings = FOLLOW_UP

    def refine(self, preset: RefinementPreset, progress: Progress) -> Deformation:
        """Find the stiff deformation after the rigid alignment.

        The tissue without a counterpart is found, the deformation optimized without it, and both once more from the
        start, since a better alignment tells change from misalignment. preset: `none` ends at half the resolution of
        the refinement grid, the others at the refinement grid. progress: called after every step.
        """
        level = self.images(1)
        unmoved = Deformation(torch.zeros(1, 3, *level.geometry.shape), level.geometry)
        deformation = unmoved
        for number in range(self.settings.passes):
            is_last = number == self.settings.passes - 1
            images = self._leave_out_unmatched(deformation)
            first, last = number / self.settings.passes, (number + 1) / self.settings.passes
            levels = self._list_levels(preset if is_last else RefinementPreset.NONE)
            stiff = replace(
                self.refinement,
                update_voxels=self.settings.update_voxels,
                elastic_voxels=self.settings.elastic_voxels,
            )
            make_similarity = partial(
                LocalCorrelation, radius=self.refinement.window_voxels, settings=self.refinement.correlation
            )
            part = scale_progress(progress, first, last)
            start = Start(unmoved, images)
            deformation, _ = refine([start], make_similarity, preset, stiff, part, levels=levels)
        return deformation

    def find_unmatched(
        self, deformation: Deformation, settings: UnmatchedSettings
    ) -> tuple[NDArray[np.int32], TissueDifference]:
        """Find the places without a counterpart under a deformation, on the refinement grid (see `unmatched`)."""
        level = self.images(1)
        flow = resample_flow(deformation.flow, deformation.geometry, level.geometry)
        moving = torch.cat([level.moving, level.moving_weight], dim=1)
        grid = voxel_grid(tuple(level.fixed.shape[2:]), flow.device) + level.margin
        warped = sample(moving, grid + flow, padding="zeros")
        known = level.fixed_weight * (warped[:, 1:] > self.refinement.images.min_known_fraction)
        spacing_mm = float(level.geometry.spacing_mm[0])
        difference = compare_tissue(level.fixed, warped[:, :1], known, spacing_mm, settings)
        return find_unmatched(difference, level.geometry.voxel_volume_mm3, settings), difference

    def _leave_out_unmatched(self, deformation: Deformation) -> MatchedImages:
        places, _ = self.find_unmatched(deformation, self.settings.driving)
        flow = resample_flow(deformation.flow, deformation.geometry, self.images(1).geometry)
        return MatchedImages(self.images, cover_unmatched(places, self.settings.driving), flow, self.settings)

    def _list_levels(self, preset: RefinementPreset) -> Sequence[Level]:
        optimizer = self.refinement.optimizer
        steps = optimizer.coarse_steps_without_network
        coarse = [Level(factor, steps) for factor in (8, 4, 2) if factor <= self.settings.coarsest]
        fine = [] if preset == RefinementPreset.NONE else [Level(1, optimizer.refinement_grid_steps)]
        return (*coarse, *fine)
