"""Two volumes on the network grid: what a registration does with them, and the measures of its results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from .affine.stage import Alignment
from .follow_up.intensity import WideNormalization
from .follow_up.refinement import FollowUpRefinement
from .follow_up.settings import FOLLOW_UP
from .geometry.geometry import Geometry
from .geometry.transforms import AffineTransform
from .models.registry import Student
from .models.selection import ModelChoice
from .network.extents import measure_shown
from .network.flow_conversion import Deformation
from .network.grid import GridImage, are_framed_alike, compute_network_grid, fill_unknown, resample_to_grid
from .network.inference import run_student
from .network.intensity import IntensityNormalization
from .refinement.acceptance import MatchMeasure, accept_deformation, show_edges
from .refinement.images import RefinementImages, ShrunkPair
from .refinement.pair import PairRefinement
from .result.result import Metric
from .result.settings import (
    Guidance,
    RefinementPreset,
    RegistrationSettings,
)
from .result_warnings import (
    MULTIMODAL_FOLLOW_UP_WARNING,
    WARNINGS,
    PersonMatch,
    warn_of_extents,
    warn_of_multimodal_match,
    warn_of_person,
    warn_of_poor_match,
)


@dataclass(frozen=True, eq=False)
class AlignedPair:
    """Two volumes prepared for the network: the model, the alignment, the network grid, and both images on it."""

    choice: ModelChoice
    student: Student
    alignment: Alignment
    grid: Geometry
    shrunk: ShrunkPair
    fixed: GridImage
    moving: GridImage
    metric: Metric

    def run_network(self, cascades: int | None) -> Deformation:
        """Run the network, and keep of its deformation what improves the match of a single-contrast pair.

        Where both fields of view are framed alike, as crops around one structure are, their edges lie at the same
        anatomy and help to align it: a single-contrast pair keeps them. Otherwise they would pull tissue to them.
        """
        is_multimodal = self.metric == Metric.MIND
        images = self.fixed, self.moving
        if is_multimodal or not self._are_framed_alike:
            images = fill_unknown(*images, is_multimodal)
        deformation = run_student(self.student.network, *images, cascades)
        return deformation if is_multimodal else self.accept(deformation)

    def accept(self, deformation: Deformation) -> Deformation:
        """Keep of a deformation after the alignment what improves the match."""
        return accept_deformation(self._measure_match, deformation)[0]

    def accept_steps(self, deformation: Deformation, stepped: Deformation) -> Deformation:
        """Keep what the steps for a multimodal pair found, or the network's deformation if its edges match better.

        The steps raise MIND alone. Two CTs whose organs differ in brightness count as multimodal too, and there they
        can undo what the network found.
        """
        measure = self._measure_match
        is_undone = measure.is_better(measure.measure(deformation), measure.measure(stepped))
        return self.accept(deformation if is_undone else stepped)

    def with_model(self, student: Student) -> AlignedPair:
        """Prepare the same volumes and alignment for another model."""
        fixed, moving = self.shrunk.volumes
        grid = compute_network_grid(fixed.geometry, student.grid)
        shrunk = ShrunkPair(fixed, moving, student.intensity)
        images = resample_pair(shrunk, grid, self.alignment.transform)
        return replace(self, student=student, grid=grid, shrunk=shrunk, fixed=images[0], moving=images[1])

    def make_judge(self) -> MatchMeasure:
        """Prepare the measure of deformations after the alignment, in intensities that no special model sees."""
        shrunk = ShrunkPair(*self.shrunk.volumes, IntensityNormalization())
        return MatchMeasure(*resample_pair(shrunk, self._refinement_grid, self.alignment.transform))

    def make_refinement(self, guidance: Guidance) -> PairRefinement:
        """Make the refinement of this pair, with the settings of its model."""
        settings, initial = self.student.refinement, self.alignment.transform
        images = RefinementImages(self.shrunk, initial, self._refinement_grid, guidance, settings.images)
        return PairRefinement(settings, images, self.metric)

    def make_follow_up(self, guidance: Guidance) -> FollowUpRefinement:
        """Make the refinement for two scans of one person."""
        settings, intensity = self.student.refinement, self.student.intensity
        wide = WideNormalization(intensity.kind, intensity.low, intensity.high, FOLLOW_UP.headroom)
        shrunk = ShrunkPair(*self.shrunk.volumes, wide)
        initial = self.alignment.transform
        images = RefinementImages(shrunk, initial, self._refinement_grid, guidance, settings.images)
        return FollowUpRefinement(images, settings)

    def measure_person_match(self) -> PersonMatch:
        """Measure whether the aligned images match as two scans of one person do."""
        match = self._measure_match.measure(self.make_identity())
        return PersonMatch(self.alignment.strain, match.local_correlation)

    def make_identity(self) -> Deformation:
        """Make the deformation that leaves everything where the alignment put it."""
        return Deformation(torch.zeros(1, 3, *self.grid.shape), self.grid)

    def list_match_warnings(
        self, deformation: Deformation, initial: AffineTransform, settings: RegistrationSettings
    ) -> Iterator[str]:
        """List warnings about the extents of the volumes and about how well they match after registration."""
        fixed, moving = self.shrunk.shrink_to(float(self.grid.spacing_mm[0]))
        yield from warn_of_extents(
            measure_shown(fixed, moving.geometry, initial.matrix),
            measure_shown(moving, fixed.geometry, initial.inverse().matrix),
        )
        correlation = self.measure_match_after(initial).measure(deformation).correlation
        if self.metric == Metric.MIND:
            if settings.follow_up:
                yield MULTIMODAL_FOLLOW_UP_WARNING
            is_refined = settings.follow_up or settings.refine != RefinementPreset.NONE
            yield from warn_of_multimodal_match(correlation, is_refined)
        else:
            yield from warn_of_poor_match(correlation)
            strain = self.alignment.strain
            # The match is measured only where the sizes agree, or where follow-up was asked for.
            if settings.follow_up or (strain is not None and strain <= WARNINGS.max_person_strain):
                yield from warn_of_person(self.measure_person_match(), settings)

    def measure_match_after(self, initial: AffineTransform) -> MatchMeasure:
        """Prepare the measure of deformations that follow an initial alignment."""
        if initial is self.alignment.transform:
            return self._measure_match
        grid = self._refinement_grid
        _, shrunk = self.shrunk.shrink_to(float(grid.spacing_mm[0]))
        return self._make_measure(resample_to_grid(shrunk, grid, initial.matrix))

    def is_accepted(self, refined: Deformation, refined_initial: AffineTransform, deformation: Deformation) -> bool:
        """Whether a refined deformation takes the place of the one before it.

        It has to match no worse in either measure; that of a multimodal pair also better than no deformation in both.
        """
        measure = self._measure_match
        before, after = measure.measure(deformation), self.measure_match_after(refined_initial).measure(refined)
        if self.metric == Metric.MIND and not measure.is_better(after, measure.measure_unmoved(deformation)):
            return False
        return not measure.is_better(before, after)

    @cached_property
    def _refinement_grid(self) -> Geometry:
        spacing_mm = self.student.refinement.spacing_mm
        if not spacing_mm:
            return self.grid
        rule = replace(self.student.grid, spacing_mm=spacing_mm)
        return compute_network_grid(self.shrunk.volumes[0].geometry, rule)

    @cached_property
    def _are_framed_alike(self) -> bool:
        fixed, moving = (volume.geometry for volume in self.shrunk.volumes)
        return are_framed_alike(fixed, moving, self.alignment.transform.matrix)

    @cached_property
    def _refinement_images(self) -> tuple[GridImage, GridImage]:
        """Both images on the grid of the refinement: that of the network can be too coarse to judge a refinement."""
        if self._refinement_grid is self.grid:
            return self.fixed, self.moving
        return resample_pair(self.shrunk, self._refinement_grid, self.alignment.transform)

    @cached_property
    def _measure_match(self) -> MatchMeasure:
        return self._make_measure(self._refinement_images[1])

    def _make_measure(self, moving: GridImage) -> MatchMeasure:
        """Prepare the measure of deformations: by intensities, for a multimodal pair by edges."""
        settings, fixed = self.student.refinement, self._refinement_images[0]
        if self.metric == Metric.MIND:
            return MatchMeasure(show_edges(fixed), show_edges(moving), settings.multimodal_acceptance)
        return MatchMeasure(fixed, moving, settings.acceptance)


def resample_pair(pair: ShrunkPair, grid: Geometry, initial: AffineTransform) -> tuple[GridImage, GridImage]:
    """Resample both volumes to the network grid, the moving one after the initial alignment."""
    fixed, moving = pair.shrink_to(float(grid.spacing_mm[0]))
    return resample_to_grid(fixed, grid, np.eye(4)), resample_to_grid(moving, grid, initial.matrix)
