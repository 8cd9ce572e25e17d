"""Read image files by ITK into nodes, and explain its messages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import slicer

from ...core.errors import InputError
from ...core.files.reader_limits import explain_refusal
from .messages import CapturedMessages, capture_messages, decode_text


def read_files(files: list[Path], path: Path, *, as_vectors: bool = False) -> tuple[Any, Any]:
    """Read image files, one or the slices of a series in order; errors name `path`. Returns volume and storage node.

    as_vectors: each voxel has several components.
    """
    node = slicer.vtkMRMLVectorVolumeNode() if as_vectors else slicer.vtkMRMLScalarVolumeNode()
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
        raise InputError(f"{path}: {explain_messages(messages, storage, path)}.")
    return node, storage


def explain_messages(messages: CapturedMessages, storage: Any, path: Path) -> str:
    """Return what the messages of a storage node and of its libraries about a file mean, in words for the user."""
    text = messages.text + decode_text(storage.GetUserMessages().GetAllMessagesAsString())
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
    if "Size mismatch" in text or "do not have the same" in text or "same size" in text:
        return "its files hold slices of different sizes; keep one stack"
    if "Zero-valued spacing" in text:
        return "the header gives an axis the length zero; repair its voxel spacing"
    if "orthonormal" in text or "non-singular" in text or "determinant" in text.lower():
        return "the axes in the header are not at right angles, or one has the length zero; repair its geometry"
    reason = explain_refusal(path)
    return reason or "the file cannot be read; it is damaged, of a kind that is not read, or has the wrong extension"
