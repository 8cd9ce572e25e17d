"""Reads the volumes, label maps and landmarks of an evaluation from files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ...core.errors import InputError
from ...core.files.csv_table import read_csv_table
from ...core.geometry.geometry import FloatArray
from ...core.geometry.volume import Segmentation, Volume
from ..data.scans import read_image

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
LANDMARK_COLUMNS = tuple(f"{role}_{axis}" for role in ("fixed", "moving") for axis in "xyz")


def read_volume(path: Path) -> Volume:
    """Read a scalar volume of any format that SimpleITK supports. Raises InputError, naming the file."""
    return replace(read_image(path), name=str(path))


def read_labels(path: Path) -> Segmentation:
    """Read a label map of any format that SimpleITK supports. Raises InputError, naming the file."""
    volume = read_image(path)
    labels = Segmentation.from_labels(volume.array, volume.affine, str(path))
    if not labels.segments:
        raise InputError(f"{path}: the label map is empty; it has no label other than 0.")
    return labels


def read_landmarks(path: Path) -> FloatArray:
    """Read corresponding points: (n, 2, 3), fixed and moving, RAS mm. Raises InputError with file and line."""
    header, rows = read_csv_table(path)
    missing = [name for name in LANDMARK_COLUMNS if name not in header]
    if missing:
        raise InputError(f"{path}, line 1: the header lacks {', '.join(missing)}.")
    columns = [header.index(name) for name in LANDMARK_COLUMNS]
    points = []
    for number, cells in rows:
        try:
            points.append([float(cells[column]) for column in columns])
        except (ValueError, IndexError) as error:
            raise InputError(f"{path}, line {number}: a landmark is six numbers, in mm.") from error
        if not np.isfinite(points[-1]).all():
            raise InputError(f"{path}, line {number}: a coordinate of the landmark is not finite.")
    if not points:
        raise InputError(f"{path}: there is no landmark in this file.")
    return np.array(points).reshape(-1, 2, 3)


def to_sitk_image(volume: Volume) -> sitk.Image:
    """Convert a volume to a SimpleITK image (LPS)."""
    image = sitk.GetImageFromArray(volume.array)
    lps = LPS @ volume.affine
    spacing = volume.geometry.spacing_mm
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image
