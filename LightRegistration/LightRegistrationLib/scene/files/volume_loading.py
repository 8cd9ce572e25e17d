"""Load volumes from files into the scene; one-line errors for unusable files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import InputError
from ...core.files.long_integers import holds_long_integers, read_long_integers
from ...core.files.nifti import NIFTI_SUFFIXES, read_nifti_header
from ...core.files.plain_file import report_os_errors
from ...core.files.readable_copy import make_readable
from ...core.files.text_header import read_text_header
from ...core.files.volume_header import VOLUME_SUFFIXES, check_file, check_header
from ...core.geometry.nifti_positions import list_position_warnings
from ..nodes.volumes import convert_to_slicer_type, set_voxels, volume_from_node
from .file_checks import OnWarning, get_stem, log_warning
from .itk_reading import read_files
from .messages import capture_messages

_MAX_EXACT_FLOAT32 = 2**24
_MAX_EXACT_FLOAT64 = 2**53
"""Up to them, floating-point numbers of 32 and of 64 bits hold every whole number."""


def load_volume(
    scene: Any,
    path: str | Path,
    *,
    series: str | None = None,
    may_be_constant: bool = False,
    on_warning: OnWarning = log_warning,
) -> Any:
    """Load an image file (`VOLUME_SUFFIXES`) or a DICOM series as vtkMRMLScalarVolumeNode.

    path: the file, or the folder with the DICOM files. series: number or UID of the DICOM series, if the folder holds
    several or the path is one of its files. may_be_constant: take also a volume whose voxels all have one value, which
    cannot be registered. Raises InputError, naming the path, for everything but one 3-D scalar volume.
    """
    path = Path(path)
    with report_os_errors(path):
        node, storage = read_volume_node(path, series, on_warning)
    array = volume_from_node(node).array
    if not may_be_constant and (array == array.flat[0]).all():
        raise InputError(f"{path}: the volume is empty; all its voxels have the value {array.flat[0]}.")
    node.SetName(scene.GenerateUniqueName(get_stem(path)))
    scene.AddNode(storage)
    scene.AddNode(node)
    node.SetAndObserveStorageNodeID(storage.GetID())
    with capture_messages():
        node.CreateDefaultDisplayNodes()
    return node


def read_volume_node(path: Path, series: str | None, on_warning: OnWarning) -> tuple[Any, Any]:
    """Read into a volume and a storage node that are not in a scene, so that a failure leaves no node behind."""
    if path.is_dir() or _is_dicom_file(path):
        # pydicom takes a moment to import, and most volumes are not DICOM.
        from .dicom_reading import read_dicom

        node, storage = read_dicom(path, series, on_warning)
        convert_to_slicer_type(node)
        return node, storage
    if series is not None:
        raise InputError(f"{path}: a series can be chosen of DICOM files only.")
    check_file(path, VOLUME_SUFFIXES, "volume")
    header_warnings = check_header(path)
    with make_readable(path) as file:
        node, storage = read_files([file], path)
    _check_overflow(path, node)
    _restore_long_integers(path, node)
    rounding_warnings = list(_list_rounding_warnings(node))
    convert_to_slicer_type(node)
    storage.SetFileName(str(path))
    for line in (*header_warnings, *rounding_warnings, *_check_positions(path, node)):
        on_warning(f"{path}: {line}.")
    return node, storage


def _check_overflow(path: Path, node: Any) -> None:
    """Raise InputError if the scale of a NIfTI file has made values too large for 32-bit numbers.

    The reader puts 0 for voxels that are not finite in the file.
    """
    array = volume_from_node(node).array
    is_nifti = path.name.lower().endswith(NIFTI_SUFFIXES)
    if is_nifti and array.dtype.kind == "f" and not np.isfinite([array.min(), array.max()]).all():
        raise InputError(f"{path}: the header's scale makes the values too large (scl_slope); save them as float.")


def _restore_long_integers(path: Path, node: Any) -> None:
    """Replace voxels by the integers of 64 bits in the file, if the reader has rounded those to 32-bit numbers.

    Raises InputError for such a file whose integers cannot be read.
    """
    if path.name.lower().endswith(NIFTI_SUFFIXES):
        return
    header = read_text_header(path)
    if not holds_long_integers(header):
        return
    rounded = volume_from_node(node).array
    if np.abs(rounded).max() < _MAX_EXACT_FLOAT32:
        return
    exact = read_long_integers(header)
    if exact is None or not np.array_equal(exact.astype(rounded.dtype), rounded.ravel()):
        raise InputError(f"{path}: integers of 64 bits from 2^24 on are not read from this file; save them as int32.")
    set_voxels(node, exact.astype(exact.dtype.newbyteorder("=")))


def _list_rounding_warnings(node: Any) -> Iterator[str]:
    """Yield a warning if the voxels are integers of 64 bits that even a 64-bit floating-point number rounds."""
    array = volume_from_node(node).array
    if array.dtype.kind in "iu" and array.itemsize == 8:
        extremes = int(array.min()), int(array.max())
        if max(map(abs, extremes)) > _MAX_EXACT_FLOAT64:
            yield f"its whole numbers reach from {extremes[0]} to {extremes[1]}; those beyond 2^53 are rounded"


def _check_positions(path: Path, node: Any) -> list[str]:
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        return []
    return list(list_position_warnings(read_nifti_header(path), volume_from_node(node).geometry))


def _is_dicom_file(path: Path) -> bool:
    """Tell whether a file is marked as DICOM."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"
