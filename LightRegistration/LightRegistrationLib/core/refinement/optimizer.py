"""The optimizer of the refinement: the network's deformation, optimized further for one pair (instance optimization).

Coarse to fine, the deformation phi is composed with small updates, phi <- phi o (id + u), u = G * (gradient /
curvature): a smoothed Gauss-Newton step on the similarity, as in fluid registration. The total displacement is then
smoothed a little (elastic regularization). Source of the scheme: compositive updates as in Vercauteren et al.
(NeuroImage 2009) and Yushkevich's greedy registration.

Each update is a diffeomorphism: with length L at most (`longest_step_voxels`) before it is smoothed by a Gaussian of
sigma s, its Lipschitz constant is at most sqrt(2 / pi) L / s, below 1 for s > 0.32. The error of the interpolation is
checked at all cell corners of the finished field (`core.deformation.folding.repair_folding`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..network.flow_conversion import Deformation, resample_flow
from ..network.flows import compose, sample, voxel_grid
from ..result.progress import Progress, ProgressUpdate, Stage, ignore_progress
from ..result.result import Metric, RefinementEnd, RefinementSummary
from ..result.settings import RefinementPreset
from ..sampling.filters import gaussian
from .images import LevelImages
from .settings import RefinementSettings
from .similarity import Similarity, SimilarityResult

MakeSimilarity = Callable[[Tensor], Similarity]
"""Makes the similarity to a fixed image (1, 1, D, H, W)."""


@dataclass(frozen=True)
class Level:
    """One resolution of a refinement: spacing as a factor of the refinement grid's, and the largest number of steps."""

    factor: float
    steps: int


def list_levels(preset: RefinementPreset, settings: RefinementSettings) -> tuple[Level, ...]:
    """List the resolutions of a preset, coarse to fine; `fast` ends at the refinement grid, `best` at a finer one.

    `none`: the level of the coarse steps for multimodal pairs (see `core.refinement.pair`).
    """
    optimizer = settings.optimizer
    if preset == RefinementPreset.NONE:
        return (Level(optimizer.multimodal_factor, optimizer.multimodal_steps),)
    coarse = [Level(factor, settings.coarse_steps) for factor in (8, 4, 2) if factor <= settings.coarsest]
    finest = [Level(settings.finest, optimizer.finest_steps)] if preset == RefinementPreset.BEST else []
    return (*coarse, Level(1, optimizer.refinement_grid_steps), *finest)


@dataclass(frozen=True, eq=False)
class Start:
    """A start of the optimization: a deformation, and the images at a factor of the refinement grid's spacing."""

    deformation: Deformation
    images: Callable[[float], LevelImages]


def refine(
    starts: Sequence[Start],
    make_similarity: MakeSimilarity,
    preset: RefinementPreset,
    settings: RefinementSettings,
    progress: Progress,
    levels: Sequence[Level] | None = None,
    tie: float | None = None,
) -> tuple[Deformation, int]:
    """Refine a deformation for one pair; returns it and the index of its start.

    starts: each is refined at the coarse levels; the one with the highest similarity there is refined further, of those
    that are nearly as good (`tie`, by default `similarity_tie`) the last. make_similarity: called with the fixed image
    of each level. progress: called after every step; an exception that it raises ends the refinement. If the similarity
    at the end is not higher than at the first start, the first start is returned. levels: in place of those of the
    preset.
    """
    levels = levels or list_levels(preset, settings)
    coarse, fine = [n for n in levels if n.factor > 1], [n for n in levels if n.factor <= 1]
    total = len(starts) * sum(n.steps for n in coarse) + sum(n.steps for n in fine)
    counter = _Counter(total, progress)
    runs = [_Run(start, make_similarity, settings, counter) for start in starts]
    for run in runs:
        run.optimize(coarse)
    tie = settings.optimizer.similarity_tie if tie is None else tie
    best = _choose_run(runs, tie) if len(runs) > 1 else runs[0]
    best.optimize(fine)
    before, after = runs[0].measure_start(levels[-1]), best.measure()
    ended = RefinementEnd.ALL_STEPS if best.has_taken_all_steps else RefinementEnd.NO_GAIN
    summary = RefinementSummary(preset, best.metric, counter.taken, ended, before, after)
    if after <= before:
        unchanged = replace(summary, ended=RefinementEnd.NO_GAIN, similarity_after=before)
        return replace(starts[0].deformation, summary=unchanged), 0
    return Deformation(best.flow, best.geometry, summary), runs.index(best)


def measure_similarity(start: Start, make_similarity: MakeSimilarity, settings: RefinementSettings) -> float:
    """Measure the similarity of the images at a start, at half the refinement grid's resolution."""
    return _Run(start, make_similarity, settings, _Counter(0, ignore_progress)).measure_start(Level(2, 0))


def _choose_run(runs: Sequence[_Run], tie: float) -> _Run:
    """The last run among those whose similarity is nearly the highest."""
    values = [run.measure() for run in runs]
    return [run for run, value in zip(runs, values, strict=True) if value > max(values) - tie][-1]


@dataclass
class _Counter:
    """Counts the steps of all runs: those taken, and those planned for the finished levels, for the progress."""

    total: int
    progress: Progress
    planned: int = 0
    taken: int = 0

    def count_step(self, number: int) -> None:
        self.taken += 1
        count = self.planned + number
        self.progress(ProgressUpdate(count / self.total, Stage.REFINEMENT, count, self.total))


class _Run:
    """The optimization from one start through the levels."""

    def __init__(
        self, start: Start, make_similarity: MakeSimilarity, settings: RefinementSettings, counter: _Counter
    ) -> None:
        self.start, self._make_similarity, self._settings, self._counter = start, make_similarity, settings, counter
        self.flow, self.geometry = start.deformation.flow, start.deformation.geometry
        self.has_taken_all_steps = False
        self._level: _LevelOptimizer | None = None

    @property
    def metric(self) -> Metric:
        """The similarity that is maximized."""
        assert self._level is not None
        return self._level.similarity.metric

    def optimize(self, levels: Sequence[Level]) -> None:
        """Take the steps of some levels, in order."""
        for level in levels:
            optimizer = self._level = _LevelOptimizer(
                self.start.images(level.factor), self._make_similarity, self._settings
            )
            self.flow = resample_flow(self.flow, self.geometry, optimizer.images.geometry)
            self.geometry = optimizer.images.geometry
            number = 0
            for number, flow in enumerate(optimizer.iterate(self.flow, level.steps), 1):
                self.flow = flow
                self._counter.count_step(number)
            self.has_taken_all_steps = number == level.steps
            self._counter.planned += level.steps

    def measure(self) -> float:
        """The similarity under the current flow, at the current level."""
        assert self._level is not None
        return self._level.evaluate(self.flow).value

    def measure_start(self, level: Level) -> float:
        """The similarity under the deformation of the start, at a level."""
        deformation, images = self.start.deformation, self.start.images(level.factor)
        flow = resample_flow(deformation.flow, deformation.geometry, images.geometry)
        return _LevelOptimizer(images, self._make_similarity, self._settings).evaluate(flow).value


class _LevelOptimizer:
    """The steps of one level."""

    def __init__(self, images: LevelImages, make_similarity: MakeSimilarity, settings: RefinementSettings) -> None:
        self.images = images
        self.settings = settings
        self.similarity = make_similarity(images.fixed)
        self._moving = torch.cat([self.similarity.compute_channels(images.moving), images.moving_weight], dim=1)
        self._grid = voxel_grid(tuple(images.fixed.shape[2:]), images.fixed.device) + images.margin

    def iterate(self, flow: Tensor, steps: int) -> Iterator[Tensor]:
        """Yield the flow after each step, until the similarity has hardly grown over the last steps."""
        patience, min_gain = self.settings.optimizer.patience_steps, self.settings.optimizer.min_gain_per_step
        values: list[float] = []
        for _ in range(steps):
            result = self.evaluate(flow)
            values.append(result.value)
            if len(values) > 2 * patience and values[-1] - values[-1 - patience] < patience * min_gain:
                return
            flow = self.step(flow, result)
            yield flow

    def evaluate(self, flow: Tensor) -> SimilarityResult:
        """Compare the images under a flow, where both are known."""
        warped = sample(self._moving, self._grid + flow, padding="zeros")
        is_known = warped[:, -1:] > self.settings.images.min_known_fraction
        return self.similarity.evaluate(warped[:, :-1], self.images.fixed_weight * is_known)

    def step(self, flow: Tensor, result: SimilarityResult) -> Tensor:
        """Compose the flow with one update along the gradient."""
        settings, longest = self.settings, self.settings.optimizer.longest_step_voxels
        update = gaussian(result.gradient, settings.update_voxels)
        update /= gaussian(result.curvature, settings.update_voxels) + settings.optimizer.damping
        i, j, k = update.unbind(1)
        length = (i * i).addcmul_(j, j).addcmul_(k, k).sqrt_()[:, None]
        update *= longest / length.clamp_(min=longest)
        return gaussian(compose(flow, gaussian(update, settings.update_voxels)), settings.elastic_voxels)
