"""Sequences of Slicer: series of volumes read, and series of transforms written so that Slicer plays them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

from ...core.errors import InputError
from ...core.files.claimed_size import list_surplus_warnings
from ...core.files.long_integers import holds_long_integers
from ...core.files.nifti import find_nifti_data, read_nifti_header
from ...core.files.nifti_header import GZIP_MAGIC
from ...core.files.nrrd import check_nrrd
from ...core.files.plain_file import report_os_errors
from ...core.files.text_header import NRRD_SUFFIXES, TextHeader, is_finite, parse_number, read_text_header
from ...core.files.volume_header import check_file
from ...core.geometry.transforms import DisplacementField
from ...core.geometry.volume import Volume
from ..nodes.transforms import transform_from_field
from ..nodes.volumes import convert_to_slicer_type, volume_from_node
from .file_checks import OnWarning, log_warning
from .messages import capture_messages
from .saving import save_node

_INDEX_VALUES = re.compile(r"axis \d index values")
_KINDS_OF_ONE_VOXEL = ("color", "complex", "matrix", "quaternion", "gradient", "normal")
"""How the kinds of NRRD end that are several numbers of one voxel, and no frames."""


@dataclass(frozen=True)
class SequenceIndex:
    """What the items of a sequence are numbered by: a name, such as time, and its unit; empty if there is none."""

    name: str
    unit: str


def read_volume_sequence(
    scene: Any, path: Path, on_warning: OnWarning = log_warning
) -> tuple[SequenceIndex, Iterator[tuple[str, Volume]]]:
    """Read a 4-D NRRD file: its index, and each index value with its volume.

    Raises InputError, naming the path, for everything but a series of scalar volumes.
    """
    with report_os_errors(path):
        check_file(path, NRRD_SUFFIXES, "series")
        warnings = check_nrrd(path)
        header = read_text_header(path)
    if holds_long_integers(header):
        raise InputError(f"{path}: integers of 64 bits are not read from a series; save it as int32 or float.")
    for kind in header.fields.get("kinds", "").lower().split():
        if kind.endswith(_KINDS_OF_ONE_VOXEL):
            raise InputError(f"{path}: its voxels are of the kind '{kind}', which is no series of volumes.")
        if kind == "vector":
            warnings.append("its voxels are vectors, whose numbers are taken as the frames of a series")
    count = _count_frames(header)
    warnings += _check_index_values(header, count)
    for line in warnings:
        on_warning(f"{path}: {line}.")
    node = slicer.vtkMRMLSequenceNode()
    storage = slicer.vtkMRMLVolumeSequenceStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    with capture_messages():
        complete = storage.ReadData(node)
    scene.RemoveNode(storage)
    if not complete or node.GetNumberOfDataNodes() == 0:
        raise InputError(
            f"{path}: cannot be read as a series of volumes; it is damaged, or has no axis of the kind 'list'."
        )
    return SequenceIndex(node.GetIndexName() or "", node.GetIndexUnit() or ""), _iterate(node, path)


def list_series_surplus(path: Path) -> list[str]:
    """Return a warning if a sound 4-D NIfTI file, not compressed, holds a frame or more than its header claims."""
    header = read_nifti_header(path)
    data = find_nifti_data(path, header)
    with data.open("rb") as stream:
        is_compressed = stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    if is_compressed:
        return []
    return list(list_surplus_warnings(data, header.offset, header.length, header.length // header.size[3]))


def _count_frames(header: TextHeader) -> int:
    """Return the number of frames, along the first or the last axis. Raises InputError unless there are four axes."""
    sizes, kinds = header.numbers("sizes"), header.fields.get("kinds", "").lower().split()
    if len(sizes) == 3:
        raise InputError(f"{header.path}: there is only one frame in it; name a 4-D file, or a file for each frame.")
    if len(sizes) != 4:
        raise InputError(f"{header.path}: a series has four axes, but this has {len(sizes)}.")
    is_last = len(kinds) == 4 and kinds[-1] not in ("domain", "space")
    return int(sizes[-1] if is_last else sizes[0])


def _check_index_values(header: TextHeader, count: int) -> list[str]:
    """Raise InputError for index values by which Slicer's reader would lose frames; returns warnings about them."""
    found = [text.split() for key, text in header.key_values.items() if _INDEX_VALUES.fullmatch(key)]
    if not found:
        return []
    values = found[0]
    if len(values) != count or len(set(values)) < count:
        raise InputError(f"{header.path}: its {count} frames do not have {count} different index values; repair them.")
    numbers = [parse_number(value) for value in values]
    if is_finite(numbers) and numbers != sorted(numbers):
        return ["its frames are taken in the order of their index values, which is not that in the file"]
    return []


def _iterate(node: Any, path: Path) -> Iterator[tuple[str, Volume]]:
    for number in range(node.GetNumberOfDataNodes()):
        item = node.GetNthDataNode(number)
        if not item.IsA("vtkMRMLScalarVolumeNode") or item.IsA("vtkMRMLVectorVolumeNode"):
            raise InputError(
                f"{path}: a series of scalar volumes is needed, but its items are {item.GetNodeTagName()}."
            )
        convert_to_slicer_type(item)
        yield node.GetNthIndexValue(number), volume_from_node(item)


def save_transform_sequence(
    scene: Any, items: Iterable[tuple[str, DisplacementField]], path: Path, index: SequenceIndex
) -> None:
    """Write displacement fields, each with its index value, as a .seq.mrb file, which Slicer loads as a sequence.

    Each is a transform from parent, as in `transform_node_from_field`. Raises InputError if it cannot be written.
    """
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", scene.GenerateUniqueName("transforms"))
    sequence.SetIndexName(index.name)
    sequence.SetIndexUnit(index.unit)
    sequence.SetIndexType(slicer.vtkMRMLSequenceNode.NumericIndex)
    for value, field in items:
        node = slicer.vtkMRMLTransformNode()
        node.SetName("transform")
        node.SetAndObserveTransformFromParent(transform_from_field(field))
        sequence.SetDataNodeAtValue(node, value)
    sequence.SetDefaultSequenceStorageNodeClassName("vtkMRMLSequenceStorageNode")
    save_node(sequence, path)
    scene.RemoveNode(sequence)
