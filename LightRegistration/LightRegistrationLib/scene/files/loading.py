"""Load volumes, segmentations, and transforms from files into the scene; one-line errors for unusable files."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from ...core.errors import InputError
from ...core.files.nifti import check_nifti
from ...core.geometry.geometry import homogeneous
from ...core.geometry.transforms import AffineTransform
from ...core.geometry.volume import Segmentation
from ..nodes.segmentations import segmentation_from_node, segmentation_node_from_segmentation
from ..nodes.transforms import transform_points, use_linear_interpolation
from ..nodes.volumes import volume_from_node
from .dicom import find_series
from .messages import capture_messages

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")
TRANSFORM_SUFFIXES = (".h5", ".tfm", ".txt", ".mat")


def load_volume(scene: Any, path: str | Path) -> Any:
    """Load a .nii, .nii.gz, .nrrd, .mha or .mhd file, or a folder with one DICOM series, as vtkMRMLScalarVolumeNode.

    Raises InputError, naming the path, for everything but one 3-D scalar volume whose voxels differ.
    """
    path = Path(path)
    with _report_os_errors(path):
        node, storage = _read_volume(path)
    array = volume_from_node(node).array
    if (array == array.flat[0]).all():
        raise InputError(f"{path}: the volume is empty; all its voxels have the value {array.flat[0]}.")
    node.SetName(scene.GenerateUniqueName(_stem(path)))
    scene.AddNode(storage)
    scene.AddNode(node)
    node.SetAndObserveStorageNodeID(storage.GetID())
    node.CreateDefaultDisplayNodes()
    return node


def load_segmentation(scene: Any, path: str | Path) -> Any:
    """Load a label map (formats as for `load_volume`) or a .seg.nrrd file as vtkMRMLSegmentationNode.

    Label values are kept; structures of a label map, which has no names, are called `Label_<value>`.
    Raises InputError, naming the path, for a missing, damaged, or empty file and for a file that is not a label map.
    """
    path = Path(path)
    with _report_os_errors(path):
        if _has_segments(path):
            return _load_segments(scene, path)
        volume = volume_from_node(_read_volume(path)[0])
    segmentation = Segmentation.from_labels(volume.array, volume.affine, str(path))
    if not segmentation.segments:
        raise InputError(f"{path}: the label map is empty; it holds no label other than 0.")
    return segmentation_node_from_segmentation(scene, segmentation, _stem(path))


def load_transform_node(scene: Any, path: str | Path) -> Any:
    """Load an ITK transform file as vtkMRMLTransformNode; displacement fields are interpolated trilinearly.

    Raises InputError, naming the path, if it cannot be read.
    """
    path = Path(path)
    with _report_os_errors(path):
        _check_file(path, (*TRANSFORM_SUFFIXES, ".nrrd", ".nii", ".nii.gz", ".mha", ".mhd"), "transform")
    node = slicer.vtkMRMLTransformNode()
    node.SetName(_stem(path))
    storage = slicer.vtkMRMLTransformStorageNode()
    storage.SetFileName(str(path))
    with capture_messages():
        complete = storage.ReadData(node)
    if not complete:
        raise InputError(f"{path}: cannot be read as a transform; it is damaged or of another type.")
    use_linear_interpolation(node)
    scene.AddNode(node)
    return node


def load_linear_transform(scene: Any, path: str | Path) -> AffineTransform:
    """Read a linear ITK transform file (.h5, .tfm, .txt, .mat: fixed -> moving, LPS mm) as fixed -> moving, RAS mm.

    Raises InputError, naming the path, if it cannot be read or is not linear. The scene is not changed.
    """
    node = load_transform_node(scene, path)
    scene.RemoveNode(node)
    if not node.IsLinear():
        raise InputError(f"{path}: the transform is not linear; an initial alignment must be rigid or affine.")
    # MRML has no matrix for a composite of linear transforms: it follows from where the unit points are mapped.
    points = transform_points(node.GetTransformFromParent(), np.vstack([np.zeros(3), np.eye(3)]))
    return AffineTransform(homogeneous((points[1:] - points[0]).T, points[0]))


def _read_volume(path: Path) -> tuple[Any, Any]:
    """Read into a volume and a storage node that are not in a scene, so that a failure leaves no node behind."""
    files = [path]
    if path.is_dir():
        files = find_series(path)
    else:
        _check_file(path, VOLUME_SUFFIXES, "volume")
        if path.name.lower().endswith((".nii", ".nii.gz")):
            check_nifti(path)
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetName(str(path))
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    # Voxel order as in the file: otherwise a left-handed fixed volume and the warped volume would differ in it.
    storage.SetForceRightHandedIJKCoordinateSystem(False)
    # All files are named: otherwise the reader would take brain_2.nii in the same folder for the next slice.
    storage.SetSingleFile(False)
    storage.SetFileName(str(files[0]))
    for file in files:
        storage.AddFileName(str(file))
    with capture_messages() as messages:
        complete = storage.ReadData(node)
    if not complete or node.GetImageData() is None:
        raise InputError(f"{path}: {_explain(messages.text + storage.GetUserMessages().GetAllMessagesAsString())}.")
    return node, storage


def _has_segments(path: Path) -> bool:
    """Whether the file is a Slicer segmentation, even if its name does not end in .seg.nrrd."""
    if path.is_dir() or not path.name.lower().endswith(".nrrd"):
        return False
    _check_file(path, (".nrrd",), "segmentation")
    with path.open("rb") as stream:
        header = stream.read(1 << 20).split(b"\n\n", 1)[0]
    return b"Segment0_ID" in header


def _load_segments(scene: Any, path: Path) -> Any:
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(_stem(path)))
    try:
        with capture_messages() as messages:
            complete = storage.ReadData(node)
        if not complete:
            raise InputError(f"{path}: {_explain(messages.text + storage.GetUserMessages().GetAllMessagesAsString())}.")
        _check_not_empty(node, path)
    except InputError:
        scene.RemoveNode(node)
        raise
    scene.AddNode(storage)
    node.SetAndObserveStorageNodeID(storage.GetID())
    node.CreateDefaultDisplayNodes()
    return node


def _check_not_empty(node: Any, path: Path) -> None:
    try:
        segmentation_from_node(node)
    except InputError as error:
        raise InputError(f"{path}: {str(error).removeprefix(node.GetName() + ': ')}") from error


def _check_file(path: Path, suffixes: tuple[str, ...], kind: str) -> None:
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder.")
    if not path.is_file():
        raise InputError(f"{path}: a {kind} file is needed here, not a folder.")
    if not path.name.lower().endswith(suffixes):
        raise InputError(f"{path}: a {kind} cannot be read from this kind of file; use {', '.join(suffixes)}.")
    with path.open("rb") as stream:
        empty = not stream.read(1)
    if empty:
        raise InputError(f"{path}: the file is empty (0 bytes).")


@contextlib.contextmanager
def _report_os_errors(path: Path) -> Iterator[None]:
    """Turn an error of the operating system (no permission, a broken disk) into an InputError that names the path."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror or error}).") from error


def _explain(text: str) -> str:
    """Return what a reader's messages mean, in words for the user."""
    four_d = re.search(r"contains a (\d+)D image \(size: ([\dx ]+)\)", text)
    components = re.search(r"only 1 allowed\): (\d+)", text)
    if four_d:
        size = four_d[2].strip()
        return f"a 3-D volume is needed, but this is {four_d[1]}-D ({size}); extract one volume first"
    if components:
        return (
            f"a scalar volume is needed, but each voxel has {components[1]} components "
            "(a color, vector, or time series image); extract one component first"
        )
    if "Zero-valued spacing" in text:
        return "the header gives an axis the length zero; repair its voxel spacing"
    if "orthonormal" in text or "non-singular" in text or "determinant" in text.lower():
        return "the axes in the header are not at right angles, or one has the length zero; repair its geometry"
    return "the file cannot be read; it is damaged, or its name has the wrong extension"


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".seg.nrrd", ".nii.gz", *VOLUME_SUFFIXES, *TRANSFORM_SUFFIXES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name
