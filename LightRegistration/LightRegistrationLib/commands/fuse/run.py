"""A whole fusion: atlases are read, registered and fused, and the result is written into a folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...core.label_fusion.fusion import fuse, make_image
from ...core.models.registry import ModelRegistry
from ...core.threads import limit_threads
from ..files.json_files import write_json
from ..register.report import describe_settings
from ..terminal.progress_bar import ShowProgress
from ..terminal.versions import read_versions
from . import outputs
from .request import SUMMARY_FILE, Atlas, FusionRequest
from .scans import read_scans, read_target
from .warping import WarpedAtlases, warp_atlases

READING, _REGISTERING = 0.1, 0.8
"""Fractions of the progress that reading the atlases, and registering them too, have reached."""
_WORK_FOLDER = ".work"


def fuse_into(scene: Any, request: FusionRequest, folder: Path, show: ShowProgress) -> dict[str, Any]:
    """Label the target from the atlases, and write the result into an empty folder; returns its summary."""
    assert request.target is not None
    seconds: dict[str, float] = {}
    warnings: list[str] = []
    count = len(request.atlases)
    with open_work_folder(folder) as work:
        with measure_time(seconds, "reading"):
            target = read_target(scene, request.target, warnings.append)
            scans = read_scans(scene, request.atlases, work, warnings.append, show_reading(show, count))
            warnings += scans.list_warnings(target)
        with measure_time(seconds, "registration"):
            warped = warp_atlases(
                target,
                scans,
                range(count),
                request.registration,
                ModelRegistry(),
                work,
                lambda done: show(READING + (_REGISTERING - READING) * done / count, f"registering, {done} of {count}"),
            )
        with measure_time(seconds, "fusion"), limit_threads(request.registration.threads):
            fused = fuse(
                make_image(target.array),
                warped.images,
                warped.labels,
                request.fusion,
                work,
                lambda done: show(_REGISTERING + (1 - _REGISTERING) * done, "fusing the labels"),
            )
        with measure_time(seconds, "writing"):
            writer = outputs.FusionWriter(scene, scans.structures, scans.styles, target.geometry, request.compress)
            written = writer.write(fused, folder, request.probabilities)
    summary = {
        "target": str(request.target),
        **describe_request(request),
        "atlases": _describe_atlases(request.atlases, warped, fused.mean_weights.tolist()),
        "disputed_voxels": len(fused.disputed),
        "structures": written.volumes,
        "outputs": written.files,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "versions": read_versions(),
        "warnings": [*dict.fromkeys(warnings), *list_failures(request.atlases, warped)],
    }
    write_json(folder / SUMMARY_FILE, summary)
    return summary


def show_reading(show: ShowProgress, count: int) -> Callable[[int], None]:
    """Return what is called with the number of scans that have been read."""
    return lambda done: show(READING * done / count, f"reading, {done} of {count}")


def describe_request(request: FusionRequest) -> dict[str, Any]:
    """Return the settings of the fusion and of the registrations for the summary."""
    fusion = asdict(request.fusion)
    del fusion["chunk_values"]
    return {"fusion": fusion, "registration": describe_settings(request.registration)}


def _describe_atlases(
    atlases: Sequence[Atlas], warped: WarpedAtlases, weights: Sequence[float]
) -> list[Mapping[str, Any]]:
    described = {
        atlas.index: {"error": None, "mean_weight": round(weight, 5), "model": atlas.model, "warnings": atlas.warnings}
        for atlas, weight in zip(warped.atlases, weights, strict=True)
    }
    failed = {
        index: {"error": line, "mean_weight": None, "model": None, "warnings": ()}
        for index, line in warped.failures.items()
    }
    return [
        {"name": atlas.name, "image": str(atlas.image), "labels": str(atlas.labels), **(described | failed)[index]}
        for index, atlas in enumerate(atlases)
    ]


def list_failures(atlases: Sequence[Atlas], warped: WarpedAtlases) -> list[str]:
    """Return a line for each atlas that could not be registered."""
    return [f"{atlases[index].name} is left out: {line}" for index, line in warped.failures.items()]


@contextmanager
def measure_time(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the wall time of the block to `seconds`."""
    started = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - started


@contextmanager
def open_work_folder(parent: Path) -> Iterator[Path]:
    """Make a folder for the voxels of the atlases inside a private folder; it is removed after the block."""
    folder = parent / _WORK_FOLDER
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
