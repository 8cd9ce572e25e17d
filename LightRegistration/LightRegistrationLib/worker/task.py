"""What the worker does for one request: register, warp, compare, report."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ..core.errors import InputError, ModelError
from ..core.geometry.volume import Segmentation, match_segments
from ..core.metrics.overlap import compare_segmentations
from ..core.models.registry import ModelRegistry
from ..core.registration import OnPreviewField, ignore_preview_field, register
from ..core.report.build import build_report
from ..core.result.result import Guidance, Progress, RegistrationResult, StructureScore, scale_progress
from ..core.sampling.warping import warp_volume_and_segmentation
from ..core.threads import limit_threads
from .guidance import build_guidance
from .protocol import RegistrationReply, RegistrationRequest

T = TypeVar("T")

OnField = Callable[[RegistrationResult, dict[str, Any]], None]
"""Called with the result and its report without scores as soon as the field is there, before anything is warped."""

# What registering takes of the whole on a clinical volume, and where what follows starts in the rest, so that the
# bar moves evenly.
_REGISTERING = {"none": 0.5, "fast": 0.8, "best": 0.95}
_WARP_STARTS, _COMPARISON_STARTS = 0.0, 0.5


def warm_up(registry: ModelRegistry) -> list[str]:
    """Load every model once, so that the first registration does not pay for it.

    Returns a line for each model that cannot be used; the others can.
    """
    problems = []
    for name in registry.names():
        try:
            registry.load(name)
        except ModelError as error:
            problems.append(str(error))
    return problems


def ignore_field(result: RegistrationResult, report: dict[str, Any]) -> None:
    """Tell nobody of the field."""


def run_request(
    registry: ModelRegistry,
    request: RegistrationRequest,
    progress: Progress,
    on_field: OnField = ignore_field,
    on_preview_field: OnPreviewField = ignore_preview_field,
) -> RegistrationReply:
    """Do one registration with everything the panel shows of it, on as many threads as its settings say.

    on_preview_field: see `core.registration.register`. Raises InputError for input that cannot be used.
    """
    _check_structures(request)
    guidance = build_guidance(request)
    with limit_threads(request.settings.threads):
        return _performed(registry, request, guidance, progress, on_field, on_preview_field)


def _performed(
    registry: ModelRegistry,
    request: RegistrationRequest,
    guidance: Guidance,
    progress: Progress,
    on_field: OnField,
    on_preview_field: OnPreviewField,
) -> RegistrationReply:
    share = _REGISTERING[request.settings.refine]
    result = register(
        request.fixed,
        request.moving,
        request.settings,
        guidance=guidance,
        registry=registry,
        # `done` of the registration is not yet that of the whole.
        progress=lambda fraction, stage: progress(fraction * share, stage) if fraction < 1 else None,
        on_preview_field=on_preview_field,
    )
    on_field(result, build_report(request.fixed, request.moving, result, None, guidance))
    return _completed(request, guidance, result, scale_progress(progress, share, 1.0))


def _completed(
    request: RegistrationRequest, guidance: Guidance, result: RegistrationResult, progress: Progress
) -> RegistrationReply:
    """Warp and compare."""
    grid = request.fixed.geometry
    progress(_WARP_STARTS, "warping")
    (warped, warped_segmentation), warp_seconds = _timed(
        lambda: warp_volume_and_segmentation(request.moving, request.moving_segmentation, result.field, grid)
    )
    progress(_COMPARISON_STARTS, "comparing the segmentations")
    scores, comparison_seconds = _timed(lambda: _scores(request, warped_segmentation))
    seconds = {**result.seconds, "warping": warp_seconds, "comparing": comparison_seconds}
    result = dataclasses.replace(result, seconds=seconds)
    report = build_report(request.fixed, request.moving, result, scores, guidance)
    progress(1.0, "done")
    return RegistrationReply(result, warped, warped_segmentation, report)


def _check_structures(request: RegistrationRequest) -> None:
    """Raise InputError if both segmentations were given but nothing in them can be compared."""
    fixed, moving = request.fixed_segmentation, request.moving_segmentation
    if fixed is not None and moving is not None and not match_segments(fixed, moving):
        raise InputError(
            f"The segmentations {fixed.name} and {moving.name} share neither a name nor a label value: "
            "choose two that show the same structures."
        )


def _scores(request: RegistrationRequest, warped: Segmentation | None) -> tuple[StructureScore, ...] | None:
    fixed, moving = request.fixed_segmentation, request.moving_segmentation
    if fixed is None or moving is None or warped is None:
        return None
    return compare_segmentations(fixed, moving, warped, request.fixed.geometry)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start
