"""The whole registration on one page: two volumes and a model in, one displacement field in RAS mm out.

Choose the model (`core.models`), shrink both volumes, align them (`core.affine`), bring them onto the network grid and
run the network (`core.network`), refine the deformation (`core.refinement`), repair and preserve (`core.deformation`,
`core.volume_preservation`), and list the warnings (`core.result_warnings`). For two scans of one person a stiff
deformation takes the place of the network's, and their changes are listed (`core.follow_up`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from .affine.initial_alignment import find_initial_alignment
from .aligned_pair import AlignedPair, resample_pair
from .deformation.displacement import summarize_displacements
from .deformation.folding import repair_folding, repair_margin
from .deformation.jacobian import summarize_jacobian
from .deformation.tapering import taper_field
from .errors import InputError
from .follow_up.places import list_changes
from .follow_up.refinement import FollowUpRefinement
from .geometry.transforms import AffineTransform, DisplacementField
from .geometry.volume import Volume
from .models.image_statistics import measure_image_statistics
from .models.registry import ModelRegistry
from .models.selection import ModelChoice, check_model, choose_model, prefer_rival
from .network.flow_conversion import Deformation, convert_flow_to_field
from .network.grid import compute_network_grid
from .network.intensity import IntensityNormalization
from .refinement.images import ShrunkPair
from .refinement.multimodal import choose_metric
from .result.progress import Progress, ProgressUpdate, Stage, ignore_progress, scale_progress
from .result.result import Metric, PreservedVolume, RegistrationResult
from .result.settings import (
    AUTO_MODEL,
    DEFAULT_SETTINGS,
    NO_GUIDANCE,
    Guidance,
    InitialAlignment,
    RefinementPreset,
    RegistrationSettings,
)
from .result_warnings import (
    PersonMatch,
    warn_of_field,
    warn_of_margin,
)
from .sampling.field_of_view import crop_to_field_of_view
from .threads import limit_threads
from .volume_preservation.correction import preserve_volumes

OnPreviewField = Callable[[DisplacementField], None]
"""Called with the field of the network alone, fixed -> moving in RAS mm, before a refinement begins."""


def ignore_preview_field(field: DisplacementField) -> None:
    """Show nothing before the refinement ends."""


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
    covers the scanned part of the fixed volume, with the model, the settings and the measurements of the run. Beyond it
    the field falls to the initial alignment. on_preview_field:
    called with the field of the network alone if a refinement follows. Deterministic for one machine and number of
    threads. Raises InputError for volumes that cannot be registered, ModelError (an InputError) for a model that is
    unknown or damaged.
    """
    for volume in (fixed, moving):
        if _is_flat(volume.array):
            raise InputError(f"{volume.name}: all voxels have the same value; there is nothing to register.")
    stages = _Stages(progress)
    fixed, moving = crop_to_field_of_view(fixed), crop_to_field_of_view(moving)
    with torch.inference_mode(), limit_threads(settings.threads):
        registry = registry or ModelRegistry()
        pair = _prepare_pair(fixed, moving, settings, guidance, registry, stages)
        follow_up = pair.make_follow_up(guidance) if settings.follow_up and pair.metric != Metric.MIND else None
        if settings.follow_up:
            deformation, initial = _follow_up(pair, follow_up, settings.refine, stages), pair.alignment.transform
        else:
            with stages.stage(Stage.NETWORK, 0.5):
                pair, deformation = _run_networks(pair, registry, settings)
            deformation, initial = _finish_deformation(pair, deformation, settings, guidance, stages, on_preview_field)
        result = _build_result(pair, deformation, initial, settings, guidance, stages, follow_up)
    progress(ProgressUpdate(1.0, Stage.DONE))
    return result


def align(
    fixed: Volume,
    moving: Volume,
    settings: RegistrationSettings = DEFAULT_SETTINGS,
    *,
    registry: ModelRegistry | None = None,
) -> tuple[AffineTransform, IntensityNormalization]:
    """Find the initial alignment fixed -> moving (RAS mm) of a registration alone.

    Returns it, and how the model that would register the pair normalizes intensities. Raises InputError as `register`
    does.
    """
    fixed, moving = crop_to_field_of_view(fixed), crop_to_field_of_view(moving)
    with torch.inference_mode(), limit_threads(settings.threads):
        stages = _Stages(ignore_progress)
        pair = _prepare_pair(fixed, moving, settings, NO_GUIDANCE, registry or ModelRegistry(), stages)
        return pair.alignment.transform, pair.student.intensity


def measure_person_match(fixed: Volume, moving: Volume) -> PersonMatch:
    """Measure whether two volumes match after the initial alignment alone as two scans of one person do.

    Raises InputError as `register` does.
    """
    with torch.inference_mode():
        volumes = crop_to_field_of_view(fixed), crop_to_field_of_view(moving)
        pair = _prepare_pair(*volumes, DEFAULT_SETTINGS, NO_GUIDANCE, ModelRegistry(), _Stages(ignore_progress))
        return pair.measure_person_match()


def _follow_up(
    pair: AlignedPair, refinement: FollowUpRefinement | None, preset: RefinementPreset, stages: _Stages
) -> Deformation:
    """Find the stiff deformation between two scans of one person; refinement None: leave the rigid alignment."""
    unmoved = pair.make_identity()
    if refinement is None:
        return unmoved
    with stages.stage(Stage.REFINEMENT, 0.5):
        deformation = refinement.refine(preset, scale_progress(stages.progress, 0.5, 0.9))
    return deformation if pair.is_accepted(deformation, pair.alignment.transform, unmoved) else unmoved


def _run_networks(
    pair: AlignedPair, registry: ModelRegistry, settings: RegistrationSettings
) -> tuple[AlignedPair, Deformation]:
    """Run the network of the chosen model, and of its rivals; keep the first unless another result matches better.

    The judge is the correlation of the images as no special model sees them, since each model matches its own window of
    intensities best.
    """
    deformation = pair.run_network(settings.cascades)
    if not pair.choice.rivals or pair.metric == Metric.MIND:
        return pair, deformation
    judge = pair.make_judge()
    best = judge.measure(deformation).correlation
    for rival in pair.choice.rivals:
        other = pair.with_model(registry.load(rival.name))
        found = other.run_network(settings.cascades)
        correlation = judge.measure(found).correlation
        if correlation > best + pair.student.refinement.acceptance.min_gain:
            choice = prefer_rival(pair.choice, rival, correlation, best)
            pair, deformation, best = replace(other, choice=choice), found, correlation
    return pair, deformation


def _finish_deformation(
    pair: AlignedPair,
    deformation: Deformation,
    settings: RegistrationSettings,
    guidance: Guidance,
    stages: _Stages,
    on_preview_field: OnPreviewField,
) -> tuple[Deformation, AffineTransform]:
    """Refine the deformation of the network as asked; returns it and the initial alignment before it."""
    initial = pair.alignment.transform
    is_multimodal = pair.metric == Metric.MIND
    refinement = pair.make_refinement(guidance)
    if is_multimodal:
        with stages.stage(Stage.MULTIMODAL, 0.55):
            deformation = pair.accept_steps(deformation, refinement.take_multimodal_steps(deformation))
    if settings.refine == RefinementPreset.NONE:
        return deformation, initial
    if on_preview_field is not ignore_preview_field:
        preview = convert_flow_to_field(deformation.flow, deformation.geometry, initial)
        on_preview_field(taper_field(preview, initial, pair.shrunk.volumes[0].geometry))
    with stages.stage(Stage.REFINEMENT, 0.6):
        trust_headers = settings.initial == InitialAlignment.AFFINE and not pair.alignment.warnings
        progress = scale_progress(stages.progress, 0.6, 0.9)
        refined, refined_initial = refinement.refine(settings.refine, deformation, initial, trust_headers, progress)
    if pair.is_accepted(refined, refined_initial, deformation):
        return refined, refined_initial
    return deformation, initial


def _build_result(
    pair: AlignedPair,
    deformation: Deformation,
    initial: AffineTransform,
    settings: RegistrationSettings,
    guidance: Guidance,
    stages: _Stages,
    follow_up: FollowUpRefinement | None,
) -> RegistrationResult:
    """Convert the deformation to a field in mm, repair it, preserve volumes, and collect the warnings."""
    fixed = pair.shrunk.volumes[0].geometry
    with stages.stage(Stage.FIELD, 0.9):
        field, _ = repair_folding(convert_flow_to_field(deformation.flow, deformation.geometry, initial))
        preserved: tuple[PreservedVolume, ...] = ()
        if guidance.preserved_segments is not None:
            field, preserved = preserve_volumes(field, guidance.preserved_segments, fixed)
        jacobian = summarize_jacobian(field, fixed)
        changes = None if follow_up is None else list_changes(follow_up, deformation, field, initial)
        match_warnings = pair.list_match_warnings(deformation, initial, settings)
        warnings = (*warn_of_field(jacobian, preserved), *match_warnings)
        field, is_margin_folded = repair_margin(taper_field(field, initial, fixed), fixed)
        displacement = summarize_displacements(field, fixed)
        warnings = (*warnings, *warn_of_margin(is_margin_folded))
    return RegistrationResult(
        field=field,
        initial=initial,
        model=pair.choice.card.name,
        model_reason=pair.choice.reason,
        weights_sha256=pair.choice.card.sha256,
        settings=settings,
        jacobian=jacobian,
        displacement=displacement,
        seconds=stages.seconds,
        warnings=(*pair.choice.warnings, *pair.alignment.warnings, *warnings),
        refinement=deformation.summary,
        preserved_volumes=preserved,
        changes=changes,
    )


def _prepare_pair(
    fixed: Volume,
    moving: Volume,
    settings: RegistrationSettings,
    guidance: Guidance,
    registry: ModelRegistry,
    stages: _Stages,
) -> AlignedPair:
    """Choose the model, align the volumes and bring them onto the network grid."""
    with stages.stage(Stage.LOAD_MODEL, 0.0):
        choice = _choose_model(registry, settings.model, fixed, moving)
        student = registry.load(choice.card.name)
        grid = compute_network_grid(fixed.geometry, student.grid)
        pair = ShrunkPair(fixed, moving, student.intensity)
    with stages.stage(Stage.SHRINK, 0.1):
        shrunk = pair.shrink_to(float(grid.spacing_mm[0]))
    with stages.stage(Stage.INITIAL_ALIGNMENT, 0.2):
        alignment = find_initial_alignment(fixed, moving, settings, guidance, student.intensity, shrunk)
    with stages.stage(Stage.RESAMPLE, 0.4):
        fixed_image, moving_image = resample_pair(pair, grid, alignment.transform)
        metric = choose_metric(fixed_image.tensor, moving_image.tensor, student.refinement.multimodal)
    return AlignedPair(choice, student, alignment, grid, pair, fixed_image, moving_image, metric)


class _Stages:
    """Measures the wall time of the stages of a run and reports the progress as each one starts."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, stage: Stage, fraction: float) -> Iterator[None]:
        self.progress(ProgressUpdate(fraction, stage))
        started = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - started


def _is_flat(array: np.ndarray) -> bool:
    """Whether all voxels have the same value; a few voxels are compared first, since they nearly always differ."""
    first = array.flat[0]
    return bool((array.ravel()[::997] == first).all() and (array == first).all())


def _choose_model(registry: ModelRegistry, model: str, fixed: Volume, moving: Volume) -> ModelChoice:
    card = registry.card(model)
    statistics = measure_image_statistics(fixed), measure_image_statistics(moving)
    return choose_model(registry.cards, statistics) if model == AUTO_MODEL else check_model(card, statistics)
