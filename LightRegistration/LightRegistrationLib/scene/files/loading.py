"""Load volumes, segmentations, and transforms from files into the scene; one-line errors for unusable files."""

from __future__ import annotations

import contextlib
import logging
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import vtk_to_numpy

from ...core.errors import InputError
from ...core.files.long_integers import holds_long_integers, read_long_integers
from ...core.files.metaimage import check_meta
from ...core.files.nifti import (
    NIFTI_SUFFIXES,
    check_nifti,
    convert_to_nifti1,
    holds_only_finite_numbers,
    needs_conversion,
    read_nifti_header,
)
from ...core.files.nrrd import check_nrrd
from ...core.files.segmentation_header import StoredSegment, read_stored_segments
from ...core.files.text_header import META_SUFFIXES, NRRD_SUFFIXES, read_text_header
from ...core.files.transform_parameters import (
    MATLAB_TRANSFORM_SUFFIX,
    TEXT_TRANSFORM_SUFFIXES,
    check_hdf5_transform,
    check_transform_parameters,
)
from ...core.geometry.transforms import AffineTransform
from ...core.geometry.volume import MASK_THRESHOLD, Segmentation, is_probability_map
from ..nodes.removal import remove_with_display
from ..nodes.segmentations import segment_names, segmentation_from_node, segmentation_node_from_segmentation
from ..nodes.transforms import affine_from_transform_node, is_finite_transform, use_linear_interpolation
from ..nodes.volumes import convert_to_slicer_type, set_voxels, volume_from_node
from .itk_reading import explain_messages, read_files
from .messages import capture_messages
from .positions import list_position_warnings

VOLUME_SUFFIXES = (*NIFTI_SUFFIXES, *NRRD_SUFFIXES, *META_SUFFIXES)
TRANSFORM_SUFFIXES = (".h5", ".tfm", ".txt", ".mat")

_DISPLACEMENT_INTENTS = (1006, 1007)
"""Codes of NIfTI for displacements and for vectors; of others ITK takes the numbers for something else."""
_MAX_COUNTED_VALUE = 1 << 16
_MAX_EXACT_FLOAT32 = 2**24
_MAX_EXACT_FLOAT64 = 2**53
"""Up to them, floating-point numbers of 32 and of 64 bits hold every whole number."""

_log = logging.getLogger(__name__)

OnWarning = Callable[[str], None]
"""Called with one line for the user, which names the file, if something in a file may be read wrongly."""


def log_warning(line: str) -> None:
    """Write a warning about a file to the log."""
    _log.warning("%s", line)


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
        node, storage = _read_volume(path, series, on_warning)
    array = volume_from_node(node).array
    if not may_be_constant and (array == array.flat[0]).all():
        raise InputError(f"{path}: the volume is empty; all its voxels have the value {array.flat[0]}.")
    node.SetName(scene.GenerateUniqueName(_stem(path)))
    scene.AddNode(storage)
    scene.AddNode(node)
    node.SetAndObserveStorageNodeID(storage.GetID())
    with capture_messages():
        node.CreateDefaultDisplayNodes()
    return node


def load_segmentation(scene: Any, path: str | Path, *, on_warning: OnWarning = log_warning) -> Any:
    """Load a label map (formats as for `load_volume`) or a .seg.nrrd file as vtkMRMLSegmentationNode.

    Label values are kept; structures of a label map, which has no names, are called `Label_<value>`.
    Raises InputError, naming the path, for a missing, damaged, or empty file and for a file that is not a label map.
    """
    return _load_labels(scene, Path(path), on_warning, is_mask=False)


def load_mask(scene: Any, path: str | Path, *, on_warning: OnWarning = log_warning) -> Any:
    """Load a mask as `load_segmentation` does; of a probability map (0 to 1) the voxels from 0.5 on, with a warning.

    Values below 0 are a warning too: all values except 0 are inside.
    """
    return _load_labels(scene, Path(path), on_warning, is_mask=True)


def read_segmentation(
    scene: Any, path: str | Path, *, on_warning: OnWarning = log_warning
) -> tuple[Segmentation, Any | None]:
    """Read a file as `load_segmentation` does, but as a value, without a node for a label map.

    Returns the segmentation, whose label values can be those of any integer type, and the node that has its colors and
    terminology, None for a label map. Raises InputError as `load_segmentation` does.
    """
    path = Path(path)
    with report_os_errors(path):
        if _has_segments(path):
            node = _load_segments(scene, path, on_warning)
            return segmentation_from_node(node), node
    return _read_label_map(path, on_warning, is_mask=False), None


def _load_labels(scene: Any, path: Path, on_warning: OnWarning, *, is_mask: bool) -> Any:
    with report_os_errors(path):
        if _has_segments(path):
            return _load_segments(scene, path, on_warning)
    segmentation = _read_label_map(path, on_warning, is_mask=is_mask)
    try:
        return segmentation_node_from_segmentation(scene, segmentation, _stem(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read_label_map(path: Path, on_warning: OnWarning, *, is_mask: bool) -> Segmentation:
    with report_os_errors(path):
        volume = volume_from_node(_read_volume(path, None, on_warning)[0])
    labels = volume.array
    is_probability = is_mask and is_probability_map(labels)
    if is_probability:
        on_warning(f"{path}: the values lie between 0 and 1; the mask is where they are {MASK_THRESHOLD} or more.")
        labels = (labels >= MASK_THRESHOLD).astype(np.uint8)
    elif is_mask and bool((labels < 0).any()):
        on_warning(f"{path}: voxels below 0 count as inside of the mask, as all values except 0 do.")
    segmentation = Segmentation.from_labels(labels, volume.affine, str(path))
    if not segmentation.segments:
        holds_others = path.name.lower().endswith(NIFTI_SUFFIXES) and not holds_only_finite_numbers(path)
        reason = "its voxels are 0, NaN or infinite" if holds_others else "it holds no label other than 0"
        reason = f"no voxel is {MASK_THRESHOLD} or more" if is_probability else reason
        raise InputError(f"{path}: the {'mask' if is_mask else 'label map'} is empty; {reason}.")
    return segmentation


def load_transform_node(scene: Any, path: str | Path) -> Any:
    """Load an ITK transform file as vtkMRMLTransformNode; displacement fields are interpolated trilinearly.

    Raises InputError, naming the path, if it cannot be read.
    """
    path = Path(path)
    with report_os_errors(path):
        check_file(path, (*TRANSFORM_SUFFIXES, ".nrrd", ".nii", ".nii.gz", ".mha", ".mhd"), "transform")
        if path.name.lower().endswith((*TEXT_TRANSFORM_SUFFIXES, MATLAB_TRANSFORM_SUFFIX)):
            check_transform_parameters(path)
        elif path.name.lower().endswith(VOLUME_SUFFIXES):
            _check_header(path)
            _check_vectors(path)
        else:
            check_hdf5_transform(path)
    node = slicer.vtkMRMLTransformNode()
    node.SetName(_stem(path))
    storage = slicer.vtkMRMLTransformStorageNode()
    storage.SetFileName(str(path))
    with capture_messages():
        complete = storage.ReadData(node)
    if not complete:
        raise InputError(f"{path}: cannot be read as a transform; it is damaged or of another type.")
    if not is_finite_transform(node):
        raise InputError(f"{path}: the transform has numbers that are not finite; it is damaged.")
    use_linear_interpolation(node)
    scene.AddNode(node)
    return node


def _check_vectors(path: Path) -> None:
    """Raise InputError for an image that has not three finite numbers in each voxel: no displacement field."""
    if path.name.lower().endswith(NIFTI_SUFFIXES):
        nifti = read_nifti_header(path)
        size = nifti.size
        if nifti.intent not in _DISPLACEMENT_INTENTS:
            raise InputError(
                f"{path}: this image is no displacement field by its header, whose intent_code is {nifti.intent}, not "
                "1006 or 1007."
            )
        slope, offset = np.nan_to_num(nifti.scale)
        if nifti.unit_mm != 1 or slope not in (0, 1) or offset != 0:
            raise InputError(f"{path}: the displacements have a scale or a unit other than mm; save them in mm.")
        has_vectors = len(size) == 5 and size[3:] == (1, 3)
    else:
        header = read_text_header(path)
        sizes = header.numbers("sizes")
        has_vectors = 3 in (sizes[:1] + sizes[-1:]) if sizes else header.number("ElementNumberOfChannels", 1) == 3
        has_vectors = has_vectors and len(sizes) in (0, 4)
    if not has_vectors:
        raise InputError(f"{path}: this image is no displacement field, which has three numbers in each voxel.")
    if path.name.lower().endswith(NIFTI_SUFFIXES) and not holds_only_finite_numbers(path):
        raise InputError(f"{path}: the transform has numbers that are not finite; it is damaged.")


def load_linear_transform(scene: Any, path: str | Path) -> AffineTransform:
    """Read a linear ITK transform file (.h5, .tfm, .txt, .mat: fixed -> moving, LPS mm) as fixed -> moving, RAS mm.

    Raises InputError, naming the path, if it cannot be read or is not linear. The scene is not changed.
    """
    node = load_transform_node(scene, path)
    scene.RemoveNode(node)
    if not node.IsLinear():
        raise InputError(f"{path}: the transform is not linear; an initial alignment must be rigid or affine.")
    try:
        return affine_from_transform_node(node, Path(path).name)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read_volume(path: Path, series: str | None, on_warning: OnWarning) -> tuple[Any, Any]:
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
    header_warnings = _check_header(path)
    with _readable_copy(path) as file:
        node, storage = read_files([file], path)
    _restore_long_integers(path, node)
    rounding_warnings = list(_list_rounding_warnings(node))
    convert_to_slicer_type(node)
    storage.SetFileName(str(path))
    for line in (*header_warnings, *rounding_warnings, *_check_positions(path, node)):
        on_warning(f"{path}: {line}.")
    return node, storage


def _check_header(path: Path) -> list[str]:
    """Raise InputError if the header shows that the file would be read wrongly; returns warnings about it."""
    name = path.name.lower()
    if name.endswith(NIFTI_SUFFIXES):
        return check_nifti(path)
    if name.endswith(NRRD_SUFFIXES):
        return check_nrrd(path)
    return check_meta(path)


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


@contextlib.contextmanager
def _readable_copy(path: Path) -> Iterator[Path]:
    """Yield the file, or a converted copy in a folder of the user's own if ITK cannot read the file."""
    if not path.name.lower().endswith(NIFTI_SUFFIXES) or not needs_conversion(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="light-registration-") as folder:
        copy = Path(folder) / "volume.nii"
        convert_to_nifti1(path, copy)
        yield copy


def _is_dicom_file(path: Path) -> bool:
    """Tell whether a file is marked as DICOM."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _has_segments(path: Path) -> bool:
    """Whether the file is a Slicer segmentation, even if its name does not end in .seg.nrrd."""
    if path.is_dir() or not path.name.lower().endswith(".nrrd"):
        return False
    check_file(path, (".nrrd",), "segmentation")
    with path.open("rb") as stream:
        header = stream.read(1 << 20).split(b"\n\n", 1)[0]
    return b"Segment0_ID" in header


def _load_segments(scene: Any, path: Path, on_warning: OnWarning) -> Any:
    stored = read_stored_segments(path)
    labeled, left_out = _count_stored_voxels(path, stored)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(_stem(path)))
    try:
        with capture_messages() as messages:
            complete = storage.ReadData(node)
        if not complete:
            raise InputError(f"{path}: {explain_messages(messages, storage)}.")
        found = _read_complete(node, path, labeled if stored else None)
    except InputError:
        remove_with_display(scene, node)
        raise
    scene.AddNode(storage)
    node.SetAndObserveStorageNodeID(storage.GetID())
    node.CreateDefaultDisplayNodes()
    for name in _list_empty_structures(node, found):
        on_warning(f"{path}: the structure '{name}' is empty; it has no voxel.")
    if stored and left_out:
        count = f"{left_out} voxel{'' if left_out == 1 else 's'}"
        on_warning(f"{path}: labels that belong to no segment of its header are left out ({count}).")
    return node


def _list_empty_structures(node: Any, found: Segmentation) -> list[str]:
    """List the names of segments of a node without a voxel. found: what was read from the node."""
    values = [_find_values(layer) for layer in found.layers]
    filled = Counter(segment.name for segment in found.segments if segment.value in values[segment.layer])
    return list((Counter(segment_names(node)) - filled).elements())


def _find_values(layer: NDArray) -> set[int]:
    """Find the label values of a layer; many times quicker than NumPy's `unique` for the usual small ones."""
    if layer.min(initial=0) >= 0 and layer.max(initial=0) < _MAX_COUNTED_VALUE:
        return set(np.flatnonzero(np.bincount(layer.ravel())).tolist())
    return set(np.unique(layer).tolist())


def _count_stored_voxels(path: Path, segments: tuple[StoredSegment, ...]) -> tuple[int, int]:
    """Count the voxels of the segments in a .seg.nrrd file, and those that have a label of no segment.

    Raises InputError for a file that cannot be read.

    Slicer's reader of segmentations ends the program at a damaged file; that of volumes reports it.
    """
    is_layered = read_text_header(path).number("dimension", 3) > 3
    image = read_files([path], path, as_vectors=is_layered)[0].GetImageData()
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetNumberOfPoints(), -1)
    count = labeled = 0
    for layer in range(array.shape[1]):
        values = [segment.value for segment in segments if segment.layer == layer]
        count += int(np.count_nonzero(np.isin(array[:, layer], values)))
        labeled += int(np.count_nonzero(array[:, layer]))
    return count, labeled - count


def _read_complete(node: Any, path: Path, labeled: int | None) -> Segmentation:
    """Read the segmentation of a node.

    Raises InputError for one that is empty, or has not as many labeled voxels as its file (if known).
    """
    try:
        with capture_messages():
            found = segmentation_from_node(node)
    except InputError as error:
        raise InputError(f"{path}: {str(error).removeprefix(node.GetName() + ': ')}") from error
    if labeled is None:
        return found
    values = [[s.value for s in found.segments if s.layer == n] for n in range(len(found.layers))]
    count = sum(int(np.count_nonzero(np.isin(layer, v))) for v, layer in zip(values, found.layers, strict=True))
    if count != labeled:
        raise InputError(
            f"{path}: only {count} of {labeled} labeled voxels lie in the extents that its header gives; save it again "
            "in Slicer."
        )
    return found


def check_file(path: Path, suffixes: tuple[str, ...], kind: str) -> None:
    """Raise InputError unless a path is a file with content and one of the suffixes; kind: what it should hold."""
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder.")
    if path.is_dir():
        raise InputError(f"{path}: a {kind} file is needed here, not a folder.")
    if not path.is_file():
        raise InputError(f"{path}: a {kind} file is needed here, but this is {_name_special_file(path)}.")
    if path.name.lower().endswith(".img"):
        raise InputError(f"{path}: this file holds the voxels alone; name the .hdr file beside it.")
    if not path.name.lower().endswith(suffixes):
        raise InputError(f"{path}: a {kind} cannot be read from this kind of file; use {', '.join(suffixes)}.")
    with path.open("rb") as stream:
        empty = not stream.read(1)
    if empty:
        raise InputError(f"{path}: the file is empty (0 bytes).")


def _name_special_file(path: Path) -> str:
    mode = path.stat().st_mode
    if stat.S_ISFIFO(mode):
        return "a pipe, which can be read only once; write its content to a file first"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


@contextlib.contextmanager
def report_os_errors(path: Path) -> Iterator[None]:
    """Turn an error of the operating system (no permission, a broken disk) into an InputError that names the path."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror or error}).") from error


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".seg.nrrd", ".nii.gz", *VOLUME_SUFFIXES, *TRANSFORM_SUFFIXES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)] or name  # a scene has no node without a name
    return name
