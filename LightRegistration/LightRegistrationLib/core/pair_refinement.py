"""A pair's refinement as the registration asks for it: where it begins, and what it compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from .contrast import MIND, choose_metric
from .field import AffineTransform
from .mind import Mind
from .refinement import FINEST, Refined, RefinementRule, Start, match_value, refine
from .refinement_images import RefinementImages
from .result import Progress
from .similarity import LocalCorrelation, Similarity

HEADERS_HOPE = 0.5
"""The headers' own alignment is tried where the images match at least this well there, compared with the student's."""
MIND_UPDATE_VOXELS, MIND_ELASTIC_VOXELS = 2.5, 1.0
"""Two contrasts say less about each voxel, so that a stiffer deformation is right more often."""


@dataclass(frozen=True, eq=False)
class PairRefinement:
    """How the deformations of one pair are refined. preset: `fast` or `best`."""

    preset: str
    rule: RefinementRule
    images: RefinementImages

    def __call__(
        self, found: Refined, initial: AffineTransform, trust_headers: bool, progress: Progress
    ) -> tuple[Refined, AffineTransform]:
        """Refine what the student found after the initial alignment; returns it and the alignment that it is after.

        trust_headers: whether the volumes may be where their headers say. The affine stage follows the largest
        structure; with two scans of one person, breathing, the spine and the walls of the body have not moved at all.
        """
        similarity, rule, finest = self._comparison()
        starts = [Start(found, self.images)]
        initials = [initial]
        if trust_headers and rule.headers:
            here = AffineTransform.identity()
            unmoved = Start(Refined(torch.zeros_like(found.flow), found.geometry), self.images.moved(here))
            ours, theirs = (match_value(start, similarity, rule) for start in (starts[0], unmoved))
            if theirs > HEADERS_HOPE * ours:
                starts.append(unmoved)
                initials.append(here)
        refined, number = refine(starts, similarity, self.preset, rule, progress, finest)
        return refined, initials[number]

    def _comparison(self) -> tuple[Callable[[Tensor], Similarity], RefinementRule, float]:
        """What is climbed, how stiff the deformation is, and the finest level's factor."""
        images = self.images(1)
        inside = slice(images.margin, -images.margin)
        moving, view = (image[..., inside, inside, inside] for image in (images.moving, images.view))
        if choose_metric(images.fixed, moving, images.weight * view) == MIND:
            # Its twelve channels would take too much memory on a finer grid.
            rule = replace(self.rule, update_voxels=MIND_UPDATE_VOXELS, elastic_voxels=MIND_ELASTIC_VOXELS)
            return Mind, rule, 1.0
        return partial(LocalCorrelation, radius=self.rule.window_voxels), self.rule, FINEST
