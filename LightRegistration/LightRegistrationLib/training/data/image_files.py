"""Reading of image files, with the checks and warnings that `register` gives of them."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ...core.errors import InputError
from ...core.files.nifti import NIFTI_SUFFIXES, read_nifti_header
from ...core.files.plain_file import report_os_errors
from ...core.files.readable_copy import make_readable
from ...core.files.reader_limits import explain_refusal
from ...core.files.volume_header import VOLUME_SUFFIXES, check_file, check_header
from ...core.geometry.geometry import Geometry, check_plausible, homogeneous
from ...core.geometry.nifti_positions import list_position_warnings
from ...core.geometry.volume import Volume

OnWarning = Callable[[str], None]
"""Called with one line for the user, which names the file, if something in a file may be read wrongly."""

logger = logging.getLogger(__name__)


@functools.cache
def log_warning_once(line: str) -> None:
    """Write a warning about a file to the log, the first time only: a run may read a file several times."""
    logger.warning("%s", line)


def read_image(path: Path, on_warning: OnWarning = log_warning_once) -> Volume:
    """Read a volume from a NIfTI file, a NRRD file or a MetaImage; its name is that of the file.

    Raises InputError, naming the file, if it is damaged, truncated or not a 3-D image with one component.
    """
    warnings = _check_header(path)
    image = _read(path)
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            f"{path}: a 3-D scalar volume is needed, but this has {image.GetDimension()} dimensions and "
            f"{image.GetNumberOfComponentsPerPixel()} components in each voxel."
        )
    to_ras = np.diag([-1.0, -1.0, 1.0])
    direction = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine = homogeneous(to_ras @ direction, to_ras @ np.array(image.GetOrigin()))
    volume = Volume(sitk.GetArrayFromImage(image), affine, path.name)
    check_plausible(volume.geometry, str(path))
    for line in (*warnings, *_list_position_warnings(path, volume.geometry)):
        on_warning(f"{path}: {line}.")
    return volume


def _check_header(path: Path) -> list[str]:
    """Raise InputError for what is no such file, or would be read wrongly; returns warnings about its header."""
    with report_os_errors(path):
        check_file(path, VOLUME_SUFFIXES, "volume")
        if path.name.lower().endswith(NIFTI_SUFFIXES):
            _check_size(path)
        return check_header(path)


def _check_size(path: Path) -> None:
    """Raise InputError for a NIfTI file that is no volume: ITK reads some of them, and says nothing of the others."""
    size = read_nifti_header(path).size
    if len(size) < 3 or any(n > 1 for n in size[3:]):
        raise InputError(
            f"{path}: a 3-D volume is needed, but this has {len(size)} dimensions ({' x '.join(map(str, size))})."
        )


def _read(path: Path) -> sitk.Image:
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with make_readable(path) as file:
            return sitk.ReadImage(str(file))
    except (OSError, RuntimeError) as error:
        if "orthonormal" in str(error):
            raise InputError(f"{path}: the axes in the header are not at right angles; repair them.") from error
        reason = explain_refusal(path) or "cannot be read as a volume; it is damaged or of a kind that is not read"
        raise InputError(f"{path}: {reason}.") from error


def _list_position_warnings(path: Path, geometry: Geometry) -> Iterator[str]:
    if path.name.lower().endswith(NIFTI_SUFFIXES):
        yield from list_position_warnings(read_nifti_header(path), geometry)
