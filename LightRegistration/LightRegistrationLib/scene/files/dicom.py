"""Find the image series in a folder of DICOM files, with its slices in spatial order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
from numpy.typing import NDArray

from ...core.errors import InputError
from .messages import capture_messages

_SERIES_UID, _POSITION, _ORIENTATION = "0020|000e", "0020|0032", "0020|0037"
_PIXEL_DATA_TAG, _UNDEFINED_LENGTH = b"\xe0\x7f\x10\x00", 0xFFFFFFFF
_TOLERANCE = 0.1  # fraction of the slice distance


@dataclass(frozen=True)
class _Slice:
    path: Path
    series: str
    position_mm: NDArray[np.float64]
    axes: NDArray[np.float64]


def find_series(folder: Path) -> list[Path]:
    """Return the files of the only DICOM image series directly in the folder, sorted by slice position.

    The reader takes slices in the order of the given names and assumes even spacing; so both are checked here.
    Raises InputError if there is no DICOM image, more than one series, or a series that is not one evenly spaced stack.
    """
    candidates = [path for path in sorted(folder.iterdir()) if path.name.upper() != "DICOMDIR" and _is_dicom(path)]
    if not candidates:
        raise InputError(f"{folder}: the folder holds no DICOM image (subfolders are not searched).")
    slices = [found for path in candidates if (found := _read_slice(path)) is not None]
    if not slices:
        raise InputError(f"{folder}: no DICOM file in the folder holds an image.")
    count = len({found.series for found in slices})
    if count > 1:
        raise InputError(f"{folder}: the folder holds {count} DICOM series; put the one you need into its own folder.")
    if len(slices) == 1:
        return [slices[0].path]
    return [found.path for found in _sort_slices(slices, folder)]


def _is_dicom(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _read_slice(path: Path) -> _Slice | None:
    _check_complete(path)
    reader = slicer.vtkITKArchetypeImageSeriesScalarReader()
    reader.SetArchetype(str(path))
    reader.SetSingleFile(True)
    with capture_messages():
        reader.UpdateInformation()
    series = reader.GetTagValue(_SERIES_UID)
    if reader.GetErrorCode() or not series:
        return None
    position, axes = _parse_numbers(reader.GetTagValue(_POSITION)), _parse_numbers(reader.GetTagValue(_ORIENTATION))
    return _Slice(path, series.strip(), position, axes)


def _check_complete(path: Path) -> None:
    """Raise InputError if the uncompressed voxels of a file are incomplete; the reader would return random values."""
    content = path.read_bytes()
    tag = content.find(_PIXEL_DATA_TAG)
    start = tag + (12 if content[tag + 4 : tag + 6] in (b"OB", b"OW") else 8)
    length = int.from_bytes(content[start - 4 : start], "little")
    if tag >= 0 and length != _UNDEFINED_LENGTH and start + length > len(content):
        raise InputError(f"{path}: the file is cut off; copy or download it again.")


def _parse_numbers(text: str | None) -> NDArray[np.float64]:
    return np.array([float(part) for part in text.split("\\")] if text else [], dtype=np.float64)


def _sort_slices(slices: list[_Slice], folder: Path) -> list[_Slice]:
    first = slices[0].axes
    if any(s.axes.size != 6 or s.position_mm.size != 3 for s in slices):
        raise InputError(f"{folder}: the DICOM slices lack position or orientation; convert the series to .nrrd first.")
    if any(np.abs(s.axes - first).max() > 1e-3 for s in slices):
        raise InputError(f"{folder}: the DICOM series holds slices of several orientations; keep one stack.")
    normal = np.cross(first[:3], first[3:])
    ordered = sorted(slices, key=lambda s: float(normal @ s.position_mm))
    steps = np.diff([s.position_mm for s in ordered], axis=0)
    along = steps @ normal
    distance = float(np.median(along))
    if along.min() < _TOLERANCE * distance or distance <= 0:
        raise InputError(
            f"{folder}: the DICOM series has several slices at one position (echoes or time points); keep one of them."
        )
    if np.abs(along - distance).max() > _TOLERANCE * distance:
        raise InputError(
            f"{folder}: the slices of the DICOM series are {along.min():.2f} to {along.max():.2f} mm apart; "
            "add the missing ones, or resample the series evenly first."
        )
    if np.linalg.norm(steps - np.outer(along, normal), axis=1).max() > _TOLERANCE * distance:
        raise InputError(
            f"{folder}: the DICOM slices are tilted against the stack axis (gantry tilt); correct that first."
        )
    return ordered
