"""The transforms of a request, loaded, with checks of what they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import InputError
from ...core.geometry.geometry import FloatArray, Geometry, apply_affine
from ...scene.files.file_checks import OnWarning, log_warning
from ...scene.files.transform_loading import load_transform_node
from ...scene.files.volume_loading import load_volume
from ...scene.nodes.transform_chain import ChainLink, TransformChain
from ...scene.nodes.transforms import transform_points
from ...scene.nodes.volumes import volume_from_node
from ..register.inputs import check_right_angles
from .request import ApplyRequest

MAX_INVERSE_ERROR_MM = 0.1
"""Where the inverse of a transform is less exact, a warning says so. Chosen: a tenth of a fine voxel."""
_CHECKED_POINTS_PER_AXIS = 20
_MIN_DETERMINANT = 1e-6


def load_chain(scene: Any, request: ApplyRequest, on_warning: OnWarning = log_warning) -> TransformChain:
    """Load the transforms. Raises InputError, naming the file, for one that cannot be read or has no inverse."""
    links = []
    for file in request.transforms:
        node = load_transform_node(scene, file.path, on_warning=on_warning)
        if node.IsLinear():
            _check_invertible(node, file.path)
        links.append(ChainLink(node, file.is_inverted))
    return TransformChain(links)


def _check_invertible(node: Any, path: Path) -> None:
    ends = transform_points(node.GetTransformFromParent(), np.vstack([np.zeros(3), np.eye(3)]))
    if abs(np.linalg.det(ends[1:] - ends[0])) < _MIN_DETERMINANT:
        raise InputError(f"{path}: the transform flattens space (its determinant is 0); use another one.")


def load_reference(scene: Any, request: ApplyRequest, on_warning: OnWarning) -> Geometry | None:
    """Load the reference and return its grid; None if there is none."""
    if request.reference is None:
        return None
    volume = volume_from_node(load_volume(scene, request.reference, may_be_constant=True, on_warning=on_warning))
    check_right_angles(volume, request.reference, "reference")
    return volume.geometry


def check_inverse(chain: TransformChain, points_mm: FloatArray, what: str, on_warning: OnWarning) -> None:
    """Warn of points of the input (n, 3), RAS mm, where the inverse of the chain is not exact, as where it folds."""
    errors = chain.measure_inverse_errors_mm(points_mm)
    count = int((errors > MAX_INVERSE_ERROR_MM).sum())
    if count:
        worst = f"by up to {errors.max():.2f} mm" if np.isfinite(errors).all() else "by any distance"
        on_warning(
            f"The inverse of the transforms is off {worst} at {count} of {len(errors)} {what} (limit "
            f"{MAX_INVERSE_ERROR_MM} mm): they may fold there."
        )


def check_reach(
    chain: TransformChain, request: ApplyRequest, points_mm: FloatArray, what: str, on_warning: OnWarning
) -> None:
    """Warn of transforms whose displacements move none of the points of the reference (n, 3), RAS mm."""
    for number in chain.list_unreached(points_mm):
        on_warning(
            f"{request.transforms[number].path}: its displacements do not reach any of the {what}; is it the transform "
            "of other volumes?"
        )


def sample_grid(geometry: Geometry) -> FloatArray:
    """Return points evenly spaced over a grid, (n, 3) RAS mm."""
    along = [np.linspace(0, n - 1, min(n, _CHECKED_POINTS_PER_AXIS)) for n in reversed(geometry.shape)]
    indices = np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, 3)
    return apply_affine(geometry.affine, indices)
