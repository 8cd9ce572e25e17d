"""Series of volumes in 4-D NIfTI files, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO

from ..errors import InputError
from .compression import compress_file
from .nifti import NIFTI_SUFFIXES, check_nifti, find_nifti_data, open_unpacked, read_nifti_header
from .nifti_header import NiftiHeader, make_nifti1_header

_TIME_UNITS = 0x38
"""The bits of the unit of time in the header."""
_SECONDS = {8: 1.0, 16: 1e-3, 24: 1e-6}


@dataclass(frozen=True)
class Timing:
    """The time between the frames of a series, in the unit of a NIfTI header (8: s, 16: ms, 24: µs, 0: none)."""

    step: float = 0.0
    unit_code: int = 0

    @property
    def step_s(self) -> float | None:
        """The time between frames, seconds; None if it is not known."""
        return self.step * _SECONDS[self.unit_code] if self.step > 0 and self.unit_code in _SECONDS else None


def read_timing(path: Path) -> Timing:
    """Read the time between the frames of a NIfTI series."""
    header = read_nifti_header(path)
    return Timing(header.pixdim[4], header.units & _TIME_UNITS)


def count_frames(path: Path) -> int:
    """Count the volumes of an image file: 1 for a 3-D one and for every other format than NIfTI.

    Raises InputError if a NIfTI file has more than four dimensions.
    """
    if not path.is_file() or not path.name.lower().endswith(NIFTI_SUFFIXES):
        return 1
    size = read_nifti_header(path).size
    if any(n > 1 for n in size[4:]):
        raise InputError(f"{path}: a 3-D volume or a 4-D series is needed, but this has {len(size)} dimensions.")
    return max(size[3], 1) if len(size) > 3 else 1


def iterate_frames(path: Path, target: Path) -> Iterator[Path]:
    """Write one frame of a series after the other to the .nii file `target`, and yield it each time.

    Only one frame is in memory. Raises InputError for a damaged file, before the first frame.
    """
    check_nifti(path)
    header = read_nifti_header(path)
    frame = replace(header, size=header.size[:3])
    with open_unpacked(find_nifti_data(path, header)) as source:
        source.seek(header.offset)
        for _ in range(count_frames(path)):
            target.write_bytes(make_nifti1_header(frame, path) + source.read(frame.length))
            yield target


class SeriesWriter:
    """Joins frames, 3-D NIfTI files of one grid and type, to a 4-D file; a context manager.

    path: .nii or .nii.gz, complete after the block. timing: of the frames, see `read_timing`.
    """

    def __init__(self, path: Path, timing: Timing, frames: int) -> None:
        self._path = path
        self._plain = path.with_name(f".{path.name}.nii") if path.name.lower().endswith(".gz") else path
        self._timing = timing
        self._frames = frames
        self._first: NiftiHeader | None = None
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> SeriesWriter:
        self._stream = self._plain.open("wb")
        return self

    def append(self, frame: Path) -> None:
        """Append the voxels of a frame. Raises InputError if its type differs from that of the first one."""
        assert self._stream is not None
        header = read_nifti_header(frame)
        if self._first is None:
            self._first = header
            self._stream.write(make_nifti1_header(self._make_header(header), self._path))
        if header.size != self._first.size or header.data_type != self._first.data_type:
            raise InputError(f"{self._path}: the frames do not have the same voxel type; save the series as float32.")
        with open_unpacked(frame) as source:
            source.seek(header.offset)
            self._stream.write(source.read(header.length))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._stream is not None
        self._stream.close()
        if error is None and self._plain != self._path:
            compress_file(self._plain, self._path)
        if error is not None or self._plain != self._path:
            self._plain.unlink(missing_ok=True)

    def _make_header(self, frame: NiftiHeader) -> NiftiHeader:
        pixdim = (*frame.pixdim[:4], self._timing.step, *frame.pixdim[5:])
        units = (frame.units & ~_TIME_UNITS) | self._timing.unit_code
        return replace(frame, size=(*frame.size[:3], self._frames), pixdim=pixdim, units=units)
