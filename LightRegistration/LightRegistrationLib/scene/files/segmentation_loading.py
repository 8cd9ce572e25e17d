"""Load segmentations, label maps and masks from files into the scene; one-line errors for unusable files."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import vtk_to_numpy

from ...core.errors import InputError
from ...core.files.nifti import NIFTI_SUFFIXES, holds_only_finite_numbers
from ...core.files.plain_file import report_os_errors
from ...core.files.segmentation_header import StoredSegment, read_stored_segments
from ...core.files.text_header import DATA_FILE, TextHeader, read_text_header
from ...core.files.volume_header import check_file, check_header
from ...core.geometry.volume import LABEL_TOLERANCE, MASK_THRESHOLD, Segmentation, is_probability_map
from ..nodes.cropped_segmentation import find_missing_values
from ..nodes.removal import remove_with_display
from ..nodes.segmentations import segment_names, segmentation_from_node, segmentation_node_from_segmentation
from ..nodes.volumes import volume_from_node
from .file_checks import OnWarning, get_stem, log_warning
from .itk_reading import explain_messages, read_files
from .messages import capture_messages
from .volume_loading import read_volume_node

_FIELDS_OF_VOXELS = ("type", "endian", "encoding", "line skip", "byte skip")
_MAIN_FORMS = ("Master", "Source")
"""How the key of the main representation begins, by the version of Slicer."""


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
        return segmentation_node_from_segmentation(scene, segmentation, get_stem(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read_label_map(path: Path, on_warning: OnWarning, *, is_mask: bool) -> Segmentation:
    with report_os_errors(path):
        volume = volume_from_node(read_volume_node(path, None, on_warning)[0])
    labels = volume.array
    is_probability = is_mask and is_probability_map(labels)
    if is_probability:
        on_warning(f"{path}: the values lie between 0 and 1; the mask is where they are {MASK_THRESHOLD} or more.")
        labels = (labels >= MASK_THRESHOLD).astype(np.uint8)
    elif is_mask and _has_fractions(labels):
        raise InputError(
            f"{path}: the mask holds fractions, up to {labels.max():g}; a mask has whole numbers, or fractions "
            "from 0 to 1."
        )
    elif is_mask and bool((labels < 0).any()):
        on_warning(f"{path}: voxels below 0 count as inside of the mask, as all values except 0 do.")
    elif bool((labels < 0).any()):
        on_warning(f"{path}: label values below 0 count as structures, as all values except 0 do.")
    segmentation = Segmentation.from_labels(labels, volume.affine, str(path))
    if not segmentation.segments:
        holds_others = path.name.lower().endswith(NIFTI_SUFFIXES) and not holds_only_finite_numbers(path)
        reason = "its voxels are 0, NaN or infinite" if holds_others else "it holds no label other than 0"
        reason = f"no voxel is {MASK_THRESHOLD} or more" if is_probability else reason
        raise InputError(f"{path}: the {'mask' if is_mask else 'label map'} is empty; {reason}.")
    return segmentation


def _has_fractions(labels: NDArray) -> bool:
    """Whether some numbers, all finite, lie between whole numbers."""
    if labels.dtype.kind != "f" or not np.isfinite(labels).all():
        return False
    return bool(np.abs(labels - np.round(labels)).max() > LABEL_TOLERANCE)


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
    for line in check_header(path):
        on_warning(f"{path}: {line}.")
    if _is_fractional(path):
        raise InputError(f"{path}: its segments are fractional; convert them to binary label maps in Slicer first.")
    labeled, left_out = _count_stored_voxels(path, stored)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(get_stem(path)))
    try:
        with capture_messages() as messages:
            complete = storage.ReadData(node)
        if not complete:
            raise InputError(f"{path}: {explain_messages(messages, storage, path)}.")
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


def _is_fractional(path: Path) -> bool:
    """Whether the voxels are shares of a structure and no labels, as the header says."""
    values = read_text_header(path).key_values
    return any("fractional" in values.get(f"Segmentation_{key}Representation", "").lower() for key in _MAIN_FORMS)


def _list_empty_structures(node: Any, found: Segmentation) -> list[str]:
    """List the names of segments of a node without a voxel. found: what was read from the node."""
    missing = [
        find_missing_values(layer, (s.value for s in found.segments if s.layer == number))
        for number, layer in enumerate(found.layers)
    ]
    filled = Counter(segment.name for segment in found.segments if segment.value not in missing[segment.layer])
    return list((Counter(segment_names(node)) - filled).elements())


def _count_stored_voxels(path: Path, segments: tuple[StoredSegment, ...]) -> tuple[int, int]:
    """Count the voxels of the segments in a .seg.nrrd file, and those that have a label of no segment.

    Raises InputError for a file that cannot be read.

    Slicer's reader of segmentations ends the program at a damaged file; that of volumes reports it.
    """
    header = read_text_header(path)
    is_layered = header.number("dimension", 3) > 3
    if is_layered and header.number("sizes", 0) == 1 and DATA_FILE not in header.fields:
        image = _read_only_layer(header)
    else:
        image = read_files([path], path, as_vectors=is_layered)[0].GetImageData()
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetNumberOfPoints(), -1)
    if array.dtype.kind == "f" and not (array == np.floor(array)).all():
        raise InputError(f"{path}: its voxels are no labels (they are not whole numbers); save it again in Slicer.")
    count = labeled = 0
    for layer in range(array.shape[1]):
        values = [segment.value for segment in segments if segment.layer == layer]
        count += int(np.count_nonzero(np.isin(array[:, layer], values)))
        labeled += int(np.count_nonzero(array[:, layer]))
    return count, labeled - count


def _read_only_layer(header: TextHeader) -> Any:
    """Read the voxels of a file with a list of one layer, which ITK takes neither for a volume nor for vectors."""
    names = [name for name in _FIELDS_OF_VOXELS if name in header.fields]
    lines = [f"{name}: {header.fields[name]}" for name in names]
    sizes = header.fields["sizes"].split()[1:]
    with tempfile.TemporaryDirectory(prefix="light-registration-") as folder:
        copy = Path(folder) / "layer.nrrd"
        with header.path.open("rb") as source, copy.open("wb") as target:
            target.write("\n".join(["NRRD0004", f"dimension: 3\nsizes: {' '.join(sizes)}", *lines, "\n"]).encode())
            source.seek(header.length)
            shutil.copyfileobj(source, target)
        return read_files([copy], header.path)[0].GetImageData()


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
