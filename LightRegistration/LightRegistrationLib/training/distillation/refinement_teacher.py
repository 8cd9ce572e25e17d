"""A teacher without a teacher network: a student's deformation, refined on the noise-free images of the pair.

The refinement is the product's own (`core.refinement`), on the pair's grid, which is its finest level. The student sees
the images with noise, the teacher those without: what it teaches no refinement of the student could find.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.errors import InputError
from ...core.geometry.geometry import Geometry
from ...core.network.cascade import RecursiveCascade
from ...core.network.flow_conversion import Deformation, compute_flow_geometry, resample_flow
from ...core.network.grid import GridImage
from ...core.refinement.acceptance import MatchMeasure
from ...core.refinement.images import LevelImages, pool_images
from ...core.refinement.local_correlation import LocalCorrelation
from ...core.refinement.optimizer import Start, refine
from ...core.refinement.settings import REFINEMENT, RefinementSettings
from ...core.result.progress import ignore_progress
from ...core.result.settings import RefinementPreset
from ..data.pairs import Pair, select
from .lesson import Lesson, hash_weights

IDENTITY = "identity"
"""In place of a student's hash: the refinement starts from no deformation."""


class RefinementTeacher:
    """Refines the deformation of a student; a pair whose match does not get better by that is not taught.

    student: None to start from no deformation. cascades: how many it runs, None as trained. settings: as in a card's
    table `refinement`; levels finer than the pair's grid are left out. The match is better if the correlation over the
    image and the mean local correlation both rise (`core.refinement.acceptance`).
    """

    def __init__(
        self,
        student: RecursiveCascade | None = None,
        settings: RefinementSettings = REFINEMENT,
        cascades: int | None = None,
    ) -> None:
        self.student = None if student is None else student.eval().requires_grad_(False)
        self.settings = settings
        self.cascades = cascades
        self.identity: dict[str, Any] = {
            "kind": "refinement",
            "student": IDENTITY if student is None else hash_weights(student),
            "cascades": cascades,
            **asdict(settings),
        }

    def teach(self, pair: Pair, number: int | None = None) -> Lesson:
        """Refine each pair; its grid has to be divisible by the factor of the coarsest level. Raises InputError."""
        device = pair.fixed.device
        with torch.no_grad():
            found = [self._teach_one(_select(pair, n)) for n in range(len(pair.fixed))]
        flow = torch.cat([deformation for deformation, _ in found]).to(device)
        return Lesson(flow, torch.tensor([is_better for _, is_better in found], device=device))

    def follow(self, student: RecursiveCascade, cascades: int | None) -> RefinementTeacher:
        """Make the same refinement of another student's deformations; of that student it has a copy as it is now."""
        return RefinementTeacher(deepcopy(student).cpu(), self.settings, cascades)

    def _teach_one(self, pair: Pair) -> tuple[Tensor, bool]:
        shape: tuple[int, int, int] = tuple(pair.fixed.shape[2:])  # type: ignore[assignment]
        if any(n % self.settings.coarsest for n in shape):
            raise InputError(f"The grid {shape} of a pair is not divisible by coarsest = {self.settings.coarsest}.")
        geometry = Geometry(shape, np.eye(4))
        images = _PairImages(pair, geometry, self.settings)
        start = self._start(pair, geometry)
        make_similarity = partial(
            LocalCorrelation, radius=self.settings.window_voxels, settings=self.settings.correlation
        )
        starts = [Start(start, images)]
        refined, _ = refine(starts, make_similarity, RefinementPreset.FAST, self.settings, ignore_progress)
        known = torch.ones_like(pair.fixed, dtype=torch.bool)
        fixed, moving = (GridImage(image, geometry, known) for image in (images.fixed, images.moving))
        measure = MatchMeasure(fixed, moving, self.settings.acceptance)
        is_better = measure.is_better(measure.measure(refined), measure.measure(start))
        return resample_flow(refined.flow, refined.geometry, geometry), is_better

    def _start(self, pair: Pair, geometry: Geometry) -> Deformation:
        """The student's deformation of the noise-free images, or none."""
        if self.student is None:
            return Deformation(torch.zeros(1, 3, *geometry.shape), geometry)
        flow, _ = self.student(pair.fixed_clean[:, :1], pair.moving_clean[:, :1], self.cascades)
        return Deformation(flow, compute_flow_geometry(geometry, tuple(flow.shape[2:])))


class _PairImages:
    """The noise-free images of a pair at the levels of the refinement."""

    def __init__(self, pair: Pair, geometry: Geometry, settings: RefinementSettings) -> None:
        self.fixed, self.moving = pair.fixed_clean[:, :1].contiguous(), pair.moving_clean[:, :1].contiguous()
        weight = torch.ones_like(self.fixed)
        self._finest = LevelImages(geometry, self.fixed, weight, self.moving, weight, margin=0)
        self._min_known = settings.images.min_known_fraction

    def __call__(self, factor: float) -> LevelImages:
        return self._finest if factor == 1 else pool_images(self._finest, round(factor), self._min_known)


def _select(pair: Pair, number: int) -> Pair:
    """One pair of a batch, on the CPU, where the refinement runs."""
    one = select(pair, torch.tensor([number], device=pair.fixed.device))
    return replace(
        one,
        fixed=one.fixed.cpu(),
        moving=one.moving.cpu(),
        fixed_clean=one.fixed_clean.cpu(),
        moving_clean=one.moving_clean.cpu(),
    )
