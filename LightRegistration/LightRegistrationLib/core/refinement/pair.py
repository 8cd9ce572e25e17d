"""What becomes of a student's deformation for one pair: two contrasts settle it by MIND, and it is refined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ..geometry.transforms import AffineTransform
from ..result.result import Progress, ignore_progress
from .images import RefinementImages
from .local_correlation import LocalCorrelation, Similarity
from .mind import MindSimilarity
from .multimodal import MIND
from .optimizer import FINEST, Deformation, RefinementSettings, Start, measure_similarity, refine

HEADERS_HOPE = 0.5
"""The headers' own alignment is tried where the images match at least this well there, compared with the student's."""
MIND_UPDATE_VOXELS, MIND_ELASTIC_VOXELS = 2.5, 1.0
"""Two contrasts say less about each voxel, so that a stiffer deformation is right more often."""


@dataclass(frozen=True, eq=False)
class PairRefinement:
    """One pair, and how its deformations are compared. metric: `core.refinement.multimodal.choose_metric` of its images."""

    rule: RefinementSettings
    images: RefinementImages
    metric: str

    def settled(self, found: Deformation) -> Deformation:
        """For two contrasts: what some coarse steps make of the student's deformation, or of none at all.

        No student is as sure of two contrasts as of one: alone it may lead away from the affine alignment. MIND tells
        which start is the better one, in less than a second.
        """
        similarity, rule, _ = self._comparison()
        still = Deformation(torch.zeros_like(found.flow), found.geometry)
        starts = [Start(start, self.images) for start in (found, still)]
        return refine(starts, similarity, "none", rule, ignore_progress)[0]

    def __call__(
        self, preset: str, found: Deformation, initial: AffineTransform, trust_headers: bool, progress: Progress
    ) -> tuple[Deformation, AffineTransform]:
        """Refine what was found after the initial alignment; returns it and the alignment that it is after.

        preset: `fast` or `best`. trust_headers: whether the volumes may be where their headers say. The affine stage
        follows the largest structure; with two scans of one person, breathing, the spine and the walls of the body
        have not moved at all.
        """
        similarity, rule, finest = self._comparison()
        starts = [Start(found, self.images)]
        initials = [initial]
        if trust_headers and rule.headers:
            here = AffineTransform.identity()
            unmoved = Start(Deformation(torch.zeros_like(found.flow), found.geometry), self.images.moved(here))
            ours, theirs = (measure_similarity(start, similarity, rule) for start in (starts[0], unmoved))
            if theirs > HEADERS_HOPE * ours:
                starts.append(unmoved)
                initials.append(here)
        refined, number = refine(starts, similarity, preset, rule, progress, finest)
        return refined, initials[number]

    def _comparison(self) -> tuple[Callable[[Tensor], Similarity], RefinementSettings, float]:
        """What is climbed, how stiff the deformation is, and the finest level's factor."""
        if self.metric == MIND:
            # Its twelve channels would take too much memory on a finer grid.
            rule = replace(self.rule, update_voxels=MIND_UPDATE_VOXELS, elastic_voxels=MIND_ELASTIC_VOXELS)
            return MindSimilarity, rule, 1.0
        return partial(LocalCorrelation, radius=self.rule.window_voxels), self.rule, FINEST
