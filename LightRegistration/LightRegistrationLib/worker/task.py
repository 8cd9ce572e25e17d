"""Run one request: register, warp, compare the segmentations, report."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from ..core.deformation.inverse_check import measure_consistency
from ..core.errors import InputError, ModelError
from ..core.geometry.segmentation_checks import check_place, list_place_warnings
from ..core.geometry.transforms import AffineTransform
from ..core.geometry.volume import Segmentation, Volume, list_ambiguous_names, list_unequal_names, match_segments
from ..core.metrics.overlap import compare_segmentations
from ..core.models.registry import ModelRegistry
from ..core.registration import OnPreviewField, ignore_preview_field, register
from ..core.report.build import add_consistency, add_warning, build_report
from ..core.report.definition import Report
from ..core.result.progress import Progress, ProgressUpdate, Stage, scale_progress
from ..core.result.result import ConsistencySummary, RegistrationResult
from ..core.result.scores import StructureScore
from ..core.result.settings import Guidance, RefinementPreset
from ..core.sampling.warping import warp_volume_and_segmentation
from ..core.threads import limit_threads
from .guidance import build_guidance
from .protocol import RegistrationReply, RegistrationRequest

T = TypeVar("T")

OnField = Callable[[RegistrationResult, Report], None]
"""Called with the result, and its report without scores, as soon as the field is found, before anything is warped."""

_REGISTRATION_FRACTION = {RefinementPreset.NONE: 0.5, RefinementPreset.FAST: 0.8, RefinementPreset.BEST: 0.95}
"""Fraction of the time of a request that the registration takes on a clinical volume, for an even progress bar."""
_REGISTRATION_SHARE = 0.55
"""Fraction of the time that a request takes before the registration in the opposite direction."""
_COMPARISON_START = 0.5
"""Where the comparison starts in the rest of the time; warping comes before it."""
_MAX_NAMES = 12
"""So many pairs of names are listed in a warning."""


def warm_up(registry: ModelRegistry) -> list[str]:
    """Load every model, so that the first registration need not wait for it.

    Returns one line for each model that cannot be loaded.
    """
    problems = []
    for name in registry.names():
        try:
            registry.load(name)
        except ModelError as error:
            problems.append(str(error))
    return problems


def ignore_field(result: RegistrationResult, report: Report) -> None:
    """Do nothing with the field."""


def run_request(
    registry: ModelRegistry,
    request: RegistrationRequest,
    progress: Progress,
    on_field: OnField = ignore_field,
    on_preview_field: OnPreviewField = ignore_preview_field,
) -> RegistrationReply:
    """Run one registration with warped volume, scores and report, on as many threads as its settings say.

    on_preview_field: see `core.registration.register`. Raises InputError for input that cannot be used.
    """
    _check_structures(request)
    for drawing, volume, title in _list_drawings(request):
        check_place(drawing, volume, title)
    guidance = build_guidance(request)
    share = _REGISTRATION_SHARE if request.check_consistency else 1.0
    with limit_threads(request.settings.threads):
        own_progress = scale_progress(progress, 0.0, share)
        reply = _register(registry, request, guidance, own_progress, on_field, on_preview_field)
        if request.check_consistency:
            reply = _add_consistency(reply, registry, request, scale_progress(progress, share, 1.0))
    progress(ProgressUpdate(1.0, Stage.DONE))
    return reply


def _register(
    registry: ModelRegistry,
    request: RegistrationRequest,
    guidance: Guidance,
    progress: Progress,
    on_field: OnField,
    on_preview_field: OnPreviewField,
) -> RegistrationReply:
    share = _REGISTRATION_FRACTION[request.settings.refine]
    part = scale_progress(progress, 0.0, share)
    result = register(
        request.fixed,
        request.moving,
        request.settings,
        guidance=guidance,
        registry=registry,
        # The registration is done here, but not the request.
        progress=lambda update: None if update.stage == Stage.DONE else part(update),
        on_preview_field=on_preview_field,
    )
    result = dataclasses.replace(result, warnings=(*_list_input_warnings(request), *result.warnings))
    on_field(result, build_report(request.fixed, request.moving, result, None, guidance))
    return _warp_and_compare(request, guidance, result, scale_progress(progress, share, 1.0))


def _warp_and_compare(
    request: RegistrationRequest, guidance: Guidance, result: RegistrationResult, progress: Progress
) -> RegistrationReply:
    grid = request.fixed.geometry
    progress(ProgressUpdate(0.0, Stage.WARPING))
    (warped, warped_segmentation), warp_seconds = _measure_seconds(
        lambda: warp_volume_and_segmentation(request.moving, request.moving_segmentation, result.field, grid)
    )
    progress(ProgressUpdate(_COMPARISON_START, Stage.COMPARING))
    scores, comparison_seconds = _measure_seconds(lambda: _compare(request, warped_segmentation))
    seconds = {**result.seconds, Stage.WARPING: warp_seconds, Stage.COMPARING: comparison_seconds}
    result = dataclasses.replace(result, seconds=seconds)
    report = build_report(request.fixed, request.moving, result, scores, guidance)
    return RegistrationReply(result, warped, warped_segmentation, report)


def _add_consistency(
    reply: RegistrationReply, registry: ModelRegistry, request: RegistrationRequest, progress: Progress
) -> RegistrationReply:
    """Register in the opposite direction and add to the report how well both registrations agree.

    A reason why that cannot be measured becomes a warning: the result is found, and must not be lost.
    """
    progress(ProgressUpdate(0.0, Stage.CONSISTENCY))
    consistency, seconds = _measure_seconds(lambda: _measure_consistency(reply.result, registry, request))
    if isinstance(consistency, str):
        result = dataclasses.replace(reply.result, warnings=(*reply.result.warnings, consistency))
        return dataclasses.replace(reply, result=result, report=add_warning(reply.report, consistency))
    report = add_consistency(reply.report, consistency)
    report["seconds"] = {**report["seconds"], Stage.CONSISTENCY: round(seconds, 4)}
    return dataclasses.replace(reply, report=report)


def _measure_consistency(
    result: RegistrationResult, registry: ModelRegistry, request: RegistrationRequest
) -> ConsistencySummary | str:
    """Return the agreement of both directions, or a warning that says why it cannot be measured."""
    fixed, moving = request.fixed.geometry, request.moving.geometry
    try:
        backward = _register_backward(registry, request)
        return measure_consistency(result.field, backward.field, fixed, moving)
    except InputError as error:
        return f"The consistency with the opposite direction could not be measured: {error}"


def _register_backward(registry: ModelRegistry, request: RegistrationRequest) -> RegistrationResult:
    """Register the fixed volume to the moving one; no volume is preserved, since that has one direction only."""
    settings = dataclasses.replace(request.settings, keep_volume=())
    if isinstance(settings.initial, AffineTransform):
        settings = dataclasses.replace(settings, initial=settings.initial.inverse())
    guidance = Guidance(request.moving_mask, request.fixed_mask)
    return register(request.moving, request.fixed, settings, guidance=guidance, registry=registry)


def _check_structures(request: RegistrationRequest) -> None:
    """Raise InputError if both segmentations were given but have no structure in common."""
    fixed, moving = request.fixed_segmentation, request.moving_segmentation
    if fixed is not None and moving is not None and not match_segments(fixed, moving):
        raise InputError(
            f"The segmentations {fixed.name} and {moving.name} share neither a name nor a label value: "
            "choose two that show the same structures."
        )


def _list_drawings(request: RegistrationRequest) -> Iterator[tuple[Segmentation, Volume, str]]:
    """Yield the segmentations and masks that were given, each with its volume and what to call it."""
    for title, fixed, moving in (
        ("segmentation", request.fixed_segmentation, request.moving_segmentation),
        ("mask", request.fixed_mask, request.moving_mask),
    ):
        for role, drawing, volume in (("fixed", fixed, request.fixed), ("moving", moving, request.moving)):
            if drawing is not None:
                yield drawing, volume, f"{role} {title}"


def _list_input_warnings(request: RegistrationRequest) -> Iterator[str]:
    """Yield warnings about the initial transform, and about content, place and paired structures of segmentations."""
    yield from request.warnings
    initial = request.settings.initial
    if isinstance(initial, AffineTransform) and np.linalg.det(initial.matrix[:3, :3]) < 0:
        name = f"{initial.name}: the" if initial.name else "The"
        yield f"{name} initial transform mirrors the moving volume; left and right may be exchanged."
    for drawing, volume, title in _list_drawings(request):
        yield from list_place_warnings(drawing, volume, title)
    fixed, moving = request.fixed_segmentation, request.moving_segmentation
    if fixed is None or moving is None:
        return
    if names := list_unequal_names(match_segments(fixed, moving)):
        yield f"Structures with different names are compared: {_join_names(names)}."
    if names := list_ambiguous_names(fixed, moving):
        yield f"Structures whose name occurs twice in one segmentation are not compared: {_join_names(names)}."


def _join_names(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_NAMES]) + (", ..." if len(names) > _MAX_NAMES else "")


def _compare(request: RegistrationRequest, warped: Segmentation | None) -> tuple[StructureScore, ...] | None:
    fixed, moving = request.fixed_segmentation, request.moving_segmentation
    if fixed is None or moving is None or warped is None:
        return None
    return compare_segmentations(fixed, moving, warped, request.fixed.geometry)


def _measure_seconds(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start
