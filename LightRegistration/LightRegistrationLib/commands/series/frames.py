"""Reads the frames of a series one at a time; their voxels are kept in files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import InputError
from ...core.files.nifti import NIFTI_SUFFIXES
from ...core.files.nifti_series import Timing, count_frames, iterate_frames, read_timing
from ...core.files.plain_file import report_os_errors
from ...core.files.text_header import NRRD_SUFFIXES
from ...core.files.volume_header import check_file
from ...core.geometry.volume import Volume
from ...scene.files.file_checks import OnWarning
from ...scene.files.sequences import SequenceIndex, list_series_surplus, read_volume_sequence
from ...scene.files.volume_loading import load_volume
from ...scene.nodes.removal import remove_new_nodes
from ...scene.nodes.volumes import volume_from_node
from ..files.stored_values import load, store
from ..register.inputs import check_right_angles

MIN_FRAMES = 2
_SERIES_SUFFIXES = (*NIFTI_SUFFIXES, *NRRD_SUFFIXES)
_GAP = 1.5
"""A time step this many times longer than the median one lacks a time point."""
_MAX_NAMED = 10
_MAX_INTEGER_BYTES = 4
"""Integers with more are written as floating-point numbers."""


@dataclass(frozen=True)
class Frame:
    """One frame. folder: of its voxels. value: its index, such as the time. problem: why it cannot be used, or ''."""

    number: int
    folder: Path
    value: str
    problem: str = ""

    @property
    def volume(self) -> Volume:
        """The volume, memory-mapped."""
        return replace(load(self.folder), name=f"frame {self.number}")


@dataclass(frozen=True)
class FrameList:
    """All frames, what they are numbered by, and the time between them for a NIfTI file."""

    frames: tuple[Frame, ...]
    index: SequenceIndex
    timing: Timing

    @property
    def usable(self) -> list[Frame]:
        """The frames that can be used."""
        return [frame for frame in self.frames if not frame.problem]

    @property
    def voxel_type(self) -> np.dtype[Any]:
        """The voxel type that holds those of all frames."""
        kind = np.result_type(*(frame.volume.array.dtype for frame in self.frames))
        return np.dtype(np.float64) if kind.kind in "iu" and kind.itemsize > _MAX_INTEGER_BYTES else kind

    def list_warnings(self) -> Iterator[str]:
        """Name the frames that cannot be used and the time points that are missing."""
        for frame in self.frames:
            if frame.problem:
                yield f"frame {frame.number}: {frame.problem} It is left out."
        missing = find_missing_values([float(frame.value) for frame in self.frames])
        if missing:
            more = ", ..." if len(missing) > _MAX_NAMED else ""
            named = ", ".join(f"{value:g}" for value in missing[:_MAX_NAMED])
            what = f"{self.index.name or 'index'} {named}{more} {self.index.unit}".strip()
            yield f"There is no frame at {what}."


def find_missing_values(values: Sequence[float]) -> list[float]:
    """Find the values that are missing between ascending ones with one step, but for gaps."""
    steps = np.diff(values)
    if len(steps) < MIN_FRAMES or (steps <= 0).any():
        return []
    step = float(np.median(steps))
    missing: list[float] = []
    for start, own in zip(values, steps, strict=False):
        if own > _GAP * step:
            count = round(float(own) / step)
            missing += [float(start + own * n / count) for n in range(1, count)]
    return missing


def read_frames(scene: Any, inputs: Sequence[Path], folder: Path, on_warning: OnWarning) -> FrameList:
    """Read a series, one 4-D file or a file for each frame, and write its voxels into a folder.

    Raises InputError, naming the file, for a series that cannot be used; of a 4-D file an empty frame is kept as a
    problem.
    """
    if len(inputs) > 1:
        for line in _list_repeated(inputs):
            on_warning(line)
        frames = [_read_file(scene, path, n, folder, on_warning) for n, path in enumerate(inputs)]
        result = FrameList(tuple(frames), SequenceIndex("frame", ""), Timing())
    elif inputs[0].name.lower().endswith(NRRD_SUFFIXES):
        result = _read_nrrd(scene, inputs[0], folder, on_warning)
    elif inputs[0].name.lower().endswith(NIFTI_SUFFIXES):
        result = _read_nifti(scene, inputs[0], folder, on_warning)
    else:
        raise InputError(
            f"{inputs[0]}: a series is one 4-D file ({', '.join(_SERIES_SUFFIXES)}), or a file or DICOM folder for "
            "each frame; name all of them."
        )
    if len(result.usable) < MIN_FRAMES:
        problem = next((f" Frame {f.number}: {f.problem}" for f in result.frames if f.problem), "")
        raise InputError(
            f"{inputs[0]}: a series needs {MIN_FRAMES} or more frames that can be used, but there is "
            f"{len(result.usable) or 'none'}.{problem}"
        )
    return result


def _list_repeated(inputs: Sequence[Path]) -> Iterator[str]:
    """Yield a warning for each file that is named as several frames."""
    numbers: dict[Path, list[str]] = {}
    for number, path in enumerate(inputs):
        numbers.setdefault(path.resolve(), []).append(str(number))
    for path, own in numbers.items():
        if len(own) > 1:
            yield f"{path}: this is named as the frames {', '.join(own)}."


def _read_file(scene: Any, path: Path, number: int, folder: Path, on_warning: OnWarning) -> Frame:
    with remove_new_nodes(scene):
        volume = volume_from_node(load_volume(scene, path, may_be_constant=True, on_warning=on_warning))
        check_right_angles(volume, path, f"frame {number}")
        return _keep(volume, number, str(number), folder)


def _read_nifti(scene: Any, path: Path, folder: Path, on_warning: OnWarning) -> FrameList:
    with report_os_errors(path):
        check_file(path, NIFTI_SUFFIXES, "series")
    if count_frames(path) < MIN_FRAMES:
        raise InputError(f"{path}: there is only one frame in it; name a 4-D file with more, or a file for each frame.")
    timing = read_timing(path)
    step_s = timing.step_s if math.isfinite(timing.step) else None
    timing = timing if math.isfinite(timing.step) else Timing()
    frames = []
    warnings = [f"{path}: {line}." for line in list_series_surplus(path)]
    for number, file in enumerate(iterate_frames(path, folder / "frame.nii")):
        value = str(number) if step_s is None else f"{number * step_s:.6g}"
        try:
            with remove_new_nodes(scene):
                volume = volume_from_node(load_volume(scene, file, may_be_constant=True, on_warning=warnings.append))
                check_right_angles(volume, path, "series")
                frames.append(_keep(volume, number, value, folder))
        except InputError as error:
            line = str(error).replace(f"{file}: ", "")
            frames.append(Frame(number, folder / str(number), value, line[:1].upper() + line[1:]))
    (folder / "frame.nii").unlink()
    for line in dict.fromkeys(warnings):
        on_warning(line.replace(str(folder / "frame.nii"), str(path)))
    index = SequenceIndex("frame", "") if step_s is None else SequenceIndex("time", "s")
    return FrameList(tuple(frames), index, timing)


def _read_nrrd(scene: Any, path: Path, folder: Path, on_warning: OnWarning) -> FrameList:
    index, items = read_volume_sequence(scene, path, on_warning)
    frames = []
    for number, (value, volume) in enumerate(items):
        check_right_angles(volume, path, "series")
        frames.append(_keep(volume, number, value, folder))
    if not all(_is_number(frame.value) for frame in frames):
        frames = [replace(frame, value=str(frame.number)) for frame in frames]
        index = SequenceIndex("frame", "")
    values = [float(frame.value) for frame in frames]
    steps = np.diff(values)
    unit = {"s": 8, "ms": 16, "us": 24}.get(index.unit, 0)
    is_even = len(steps) > 0 and bool(np.allclose(steps, steps[0], rtol=1e-3)) and steps[0] > 0
    return FrameList(tuple(frames), index, Timing(float(steps[0]), unit) if is_even and unit else Timing())


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _keep(volume: Volume, number: int, value: str, folder: Path) -> Frame:
    array = np.array(volume.array)
    store(folder / str(number), value, replace(volume, array=array), {})
    is_empty = bool((array == array.flat[0]).all())
    problem = f"The frame is empty; all its voxels have the value {array.flat[0]}." if is_empty else ""
    return Frame(number, folder / str(number), value, problem)
