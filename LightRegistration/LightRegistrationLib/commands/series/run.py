"""A whole series: the frames are read, registered to one of them or to their mean, and written."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import InputError
from ...core.geometry.geometry import FloatArray, Geometry, apply_affine
from ...core.geometry.transforms import AffineTransform, DisplacementField
from ...core.geometry.volume import Volume
from ...core.models.registry import ModelRegistry
from ...core.registration import register
from ...core.sampling.warping import warp_volume
from ...core.template.image import ImageMean, IntensityMap, find_foreground, warp_scan
from ...core.template.shape import make_affine_field
from ...core.threads import limit_threads
from ..files.stored_values import load, store
from ..register.report import describe_settings
from ..terminal.progress_bar import ShowProgress
from .frames import Frame, FrameList, read_frames
from .outputs import SeriesWriting
from .points import Points, read_series_points
from .request import SeriesRequest

_WORK_FOLDER = ".work"
_READING, _REGISTERING = 0.1, 0.9
"""Fractions of the progress that reading, and registering too, have reached."""
_MAX_POINTS = 20_000
_DIGITS = 4


@dataclass(frozen=True, eq=False)
class Reference:
    """What the frames are registered to. frame: its number, None for the mean."""

    volume: Volume
    frame: int | None

    @property
    def grid(self) -> Geometry:
        """The grid of the results."""
        return self.volume.geometry


@dataclass
class FrameResult:
    """A registered frame. folder: of its field, None if it has none. record: what is known of it."""

    frame: Frame
    folder: Path | None = None
    record: dict[str, Any] = field(default_factory=dict)

    def load_field(self) -> DisplacementField | None:
        """Return the field from the reference to the frame, None if the frame could not be registered."""
        return None if self.folder is None else load(self.folder)


def register_series_into(scene: Any, request: SeriesRequest, folder: Path, show: ShowProgress) -> dict[str, Any]:
    """Register a series and write the result into an empty folder; returns its summary. Raises InputError."""
    warnings: list[str] = []
    work = folder / _WORK_FOLDER
    work.mkdir()
    points = None
    if request.points is not None:
        points = read_series_points(scene, request.points, request.is_lps, warnings.append)
    show(0.0, "reading")
    frames = read_frames(scene, request.inputs, work, warnings.append)
    warnings += frames.list_warnings()
    with limit_threads(request.settings.threads):
        reference, results = _register_all(request, frames, work, show)
        warnings += [f"frame {r.frame.number}: {r.record['error']}" for r in results if r.record.get("error")]
        if points is not None and not reference.grid.contains(points.positions_mm).all():
            count = int((~reference.grid.contains(points.positions_mm)).sum())
            warnings.append(f"{count} of {len(points.names)} points lie outside of the reference.")
        show(_REGISTERING, "writing")
        writing = SeriesWriting(scene, request, frames, reference.grid, folder)
        summary = _write(writing, request, reference, results, points, warnings)
    shutil.rmtree(work, ignore_errors=True)
    return summary


def _register_all(
    request: SeriesRequest, frames: FrameList, work: Path, show: ShowProgress
) -> tuple[Reference, list[FrameResult]]:
    registry = ModelRegistry()
    rounds = 1 if request.frame is not None else request.rounds
    reference = _choose_frame(frames, request.frame) if request.frame is not None else _average_as_loaded(frames)
    results: list[FrameResult] = []
    for number in range(rounds):
        count = len(frames.frames)
        results = []
        for done, frame in enumerate(frames.frames):
            part = (number + done / count) / rounds
            label = "registering" if rounds == 1 else f"round {number + 1} of {rounds}"
            show(_READING + (_REGISTERING - _READING) * part, f"{label}, frame {done} of {count}")
            results.append(_register_frame(request, reference, frame, registry, work / f"{number}.fields"))
        if sum(result.folder is not None for result in results) < 2:
            reason = next(r.record["error"] for r in results if r.record.get("error"))
            raise InputError(f"No frame could be registered to the others; the first error: {reason}")
        if number + 1 < rounds:
            reference = _average(reference.grid, results)
            shutil.rmtree(work / f"{number}.fields")
    if request.frame is None:
        reference = _average(reference.grid, results)
    return reference, results


def _choose_frame(frames: FrameList, number: int) -> Reference:
    if number >= len(frames.frames):
        raise InputError(f"--frame {number}: the series has the frames 0 to {len(frames.frames) - 1}.")
    frame = frames.frames[number]
    if frame.problem:
        raise InputError(f"--frame {number}: {frame.problem} Choose another one.")
    return Reference(frame.volume, number)


def _average_as_loaded(frames: FrameList) -> Reference:
    grid = frames.usable[0].volume.geometry
    still = make_affine_field(AffineTransform.identity(), grid)
    mean = ImageMean(grid.shape)
    for frame in frames.usable:
        mean.add(warp_scan(frame.volume, still, grid, IntensityMap()))
    return Reference(Volume(mean.compute(), grid.affine, "the mean"), None)


def _average(grid: Geometry, results: Sequence[FrameResult]) -> Reference:
    mean = ImageMean(grid.shape)
    for result in results:
        own = result.load_field()
        if own is not None:
            mean.add(warp_scan(result.frame.volume, own, grid, IntensityMap()))
    return Reference(Volume(mean.compute(), grid.affine, "the mean"), None)


def _register_frame(
    request: SeriesRequest, reference: Reference, frame: Frame, registry: ModelRegistry, folder: Path
) -> FrameResult:
    if frame.problem:
        return FrameResult(frame, None, {"error": None, "problem": frame.problem})
    target = folder / str(frame.number)
    if frame.number == reference.frame:
        still = make_affine_field(AffineTransform.identity(), reference.grid)
        field_ = DisplacementField(still.array, still.affine, AffineTransform.identity())
        record: dict[str, Any] = {"model": None, "folding_percent": 0.0, "warnings": []}
    else:
        try:
            result = register(reference.volume, frame.volume, request.settings, registry=registry)
        except InputError as error:
            return FrameResult(frame, None, {"error": str(error)})
        field_ = result.field
        record = {
            "model": result.model,
            "folding_percent": result.jacobian.percent_nonpositive,
            "warnings": list(result.warnings),
        }
    store(target, str(frame.number), field_, {})
    return FrameResult(frame, target, {"error": None, **record, **_measure_motion(field_, reference.volume)})


def _measure_motion(field_: DisplacementField, reference: Volume) -> dict[str, float]:
    """Measure the displacement of the body, mm."""
    voxels = np.argwhere(find_foreground(reference.array))
    points = apply_affine(reference.affine, voxels[:: max(1, len(voxels) // _MAX_POINTS), ::-1])
    lengths = np.linalg.norm(field_(points) - points, axis=1)
    return {"mean_mm": round(float(lengths.mean()), _DIGITS), "max_mm": round(float(lengths.max()), _DIGITS)}


def _write(
    writing: SeriesWriting,
    request: SeriesRequest,
    reference: Reference,
    results: Sequence[FrameResult],
    points: Points | None,
    warnings: Sequence[str],
) -> dict[str, Any]:
    moved: list[FloatArray | None] = []
    names: list[str | None] = []
    with writing.open_series() as add:
        for result in results:
            own = result.load_field()
            add(_warp(result.frame, own, results, reference.grid))
            names.append(None if own is None else writing.write_transform(own, result.frame))
            moved.append(None if own is None or points is None else own(points.positions_mm))
    fields = ((r.frame.value, r.load_field()) for r in results if r.folder is not None)
    writing.write_sequence((value, own) for value, own in fields if own is not None)
    if request.frame is None:
        writing.write_mean(reference.volume)
    if points is not None:
        writing.write_points(points, moved)
    described = [
        {
            "number": r.frame.number,
            "value": float(r.frame.value),
            "transform": name,
            "problem": r.frame.problem or r.record.get("error"),
            **{key: value for key, value in r.record.items() if key not in ("error", "problem")},
        }
        for r, name in zip(results, names, strict=True)
    ]
    reference_name = "mean" if request.frame is None else f"frame {request.frame}"
    return writing.write_summary(reference_name, described, _describe(request), warnings)


def _warp(frame: Frame, own: DisplacementField | None, results: Sequence[FrameResult], grid: Geometry) -> Volume:
    """Bring a frame to the grid; one that has no field becomes background."""
    if own is not None:
        return warp_volume(frame.volume, own, grid)
    like = next(r.frame.volume for r in results if r.folder is not None)
    return Volume(np.full(grid.shape, like.array.min(), like.array.dtype), grid.affine, "frame")


def _describe(request: SeriesRequest) -> dict[str, Any]:
    rounds = request.rounds if request.frame is None else None
    return {"rounds": rounds, "registration": describe_settings(request.settings)}
