"""Refinement: the student's deformation, optimized further for one pair (instance optimization).

Coarse to fine, the deformation phi is composed with small updates, phi <- phi o (id + u), u = G * (pull / stiffness):
a smoothed Gauss-Newton step on the similarity, as in fluid registration; the total displacement is then smoothed a
little, which is its elastic regularization. Source of the scheme: compositive updates as in Vercauteren et al.
(NeuroImage 2009) and Yushkevich's greedy registration.

Each update is a diffeomorphism by construction: no longer than LONGEST_STEP before it is smoothed by a Gaussian of
sigma s, it has a Lipschitz constant of at most sqrt(2 / pi) LONGEST_STEP / s, below 1 for s > 0.32. What interpolation
adds to that is checked at all cell corners of the finished field (`core.field_tools.unfold`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .filters import gaussian
from .flows import compose, sample, voxel_grid
from .geometry import Geometry
from .refinement_images import LevelImages, flow_onto
from .result import Progress, RefinementSummary
from .similarity import Match, Similarity

LONGEST_STEP = 0.4
"""Longest displacement of one update, voxels of the level's grid."""
_DAMPING = 0.01
_PATIENCE = 4
_LEAST_GAIN = 2e-4


@dataclass(frozen=True)
class RefinementRule:
    """How a model's deformations are refined (the `refinement` of its card).

    update_voxels, elastic_voxels: sigma of the Gaussians that smooth each update and the total displacement, voxels of
    the level's grid; more is stiffer. window_voxels: radius of the window of local correlation. coarsest: the factor
    of the network grid's spacing where it begins; more for larger motion that the student may have missed.
    """

    update_voxels: float = 1.0
    elastic_voxels: float = 0.5
    window_voxels: int = 2
    coarsest: int = 2


@dataclass(frozen=True)
class Level:
    """One resolution of a refinement: spacing as a factor of the network grid's, and at most so many steps."""

    factor: float
    steps: int


@dataclass(frozen=True, eq=False)
class Refined:
    """A deformation, fixed -> moving after the initial alignment.

    flow: (1, 3, D, H, W), voxels of the grid `geometry`, which it lies on. summary: what a refinement did, None where
    there was none.
    """

    flow: Tensor
    geometry: Geometry
    summary: RefinementSummary | None = None


def levels_of(preset: str, rule: RefinementRule) -> tuple[Level, ...]:
    """The resolutions of a preset, coarse to fine."""
    coarse = [Level(factor, 10) for factor in (8, 4, 2) if factor <= rule.coarsest]
    return (*coarse, Level(1, 10), *([Level(0.625, 12)] if preset == "best" else []))


def refine(
    start: Refined,
    images: Callable[[float], LevelImages],
    similarity: Callable[[Tensor], Similarity],
    preset: str,
    rule: RefinementRule,
    progress: Progress,
) -> Refined:
    """Refine a deformation for one pair.

    images: the images at a factor of the network grid's spacing. similarity: made anew for each level's fixed image.
    progress: called after every step with the fraction done; what it raises ends the refinement. Where the images
    match no better at the end than under the deformation that came in, that one is given back.
    """
    levels = levels_of(preset, rule)
    total = sum(level.steps for level in levels)
    flow, geometry = start.flow, start.geometry
    planned = taken = 0
    for level in levels:
        climb = _Climb(images(level.factor), similarity, rule)
        flow, geometry = flow_onto(flow, geometry, climb.images.geometry), climb.images.geometry
        steps = _steps_with_gain(climb, flow, level.steps)
        for count, stepped in enumerate(steps, planned + 1):
            flow, taken = stepped, taken + 1
            progress(count / total, f"refining, step {count} of {total}")
        planned += level.steps
    before = climb.match(flow_onto(start.flow, start.geometry, geometry)).value
    after = climb.match(flow).value
    summary = RefinementSummary(
        preset, climb.similarity.name, taken, "all steps" if taken == total else "no gain", before, after
    )
    if after <= before:
        return replace(start, summary=replace(summary, ended="no gain", similarity_after=before))
    return Refined(flow, geometry, summary)


def _steps_with_gain(climb: _Climb, flow: Tensor, steps: int) -> Iterator[Tensor]:
    """The flow after each step, until the similarity has not grown for a few of them."""
    values: list[float] = []
    for _ in range(steps):
        match = climb.match(flow)
        values.append(match.value)
        if len(values) > 2 * _PATIENCE and values[-1] - values[-1 - _PATIENCE] < _PATIENCE * _LEAST_GAIN:
            return
        flow = climb.step(flow, match)
        yield flow


class _Climb:
    """The steps of one level."""

    def __init__(self, images: LevelImages, similarity: Callable[[Tensor], Similarity], rule: RefinementRule) -> None:
        self.images = images
        self.rule = rule
        self.similarity = similarity(images.fixed)
        self._moving = torch.cat([self.similarity.prepared(images.moving), images.view], dim=1)
        self._grid = voxel_grid(tuple(images.fixed.shape[2:]), images.fixed.device) + images.margin

    def match(self, flow: Tensor) -> Match:
        """Compare the images under a flow, where both are known."""
        warped = sample(self._moving, self._grid + flow, padding="zeros")
        return self.similarity.match(warped[:, :-1], self.images.weight * (warped[:, -1:] > 0.99))

    def step(self, flow: Tensor, match: Match) -> Tensor:
        """One update along the pull."""
        rule = self.rule
        update = gaussian(match.pull, rule.update_voxels)
        update /= gaussian(match.stiffness, rule.update_voxels) + _DAMPING
        i, j, k = update.unbind(1)
        length = (i * i).addcmul_(j, j).addcmul_(k, k).sqrt_()[:, None]
        update *= LONGEST_STEP / length.clamp_(min=LONGEST_STEP)
        return gaussian(compose(flow, gaussian(update, rule.update_voxels)), rule.elastic_voxels)
