"""Reads the volumes and label maps of an evaluation from files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ...core.errors import InputError
from ...core.geometry.volume import Segmentation, Volume
from ..data.image_files import OnWarning, log_warning_once, read_image

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_volume(path: Path, on_warning: OnWarning = log_warning_once) -> Volume:
    """Read a scalar volume from a file, as `read_image` does. Raises InputError, naming the file."""
    return replace(read_image(path, on_warning), name=str(path))


def read_labels(path: Path, on_warning: OnWarning = log_warning_once) -> Segmentation:
    """Read a label map from a file, as `read_image` does. Raises InputError, naming the file."""
    volume = read_image(path, on_warning)
    labels = Segmentation.from_labels(volume.array, volume.affine, str(path))
    if not labels.segments:
        raise InputError(f"{path}: the label map is empty; it has no label other than 0.")
    if any(segment.value < 0 for segment in labels.segments):
        on_warning(f"{path}: label values below 0 count as structures, as all values except 0 do.")
    return labels


def to_sitk_image(volume: Volume) -> sitk.Image:
    """Convert a volume to a SimpleITK image (LPS)."""
    image = sitk.GetImageFromArray(volume.array)
    lps = LPS @ volume.affine
    spacing = volume.geometry.spacing_mm
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image
