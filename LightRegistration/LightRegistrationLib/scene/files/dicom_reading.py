"""Read a DICOM series: single slices, or one multi-frame file with the position and orientation of each frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.sequence import Sequence as DicomSequence

from ...core.errors import InputError
from ..nodes.matrices import vtk_matrix
from ..nodes.volumes import image_array, image_data, volume_from_node
from .dicom import DicomFile, describe_names, find_series, get_value, list_left_out, read_header, read_numbers
from .dicom_mixture import list_gap_warnings, list_mixture_warnings
from .dicom_stack import SlicePlanes, compute_affine, order_slices
from .dicom_values import check_scale, check_values
from .itk_reading import read_files

_POSITION_TOLERANCE_MM = 0.01


def read_dicom(path: Path, series: str | None, on_warning: Callable[[str], None]) -> tuple[Any, Any]:
    """Read the DICOM series of a folder, or of a file, into a volume and a storage node that are in no scene.

    series: number or UID of the series, if the folder holds several, or if the path is one slice of it. Raises
    InputError for a series that is not one evenly spaced stack of slices.
    """
    files = _choose_files(path, series, on_warning)
    for line in (*check_values(files, path), *list_mixture_warnings(files)):
        on_warning(f"{path}: {line}.")
    if any(file.frames > 1 for file in files):
        return _read_frames(files, path)
    planes = _list_slice_planes(files, path)
    if planes is None:
        return _read_files(files, path)
    order = order_slices(planes)
    ordered = [files[number] for number in order]
    node, storage = _read_files(ordered, path)
    # The reader may take the slice distance from two of the slices only.
    affine = compute_affine(planes, order)
    for line in list_gap_warnings(ordered, float(np.linalg.norm(affine[:3, 2]))):
        on_warning(f"{path}: {line}.")
    geometry = volume_from_node(node).geometry
    last = np.array([0, 0, len(order) - 1, 1.0])
    if np.abs((geometry.affine - affine) @ last).max() > _POSITION_TOLERANCE_MM:
        node.SetIJKToRASMatrix(vtk_matrix(affine))
    return node, storage


def _read_files(files: Sequence[DicomFile], path: Path) -> tuple[Any, Any]:
    """Read the voxels of files in this order. Raises InputError, which names the compression if they have one."""
    try:
        return read_files([file.path for file in files], path)
    except InputError as error:
        syntax = getattr(getattr(files[0].header, "file_meta", None), "TransferSyntaxUID", None)
        if syntax is None or not syntax.is_compressed:
            raise
        raise InputError(
            f"{path}: the voxels, which are compressed as {syntax.name}, cannot be read; they are damaged, or this "
            "compression is not known: decompress them first."
        ) from error


def _choose_files(path: Path, series: str | None, on_warning: Callable[[str], None]) -> tuple[DicomFile, ...]:
    if path.is_dir():
        chosen = find_series(path, series)
        if left_out := list_left_out(path):
            names = describe_names(left_out)
            on_warning(f"{path}: DICOM by the name alone, and left out: {names}; slices may be missing.")
        return chosen.files
    file = read_header(path)
    if file is None and path.name.upper() == "DICOMDIR":
        raise InputError(f"{path}: a DICOMDIR only lists files; name the folder that holds the series.")
    if file is None:
        raise InputError(f"{path}: this DICOM file holds no image.")
    if file.frames > 1:
        return (file,)
    own = find_series(path.parent, file.uid)
    if series is None:
        raise InputError(
            f"{path}: this is one slice of the DICOM series {own.describe()} in its folder; name the folder, "
            f"or add --series {own.number or own.uid} to read all slices."
        )
    if series not in (own.number, own.uid):
        raise InputError(f"{path}: this file belongs to the DICOM series {own.describe()}, not to {series}.")
    on_warning(f"{path}: this is one slice; its whole series was read: {own.describe()}.")
    return own.files


def _list_slice_planes(files: tuple[DicomFile, ...], path: Path) -> SlicePlanes | None:
    """Collect the planes of slices; None for a single slice. Raises InputError if a slice lacks its position."""
    if len(files) == 1:
        return None
    names = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6}
    if any(_count_finite(file.numbers(name)) != count for file in files for name, count in names.items()):
        raise InputError(f"{path}: the DICOM slices lack position or orientation; convert the series to .nrrd first.")
    if any(_count_finite(file.numbers("PixelSpacing")) != 2 for file in files):
        raise InputError(f"{path}: the DICOM slices lack the pixel spacing; convert the series to .nrrd first.")
    return SlicePlanes(
        path,
        np.array([file.numbers("ImagePositionPatient") for file in files]),
        np.array([file.numbers("ImageOrientationPatient") for file in files]),
        np.array([file.numbers("PixelSpacing") for file in files]),
        np.array([file.size for file in files], dtype=np.float64),
    )


def _count_finite(numbers: NDArray[np.float64]) -> int:
    return int(np.isfinite(numbers).sum()) if np.isfinite(numbers).all() else -1


def _read_frames(files: tuple[DicomFile, ...], path: Path) -> tuple[Any, Any]:
    """Read one multi-frame file; its frames are brought into spatial order."""
    if len(files) > 1:
        count = sum(file.frames > 1 for file in files)
        others = "" if count == len(files) else f" and {len(files) - count} other files"
        raise InputError(
            f"{path}: the DICOM series consists of {count} multi-frame file{'' if count == 1 else 's'}{others}; name "
            "one multi-frame file."
        )
    file = files[0]
    planes = _list_frame_planes(file)
    order = order_slices(planes)
    if len(order) == 1:
        raise InputError(f"{path}: a 3-D volume is needed, but this DICOM file holds a single slice.")
    node, storage = _read_files([file], path)
    array = image_array(node)
    if array.shape != (file.frames, *file.size[::-1]):
        raise InputError(f"{path}: the DICOM file does not hold the frames that its header lists.")
    node.SetAndObserveImageData(image_data(array[order]))
    node.SetIJKToRASMatrix(vtk_matrix(compute_affine(planes, order)))
    return node, storage


def _list_frame_planes(file: DicomFile) -> SlicePlanes:
    """Collect the planes of the frames. Raises InputError for a frame without position, orientation or spacing."""
    count = file.frames
    attributes = {
        "PlanePositionSequence.ImagePositionPatient": 3,
        "PlaneOrientationSequence.ImageOrientationPatient": 6,
        "PixelMeasuresSequence.PixelSpacing": 2,
    }
    values = [_list_frame_values(file, *attribute.split(".")) for attribute in attributes]
    offsets = file.numbers("GridFrameOffsetVector")
    if len(offsets) == count and _count_finite(values[0][0]) == 3 and _count_finite(values[1][0]) == 6:
        # A dose: the offsets run from the position of the first frame along the normal.
        normal = np.cross(values[1][0][:3], values[1][0][3:])
        values[0] = list(values[0][0] + np.outer(offsets - offsets[0], normal))
    elif not get_value(file.header, "PerFrameFunctionalGroupsSequence"):
        values[0] = []
    sizes = attributes.values()
    if any(len(v) != count or any(_count_finite(n) != size for n in v) for v, size in zip(values, sizes, strict=True)):
        raise InputError(
            f"{file.path}: the multi-frame DICOM file does not give position, orientation and pixel spacing of each "
            "frame; convert it to .nrrd by a program that knows its scanner."
        )
    _check_same_scale(file)
    positions, axes, spacing = (np.array(v) for v in values)
    return SlicePlanes(file.path, positions, axes, spacing, np.array([file.size] * count, dtype=np.float64))


def _list_frame_values(file: DicomFile, sequence: str, name: str) -> list[NDArray[np.float64]]:
    """Return an attribute of each frame: its own, else that which all frames share, else that of the file."""
    shared = _read_nested(_get_first(file.header, "SharedFunctionalGroupsSequence"), sequence, name)
    if not len(shared):
        shared = file.numbers(name)
    frames = get_value(file.header, "PerFrameFunctionalGroupsSequence") or [None] * file.frames
    return [own if len(own := _read_nested(frame, sequence, name)) else shared for frame in frames]


def _read_nested(dataset: Any, sequence: str, name: str) -> NDArray[np.float64]:
    item = _get_first(dataset, sequence)
    return np.array([]) if item is None else read_numbers(item, name)


def _get_first(dataset: Any, sequence: str) -> Any:
    items = None if dataset is None else get_value(dataset, sequence)
    return items[0] if isinstance(items, DicomSequence) and items else None


def _check_same_scale(file: DicomFile) -> None:
    """Raise InputError if the frames are scaled differently: the reader uses the scale of one frame for all."""
    for name in ("RescaleSlope", "RescaleIntercept"):
        values = _list_frame_values(file, "PixelValueTransformationSequence", name)
        if any(not np.array_equal(value, values[0]) for value in values):
            raise InputError(
                f"{file.path}: the frames of the DICOM file have different intensity scales ({name}); "
                "convert it to .nrrd first."
            )
        check_scale(values[0].tolist(), name, file.path)
