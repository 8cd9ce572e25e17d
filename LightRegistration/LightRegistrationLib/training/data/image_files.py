"""Reading of image files, with the checks and warnings that `register` gives of them."""

from __future__ import annotations

import contextlib
import functools
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ...core.errors import InputError
from ...core.files.metaimage import check_meta
from ...core.files.nifti import NIFTI_SUFFIXES, check_nifti, convert_to_nifti1, needs_conversion, read_nifti_header
from ...core.files.nrrd import check_nrrd
from ...core.files.text_header import META_SUFFIXES, NRRD_SUFFIXES
from ...core.geometry.geometry import Geometry, check_plausible, homogeneous
from ...core.geometry.nifti_positions import list_position_warnings
from ...core.geometry.volume import Volume

IMAGE_SUFFIXES = (*NIFTI_SUFFIXES, *NRRD_SUFFIXES, *META_SUFFIXES)

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
    name = path.name.lower()
    if not path.exists():
        raise InputError(f"{path}: there is no such file.")
    if not path.is_file():
        raise InputError(f"{path}: a volume file is needed here, not a folder or a device.")
    if not name.endswith(IMAGE_SUFFIXES):
        raise InputError(f"{path}: a volume cannot be read from this kind of file; use {', '.join(IMAGE_SUFFIXES)}.")
    try:
        if name.endswith(NIFTI_SUFFIXES):
            _check_size(path)
            return check_nifti(path)
        return check_nrrd(path) if name.endswith(NRRD_SUFFIXES) else check_meta(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror or error}).") from error


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
        with _readable_copy(path) as file:
            return sitk.ReadImage(str(file))
    except (OSError, RuntimeError) as error:
        if "orthonormal" in str(error):
            raise InputError(f"{path}: the axes in the header are not at right angles; repair them.") from error
        raise InputError(f"{path}: cannot be read as a volume; it is damaged or of a kind that is not read.") from error


@contextlib.contextmanager
def _readable_copy(path: Path) -> Iterator[Path]:
    """Yield the file, or a copy in a folder of the user's own if ITK cannot read it as it is, or under its name.

    ITK knows some extensions in lower case only. Raises InputError for one of a file that belongs to others.
    """
    must_convert = path.name.lower().endswith(NIFTI_SUFFIXES) and needs_conversion(path)
    is_nrrd = path.name.lower().endswith(NRRD_SUFFIXES)
    if is_nrrd or (not must_convert and path.name.endswith(IMAGE_SUFFIXES)):
        yield path
        return
    suffix = ".nii" if must_convert else next(s for s in (".nii.gz", *IMAGE_SUFFIXES) if path.name.lower().endswith(s))
    if suffix in (".hdr", ".mhd"):
        raise InputError(f"{path}: the extension of this file is known in lower case only; rename it to '{suffix}'.")
    with tempfile.TemporaryDirectory(prefix="light-registration-") as folder:
        copy = Path(folder) / f"volume{suffix}"
        if must_convert:
            convert_to_nifti1(path, copy)
        else:
            shutil.copyfile(path, copy)
        yield copy


def _list_position_warnings(path: Path, geometry: Geometry) -> Iterator[str]:
    if path.name.lower().endswith(NIFTI_SUFFIXES):
        yield from list_position_warnings(read_nifti_header(path), geometry)
