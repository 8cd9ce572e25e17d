"""Refinement: the student's deformation, optimized further for one pair (instance optimization).

Coarse to fine, the deformation phi is composed with small updates, phi <- phi o (id + u), u = G * (pull / stiffness):
a smoothed Gauss-Newton step on the similarity, as in fluid registration; the total displacement is then smoothed a
little, which is its elastic regularization. Source of the scheme: compositive updates as in Vercauteren et al.
(NeuroImage 2009) and Yushkevich's greedy registration.

Each update is a diffeomorphism by construction: no longer than LONGEST_STEP before it is smoothed by a Gaussian of
sigma s, it has a Lipschitz constant of at most sqrt(2 / pi) LONGEST_STEP / s, below 1 for s > 0.32. What interpolation
adds to that is checked at all cell corners of the finished field (`core.deformation.jacobian.repair_folding`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..geometry.geometry import Geometry
from ..network.flow_conversion import resample_flow
from ..network.flows import compose, sample, voxel_grid
from ..result.result import Progress, RefinementSummary, ignore_progress
from ..sampling.filters import gaussian
from .images import LevelImages
from .local_correlation import Match, Similarity

LONGEST_STEP = 0.4
"""Longest displacement of one update, voxels of the level's grid."""
FINEST = 0.625
"""Spacing of the finest level of `best`, as a factor of the network grid's."""
TIE = 0.005
"""Two starts whose similarity after the coarse levels differs by less are taken as equally good."""
_DAMPING = 0.01
_PATIENCE = 4
_LEAST_GAIN = 2e-4


@dataclass(frozen=True)
class RefinementSettings:
    """How a model's deformations are refined (the `refinement` of its card).

    update_voxels, elastic_voxels: sigma of the Gaussians that smooth each update and the total displacement, voxels of
    the level's grid; more is stiffer. window_voxels: radius of the window of local correlation. coarsest: the factor
    of the network grid's spacing where it begins; more for larger motion that the student may have missed. headers:
    also begin where the headers say, as with two scans of one session, and keep that if it is as good.
    """

    update_voxels: float = 1.0
    elastic_voxels: float = 0.5
    window_voxels: int = 2
    coarsest: int = 2
    headers: bool = False


@dataclass(frozen=True)
class Level:
    """One resolution of a refinement: spacing as a factor of the network grid's, and at most so many steps."""

    factor: float
    steps: int


@dataclass(frozen=True, eq=False)
class Deformation:
    """A deformation, fixed -> moving after the initial alignment.

    flow: (1, 3, D, H, W), voxels of the grid `geometry`, which it lies on. summary: what a refinement did, None where
    there was none.
    """

    flow: Tensor
    geometry: Geometry
    summary: RefinementSummary | None = None


def list_levels(preset: str, rule: RefinementSettings, finest: float = FINEST) -> tuple[Level, ...]:
    """The resolutions of a preset, coarse to fine; `best` ends at the factor `finest`, `fast` at the network grid.

    `none` is what two contrasts get in any case (see `core.refinement.pair`): some steps at half its resolution.
    """
    if preset == "none":
        return (Level(2, 10),)
    coarse = [Level(factor, 40) for factor in (8, 4, 2) if factor <= rule.coarsest]
    return (*coarse, Level(1, 10), *([Level(finest, 12)] if preset == "best" else []))


@dataclass(frozen=True, eq=False)
class Start:
    """Where a refinement may begin: a deformation, and the images at a factor of the network grid's spacing."""

    found: Deformation
    images: Callable[[float], LevelImages]


def refine(
    starts: Sequence[Start],
    similarity: Callable[[Tensor], Similarity],
    preset: str,
    rule: RefinementSettings,
    progress: Progress,
    finest: float = FINEST,
) -> tuple[Deformation, int]:
    """Refine a deformation for one pair; returns it, and the number of the start that it came from.

    starts: each is refined at the coarse levels, and the one that matches best there goes on; of those that are nearly
    as good (TIE) the last. similarity: made anew for
    each level's fixed image. progress: called after every step with the fraction done; what it raises ends the
    refinement. Where the images match no better at the end than at the first start, that one is given back.
    """
    levels = list_levels(preset, rule, finest)
    coarse, fine = [n for n in levels if n.factor > 1], [n for n in levels if n.factor <= 1]
    total = len(starts) * sum(n.steps for n in coarse) + sum(n.steps for n in fine)
    counter = _Counter(total, progress)
    runs = [_Run(start, similarity, rule, counter) for start in starts]
    for run in runs:
        run.climb(coarse)
    best = _last_of_the_best(runs) if len(runs) > 1 else runs[0]
    best.climb(fine)
    before, after = runs[0].value_before(levels[-1]), best.value()
    ended = "all steps" if best.ran_out else "no gain"
    summary = RefinementSummary(preset, best.name, counter.taken, ended, before, after)
    if after <= before:
        return replace(starts[0].found, summary=replace(summary, ended="no gain", similarity_after=before)), 0
    return Deformation(best.flow, best.geometry, summary), runs.index(best)


def measure_similarity(start: Start, similarity: Callable[[Tensor], Similarity], rule: RefinementSettings) -> float:
    """How well the images match at a start, at half the network grid's resolution."""
    return _Run(start, similarity, rule, _Counter(0, ignore_progress)).value_before(Level(2, 0))


def _last_of_the_best(runs: Sequence[_Run]) -> _Run:
    values = [run.value() for run in runs]
    return [run for run, value in zip(runs, values, strict=True) if value > max(values) - TIE][-1]


@dataclass
class _Counter:
    """The steps of all runs: how many were taken, and how many were planned up to here, for the progress."""

    total: int
    progress: Progress
    planned: int = 0
    taken: int = 0

    def step(self, number: int) -> None:
        self.taken += 1
        count = self.planned + number
        self.progress(count / self.total, f"refining, step {count} of {self.total}")


class _Run:
    """One start on its way through the levels."""

    def __init__(
        self, start: Start, similarity: Callable[[Tensor], Similarity], rule: RefinementSettings, counter: _Counter
    ) -> None:
        self.start, self._similarity, self._rule, self._counter = start, similarity, rule, counter
        self.flow, self.geometry = start.found.flow, start.found.geometry
        self.ran_out = False
        self._climb: _Climb | None = None

    @property
    def name(self) -> str:
        """What is climbed."""
        assert self._climb is not None
        return self._climb.similarity.name

    def climb(self, levels: Sequence[Level]) -> None:
        """Go through some levels, in order."""
        for level in levels:
            climb = self._climb = _Climb(self.start.images(level.factor), self._similarity, self._rule)
            self.flow = resample_flow(self.flow, self.geometry, climb.images.geometry)
            self.geometry = climb.images.geometry
            number = 0
            for number, stepped in enumerate(_steps_with_gain(climb, self.flow, level.steps), 1):
                self.flow = stepped
                self._counter.step(number)
            self.ran_out = number == level.steps
            self._counter.planned += level.steps

    def value(self) -> float:
        """How well the images match now, at the level reached."""
        assert self._climb is not None
        return self._climb.match(self.flow).value

    def value_before(self, level: Level) -> float:
        """How well they match at a level under the deformation that came in."""
        found, images = self.start.found, self.start.images(level.factor)
        flow = resample_flow(found.flow, found.geometry, images.geometry)
        return _Climb(images, self._similarity, self._rule).match(flow).value


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

    def __init__(
        self, images: LevelImages, similarity: Callable[[Tensor], Similarity], rule: RefinementSettings
    ) -> None:
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
