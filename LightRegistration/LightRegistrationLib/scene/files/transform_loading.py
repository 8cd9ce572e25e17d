"""Load transforms from files into the scene; one-line errors for unusable files."""

from __future__ import annotations

import codecs
import contextlib
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from ...core.errors import InputError
from ...core.files.nifti import NIFTI_SUFFIXES, holds_only_finite_numbers, open_unpacked, read_nifti_header
from ...core.files.plain_file import report_os_errors
from ...core.files.readable_copy import copy_to_plain_name, has_plain_name
from ...core.files.text_header import read_text_header
from ...core.files.transform_parameters import (
    MATLAB_TRANSFORM_SUFFIX,
    TEXT_TRANSFORM_SUFFIXES,
    check_hdf5_transform,
    check_transform_parameters,
)
from ...core.files.volume_header import VOLUME_SUFFIXES, check_file, check_header
from ...core.geometry.nifti_positions import list_position_warnings
from ...core.geometry.transforms import AffineTransform
from ..nodes.transforms import affine_from_transform_node, find_grid, is_finite_transform, use_linear_interpolation
from .file_checks import TRANSFORM_SUFFIXES, OnWarning, get_stem, log_warning
from .hdf5_links import check_hdf5_links
from .messages import capture_messages

_MAX_GROWTH = 1e6
"""Factor of volumes from which on an initial transform is refused; its inverse could not be told from a flat one."""
_AFFINE_BASE, _AFFINE = b"MatrixOffsetTransformBase_", b"AffineTransform_"
_LPS_NAMES = ("lps", "left-posterior-superior")
_OTHER_VECTORS = {"Mapping": "a deformation of SPM", "NREG_TRANS": "a transform of NiftyReg"}
"""By the names in their headers: vectors of positions, or of displacements in RAS mm."""
_INTENT_NAME_NIFTI1, _INTENT_NAME_NIFTI2 = 328, 508
_DISPLACEMENT_INTENTS = (1006, 1007)
"""Codes of NIfTI for displacements and for vectors; of others ITK takes the numbers for something else."""


def load_transform_node(scene: Any, path: str | Path, *, on_warning: OnWarning = log_warning) -> Any:
    """Load an ITK transform file as vtkMRMLTransformNode; displacement fields are interpolated trilinearly.

    Raises InputError, naming the path, if it cannot be read.
    """
    path = Path(path)
    warnings: list[str] = []
    with report_os_errors(path):
        check_file(path, (*TRANSFORM_SUFFIXES, ".nrrd", ".nii", ".nii.gz", ".mha", ".mhd"), "transform")
        if path.name.lower().endswith((*TEXT_TRANSFORM_SUFFIXES, MATLAB_TRANSFORM_SUFFIX)):
            check_transform_parameters(path)
        elif path.name.lower().endswith(VOLUME_SUFFIXES):
            warnings += check_header(path)
            _check_vectors(path)
        else:
            check_hdf5_links(path)
            check_hdf5_transform(path)
        node = _read_node(path)
    if not is_finite_transform(node):
        raise InputError(f"{path}: the transform has numbers that are not finite; it is damaged.")
    use_linear_interpolation(node)
    for line in (*warnings, *_list_field_warnings(path, node)):
        on_warning(f"{path}: {line}.")
    scene.AddNode(node)
    return node


def _read_node(path: Path) -> Any:
    node = slicer.vtkMRMLTransformNode()
    node.SetName(get_stem(path))
    storage = slicer.vtkMRMLTransformStorageNode()
    with _readable_copy(path) as file, capture_messages():
        storage.SetFileName(str(file))
        complete = storage.ReadData(node)
    if not complete:
        raise InputError(
            f"{path}: cannot be read as a transform; it is damaged, of a type that is not read, or holds several that "
            "are not one composite."
        )
    return node


@contextlib.contextmanager
def _readable_copy(path: Path) -> Iterator[Path]:
    """Yield the file, or a copy if Slicer's reader does not know its extension, its class, or its first bytes."""
    suffix = next((suffix for suffix in TRANSFORM_SUFFIXES if path.name.lower().endswith(suffix)), None)
    content = path.read_bytes() if suffix in (*TEXT_TRANSFORM_SUFFIXES, MATLAB_TRANSFORM_SUFFIX) else b""
    must_change = _AFFINE_BASE in content or content.startswith(codecs.BOM_UTF8)
    if not must_change and (path.name.endswith(suffix) if suffix else has_plain_name(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="light-registration-") as folder:
        if suffix is None:
            copy = copy_to_plain_name(path, Path(folder))
        else:
            copy = Path(folder) / f"transform{suffix}"
            shutil.copyfile(path, copy)
        if must_change:
            plain = content.removeprefix(codecs.BOM_UTF8)
            copy.write_bytes(_name_affine(plain, is_text=suffix != MATLAB_TRANSFORM_SUFFIX))
        yield copy


def _name_affine(content: bytes, *, is_text: bool) -> bytes:
    """Call transforms of the base class of affine ones, which old versions of ANTs write, by the name of these.

    Both have the same parameters. In a file of MATLAB 4, the length of the name is the number before it.
    """
    if is_text:
        return content.replace(_AFFINE_BASE, _AFFINE)
    before, *parts = content.split(_AFFINE_BASE)
    for part in parts:
        (length,) = struct.unpack("<i", before[-4:])
        before = before[:-4] + struct.pack("<i", length - len(_AFFINE_BASE) + len(_AFFINE)) + _AFFINE + part
    return before


def _list_field_warnings(path: Path, node: Any) -> Iterator[str]:
    """Yield warnings about the place of a displacement field, and the system of its displacements."""
    grid = find_grid(node) if path.name.lower().endswith(VOLUME_SUFFIXES) else None
    if grid is None:
        return
    if path.name.lower().endswith(NIFTI_SUFFIXES):
        yield from list_position_warnings(read_nifti_header(path), grid)
    elif path.name.lower().endswith(".nrrd"):
        space = read_text_header(path).fields.get("space", "")
        if space and space.lower() not in _LPS_NAMES:
            yield f"the displacements are taken as LPS mm, as ITK does, whatever the space of the header ({space})"


def load_linear_transform(scene: Any, path: str | Path, *, on_warning: OnWarning = log_warning) -> AffineTransform:
    """Read a linear ITK transform file (.h5, .tfm, .txt, .mat: fixed -> moving, LPS mm) as fixed -> moving, RAS mm.

    Raises InputError, naming the path, if it cannot be read or is not linear. The scene is not changed.
    """
    node = load_transform_node(scene, path, on_warning=on_warning)
    scene.RemoveNode(node)
    if not node.IsLinear():
        raise InputError(f"{path}: the transform is not linear; an initial alignment must be rigid or affine.")
    try:
        transform = affine_from_transform_node(node, Path(path).name)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    growth = abs(float(np.linalg.det(transform.matrix[:3, :3])))
    if growth > _MAX_GROWTH:
        raise InputError(f"{path}: the transform enlarges volumes {growth:.3g} times; are its numbers those of mm?")
    return transform


def _read_intent_name(path: Path, version: int) -> str:
    """Read the name of what the vectors of a NIfTI file mean."""
    with open_unpacked(path) as stream:
        stream.seek(_INTENT_NAME_NIFTI2 if version == 2 else _INTENT_NAME_NIFTI1)
        return stream.read(16).split(b"\0")[0].decode("latin-1")


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
        name = _read_intent_name(path, nifti.version)
        if name in _OTHER_VECTORS:
            raise InputError(
                f"{path}: by the header, its vectors are those of {_OTHER_VECTORS[name]} (intent_name {name}), and no "
                "displacements in LPS mm; convert it to an ITK transform."
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
