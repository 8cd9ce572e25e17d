"""Load transforms from files into the scene; one-line errors for unusable files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer

from ...core.errors import InputError
from ...core.files.nifti import NIFTI_SUFFIXES, holds_only_finite_numbers, read_nifti_header
from ...core.files.text_header import read_text_header
from ...core.files.transform_parameters import (
    MATLAB_TRANSFORM_SUFFIX,
    TEXT_TRANSFORM_SUFFIXES,
    check_hdf5_transform,
    check_transform_parameters,
)
from ...core.geometry.transforms import AffineTransform
from ..nodes.transforms import affine_from_transform_node, is_finite_transform, use_linear_interpolation
from .file_checks import TRANSFORM_SUFFIXES, VOLUME_SUFFIXES, check_file, get_stem, report_os_errors
from .hdf5_links import check_hdf5_links
from .messages import capture_messages
from .volume_loading import check_header

_DISPLACEMENT_INTENTS = (1006, 1007)
"""Codes of NIfTI for displacements and for vectors; of others ITK takes the numbers for something else."""


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
            check_header(path)
            _check_vectors(path)
        else:
            check_hdf5_links(path)
            check_hdf5_transform(path)
    node = slicer.vtkMRMLTransformNode()
    node.SetName(get_stem(path))
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
