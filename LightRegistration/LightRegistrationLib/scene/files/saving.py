"""Write nodes and scenes to files; one-line errors for what cannot be written."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import slicer

from ...core.errors import FullDiskError, InputError, make_write_error
from ...core.files.compression import compress_file
from ...core.files.nifti import check_nifti
from ...core.geometry.volume import Segmentation
from ..nodes.matrices import vtk_matrix
from ..nodes.segmentations import merge_layers, segmentation_from_node
from ..nodes.volumes import image_data
from .messages import capture_messages

_FULL_DISK_BYTES = 1 << 20
"""With less free space a failed write is explained by a full disk. Chosen."""


def save_node(node: Any, path: str | Path) -> None:
    """Write a volume or transform node with its default storage node; the path determines the format.

    Raises InputError, naming the path, if it cannot be written.
    """
    _write(node, node.CreateDefaultStorageNode(), Path(path))


def save_segmentation(node: Any, path: str | Path) -> None:
    """Write a segmentation node as .seg.nrrd (complete) or as a label image with the segments' label values.

    A label image lies in the world, on the grid of `segmentation_from_node`; where structures overlap, the later one
    wins.
    Raises InputError, naming the path, if it cannot be written.
    """
    if Path(path).name.lower().endswith(".seg.nrrd"):
        save_node(node, path)
        return
    save_label_map(merge_layers(segmentation_from_node(node)), path)


def save_label_map(segmentation: Segmentation, path: str | Path) -> None:
    """Write a segmentation with one layer as a label image, with the values and the voxel type that it has.

    Raises InputError, naming the path, if it cannot be written.
    """
    labels = slicer.vtkMRMLLabelMapVolumeNode()
    labels.SetIJKToRASMatrix(vtk_matrix(segmentation.affine))
    labels.SetAndObserveImageData(image_data(segmentation.layers[0]))
    _write(labels, slicer.vtkMRMLVolumeArchetypeStorageNode(), Path(path))


def save_scene(scene: Any, path: str | Path) -> None:
    """Write the whole scene as an .mrb file. Raises InputError, naming the path, if it cannot be written."""
    path = Path(path)
    with capture_messages() as messages:
        written = path.parent.is_dir() and scene.WriteToMRB(str(path))
    if not written:
        raise InputError(f"{path}: the scene cannot be written ({_last_line(messages.text)}).")


def _write(node: Any, storage: Any, path: Path) -> None:
    if not path.parent.is_dir():
        raise InputError(f"{path}: cannot be written (the folder does not exist).")
    if not path.name.lower().endswith(".nii.gz"):
        _write_with_storage(node, storage, path, path)
        return
    # ITK compresses on one core, and reports no error when it could write only a part.
    plain = path.with_name(f".{path.name[:-3]}")
    try:
        _write_with_storage(node, storage, plain, path)
        compress_file(plain, path)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise make_write_error(path, error, f"{error.strerror or error}; is the disk full?") from error
    finally:
        plain.unlink(missing_ok=True)


def _write_with_storage(node: Any, storage: Any, path: Path, name: Path) -> None:
    """Write a node with its storage node to `path`; errors name the path `name`."""
    storage.SetScene(node.GetScene())
    storage.SetFileName(str(path))
    with capture_messages() as messages:
        written = storage.WriteData(node)
    if not written or not path.exists():
        if shutil.disk_usage(path.parent).free < _FULL_DISK_BYTES:
            raise FullDiskError(f"{name}: cannot be written (the disk is full).")
        text = messages.text + storage.GetUserMessages().GetAllMessagesAsString()
        raise InputError(f"{name}: cannot be written ({_explain_failure(text)}).")
    if path.name.lower().endswith(".nii"):
        try:
            check_nifti(path)
        except InputError as error:
            raise FullDiskError(f"{name}: only a part of it could be written; is the disk full?") from error


def _explain_failure(text: str) -> str:
    return re.sub(r"^Description: ITK ERROR: \w+\(0x[0-9a-f]+\): ", "", _last_line(text))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "is the folder writable?"
