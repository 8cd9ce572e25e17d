"""Leave-one-out evaluation: each labeled scan gets labels from all others, which are compared with its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import InputError
from ...core.label_fusion.fusion import fuse, make_image
from ...core.label_fusion.settings import FusionMethod
from ...core.models.registry import ModelRegistry
from ...core.threads import limit_threads
from ..files.json_files import write_json
from ..terminal.progress_bar import ShowProgress
from ..terminal.versions import read_versions
from .outputs import write_table
from .request import RESULTS_FILE, STRUCTURES_FILE, SUMMARY_FILE, FusionRequest
from .run import READING, describe_request, list_failures, measure_time, open_work_folder, show_reading
from .scans import NO_COMMON_STRUCTURE, LabeledScans, read_scans
from .scores import ScanScores, compute_dice
from .warping import WarpedAtlases, warp_atlases

_REGISTERING = 0.7
"""Fraction of the time of a scan that its registrations take; for the progress."""


def evaluate_into(
    scene: Any, request: FusionRequest, chosen: Sequence[int], folder: Path, show: ShowProgress
) -> list[dict[str, Any]]:
    """Evaluate the chosen scans, and write the tables into an empty folder; returns the rows of the scans."""
    registry = ModelRegistry()
    warnings: list[str] = []
    scores: list[ScanScores] = []
    share = (1 - READING) / len(chosen)
    with open_work_folder(folder) as work:
        scans = read_scans(scene, request.atlases, work, warnings.append, show_reading(show, len(request.atlases)))
        warnings += scans.list_warnings()
        _check_comparable(scans, chosen)
        for done, index in enumerate(chosen):
            name, start = request.atlases[index].name, READING + done * share
            with open_work_folder(work) as own:
                show_part = _scale_progress(show, name, start, share)
                warped, result = _evaluate_scan(request, scans, index, registry, own, show_part)
            scores.append(result)
            warnings += [f"{name}: {line}" for line in list_failures(request.atlases, warped)]
    rows = [score.make_row() for score in scores]
    write_table(folder / RESULTS_FILE, rows)
    write_table(folder / STRUCTURES_FILE, [row for s in scores for row in s.list_structures(scans.structures)])
    summary = {
        **describe_request(request),
        "scans": rows,
        "versions": read_versions(),
        "warnings": list(dict.fromkeys(warnings)),
    }
    write_json(folder / SUMMARY_FILE, summary)
    return rows


def _check_comparable(scans: LabeledScans, chosen: Sequence[int]) -> None:
    """Raise InputError for a scan to be left out that cannot be compared with what the others give it."""
    for index in chosen:
        if index in scans.find_strangers():
            raise InputError(f"{scans.scans[index].atlas.labels}: {NO_COMMON_STRUCTURE} Else choose other --scans.")


def _scale_progress(show: ShowProgress, name: str, start: float, share: float) -> Callable[[float], None]:
    return lambda part: show(start + share * part, name)


def _evaluate_scan(
    request: FusionRequest,
    scans: LabeledScans,
    index: int,
    registry: ModelRegistry,
    work: Path,
    show: Callable[[float], None],
) -> tuple[WarpedAtlases, ScanScores]:
    """Label one scan from all others, and compare with its own labels."""
    seconds: dict[str, float] = {}
    target = scans.scans[index].image
    others = [other for other in range(len(scans.scans)) if other != index]
    with measure_time(seconds, "registration"):
        warped = warp_atlases(
            target,
            scans,
            others,
            request.registration,
            registry,
            work,
            lambda done: show(_REGISTERING * done / len(others)),
        )
    fused = []
    with limit_threads(request.registration.threads):
        for method in FusionMethod:
            with measure_time(seconds, method):
                settings = replace(request.fusion, method=method)
                fused.append(fuse(make_image(target.array), warped.images, warped.labels, settings, work).labels)
        shown = [scans.list_shown(atlas.index) for atlas in warped.atlases]
        shown += [np.any(shown, axis=0)] * len(fused)
        dice = compute_dice(scans.number_labels_on_image(index), [*warped.labels, *fused], shown)
    if not np.isfinite(dice[-1]).any():
        raise InputError(f"{target.name}: none of its structures is in the scans that could be registered to it.")
    show(1.0)
    names = tuple(request.atlases[atlas.index].name for atlas in warped.atlases)
    majority, joint = dice[len(names) :]
    return warped, ScanScores(request.atlases[index].name, names, dice[: len(names)], majority, joint, seconds)
