"""The registration itself: two volumes and a model in, one displacement field in RAS mm out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from .affine.initial_alignment import initial_alignment
from .affine.stage import Alignment
from .deformation.jacobian import repair_folding, summarize_jacobian
from .errors import InputError
from .geometry.geometry import Geometry
from .geometry.transforms import AffineTransform, DisplacementField
from .geometry.volume import Volume
from .models.image_statistics import measure_image_statistics
from .models.registry import ModelRegistry, Student
from .models.selection import ModelChoice, check_model, choose_model
from .network.flow_conversion import convert_flow_to_field
from .network.grid import GridImage, compute_network_grid, resample_to_grid
from .network.inference import run_student
from .refinement.images import RefinementImages, ShrunkPair
from .refinement.multimodal import MIND, choose_metric
from .refinement.optimizer import Deformation
from .refinement.pair import PairRefinement
from .result.result import (
    NO_GUIDANCE,
    Guidance,
    Progress,
    RegistrationResult,
    RegistrationSettings,
    ignore_progress,
    scale_progress,
)
from .result_warnings import MULTIMODAL_WARNING, measure_final_correlation, warn_of_field, warn_of_poor_match
from .threads import limit_threads
from .volume_preservation.correction import preserve_volumes

DEFAULT_SETTINGS = RegistrationSettings()

OnPreviewField = Callable[[DisplacementField], None]
"""Called with the student's own field, fixed -> moving in RAS mm, before a refinement begins."""


def ignore_preview_field(field: DisplacementField) -> None:
    """Wait for the refined one."""


def register(
    fixed: Volume,
    moving: Volume,
    settings: RegistrationSettings = DEFAULT_SETTINGS,
    *,
    guidance: Guidance = NO_GUIDANCE,
    registry: ModelRegistry | None = None,
    progress: Progress = ignore_progress,
    on_preview_field: OnPreviewField = ignore_preview_field,
) -> RegistrationResult:
    """Register the moving volume to the fixed one with a student.

    Sizes, spacings and orientations may differ. Returns the displacement field fixed -> moving (RAS mm) on a grid that
    covers the whole fixed volume, with what is needed to say how it came about. on_preview_field: told of the student's
    own answer where a refinement follows. Deterministic for a given machine and number of threads. Raises InputError
    where the inputs cannot be registered, ModelError (an InputError) for a model that is unknown or damaged.
    """
    for volume in (fixed, moving):
        if _is_flat(volume.array):
            raise InputError(f"{volume.name}: all voxels have the same value; there is nothing to register.")
    stages = _Stages(progress)
    with torch.inference_mode(), limit_threads(settings.threads):
        pair = _begin(fixed, moving, settings, guidance, registry or ModelRegistry(), stages)
        found, initial = _find(pair, settings, guidance, stages, on_preview_field)
        result = _result(pair, found, initial, settings, guidance, stages)
    progress(1.0, "done")
    return result


def _find(
    pair: _AlignedPair,
    settings: RegistrationSettings,
    guidance: Guidance,
    stages: _Stages,
    on_preview_field: OnPreviewField,
) -> tuple[Deformation, AffineTransform]:
    """The deformation of an aligned pair, and the initial alignment that it is after."""
    initial = pair.alignment.transform
    with stages.stage("network", 0.5):
        found = run_student(pair.student, pair.target, pair.source, settings.cascades)
    refinement = pair.refinement(guidance)
    if pair.metric == MIND:
        with stages.stage("two contrasts", 0.55):
            found = refinement.settled(found)
    if settings.refine == "none":
        return found, initial
    on_preview_field(convert_flow_to_field(found.flow, found.geometry, initial))
    with stages.stage("refinement", 0.6):
        trust_headers = settings.initial == "affine" and not pair.alignment.notes
        return refinement(settings.refine, found, initial, trust_headers, scale_progress(stages.progress, 0.6, 0.9))


def _result(
    pair: _AlignedPair,
    found: Deformation,
    initial: AffineTransform,
    settings: RegistrationSettings,
    guidance: Guidance,
    stages: _Stages,
) -> RegistrationResult:
    """The field in mm, checked, and all that is to be said of it."""
    fixed = pair.shrunk.volumes[0].geometry
    with stages.stage("field", 0.9):
        field, _ = repair_folding(convert_flow_to_field(found.flow, found.geometry, initial))
        field, kept = (field, ()) if guidance.keep is None else preserve_volumes(field, guidance.keep, fixed)
        jacobian = summarize_jacobian(field, fixed)
        remarks = (*warn_of_field(jacobian, kept), *pair.match_remarks(found, initial, settings.refine))
    return RegistrationResult(
        field=field,
        initial=initial,
        model=pair.choice.card.name,
        model_reason=pair.choice.reason,
        weights_sha256=pair.choice.card.sha256,
        settings=settings,
        jacobian=jacobian,
        seconds=stages.seconds,
        warnings=(*pair.choice.warnings, *pair.alignment.notes, *remarks),
        refinement=found.summary,
        kept=kept,
    )


@dataclass(frozen=True, eq=False)
class _AlignedPair:
    """Two volumes on their way to the network: the model for them, their grid, and both images on it, aligned."""

    choice: ModelChoice
    student: Student
    alignment: Alignment
    grid: Geometry
    shrunk: ShrunkPair
    target: GridImage
    source: GridImage
    metric: str

    def refinement(self, guidance: Guidance) -> PairRefinement:
        """How the deformations of this pair are compared and refined."""
        images = RefinementImages(self.shrunk, self.alignment.transform, self.grid, guidance)
        return PairRefinement(self.student.refinement, images, self.metric)

    def match_remarks(self, found: Deformation, initial: AffineTransform, refine: str) -> Iterator[str]:
        """What is to be said of how the images match. refine: the preset."""
        if self.metric == MIND:
            if refine == "none":
                yield MULTIMODAL_WARNING
            return
        source = self.source
        if initial is not self.alignment.transform:
            source = resample_to_grid(self.shrunk(float(self.grid.spacing_mm[0]))[1], self.grid, initial.matrix)
        yield from warn_of_poor_match(measure_final_correlation(self.target, source, found))


def _begin(
    fixed: Volume,
    moving: Volume,
    settings: RegistrationSettings,
    guidance: Guidance,
    registry: ModelRegistry,
    stages: _Stages,
) -> _AlignedPair:
    """Choose the model, align the volumes and bring them onto the network's grid."""
    with stages.stage("load model", 0.0):
        choice = _choice(registry, settings.model, fixed, moving)
        student = registry.load(choice.card.name)
        grid = compute_network_grid(fixed.geometry, student.grid)
        pair = ShrunkPair(fixed, moving, student.intensity)
    with stages.stage("shrink", 0.1):
        shrunk = pair(float(grid.spacing_mm[0]))
    with stages.stage("initial alignment", 0.2):
        alignment = initial_alignment(fixed, moving, settings, guidance, student.intensity, shrunk)
    with stages.stage("resample", 0.4):
        target, source = (
            resample_to_grid(shrunk[0], grid, np.eye(4)),
            resample_to_grid(shrunk[1], grid, alignment.transform.matrix),
        )
        metric = choose_metric(target.tensor, source.tensor)
    return _AlignedPair(choice, student, alignment, grid, pair, target, source, metric)


class _Stages:
    """Times the stages of a run and reports each one as it starts."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, fraction: float) -> Iterator[None]:
        self.progress(fraction, name)
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started


def _is_flat(array: np.ndarray) -> bool:
    """Whether all voxels have one value; nearly always a few of them say no, without a look at the rest."""
    first = array.flat[0]
    return bool((array.ravel()[::997] == first).all() and (array == first).all())


def _choice(registry: ModelRegistry, model: str, fixed: Volume, moving: Volume) -> ModelChoice:
    card = registry.card(model)
    looks = measure_image_statistics(fixed), measure_image_statistics(moving)
    return choose_model(registry.cards, looks) if model == "auto" else check_model(card, looks)
