"""The inverse of a displacement field."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry.geometry import FloatArray, Geometry, apply_affine
from ..geometry.transforms import DisplacementField
from .jacobian import compute_corner_determinants
from .settings import DEFORMATION, DeformationSettings

_FOLDED = "The displacement field folds and cannot be inverted; register with another model."


def invert(
    field: DisplacementField, geometry: Geometry | None = None, settings: DeformationSettings = DEFORMATION
) -> DisplacementField:
    """Compute the displacement field moving -> fixed on a grid in moving space, by Newton's method at every node.

    geometry: the grid; outside it the displacement at its border is repeated. None, for a field with a transform
    outside: the grid of its `compute_inverse_grid`; the inverse of that transform is used outside it.
    The start is the inverse of the affine part of the field, so that large rotations converge. Raises InputError for a
    field that folds, and if the error exceeds the tolerance at a point where the field is known.
    """
    outside = None
    if geometry is None:
        geometry, outside = field.compute_inverse_grid(), field.get_outside().inverse()
    if (compute_corner_determinants(field) <= 0).any():
        raise InputError(_FOLDED)
    tolerance_mm = settings.inverse_tolerance_mm
    targets = geometry.points_mm.reshape(-1, 3)
    affine = _fit_affine(field) if field.outside is None else field.outside.matrix
    points = apply_affine(np.linalg.inv(affine), targets)
    errors = targets - field(points)
    for _ in range(settings.max_newton_steps):
        active = np.abs(errors).max(axis=1) > tolerance_mm
        if not active.any():
            break
        points[active] += _compute_newton_steps(field, points[active], errors[active], settings.difference_step_cells)
        errors[active] = targets[active] - field(points[active])
    if np.abs(errors[_find_covered(field, points)]).max(initial=0) > tolerance_mm:
        raise InputError(_FOLDED)
    return DisplacementField((points - targets).reshape(*geometry.shape, 3), geometry.affine, outside)


def _compute_newton_steps(
    field: DisplacementField, points: FloatArray, errors: FloatArray, difference_step_cells: float
) -> FloatArray:
    """Compute steps (n, 3) in mm that reduce the errors; no step is longer than a cell of the field."""
    cell = float(field.geometry.spacing_mm.min())
    offsets = difference_step_cells * cell * np.eye(3)
    span = 2 * difference_step_cells * cell
    columns = [(field(points + offset) - field(points - offset)) / span for offset in offsets]
    steps = np.linalg.solve(np.stack(columns, axis=-1) + 1e-6 * np.eye(3), errors[..., None])[..., 0]
    lengths = np.linalg.norm(steps, axis=1, keepdims=True)
    return np.asarray(steps * np.minimum(1, cell / np.maximum(lengths, 1e-12)))


def _find_covered(field: DisplacementField, points: FloatArray) -> NDArray[np.bool_]:
    """Find the points (n, 3) where the field is known: between its nodes, or anywhere if it has `outside`."""
    if field.outside is not None:
        return np.ones(len(points), dtype=bool)
    indices = apply_affine(field.geometry.inverse_affine, points)
    return np.asarray(((indices >= 0) & (indices <= field.geometry.size_ijk - 1)).all(-1))


def _fit_affine(field: DisplacementField) -> FloatArray:
    """Fit a 4x4 affine map to x -> x + d(x) by least squares over about 12 nodes along each axis."""
    step = tuple(slice(None, None, max(1, n // 12)) for n in field.geometry.shape)
    points = field.geometry.points_mm[step].reshape(-1, 3)
    mapped = points + field.array[step].reshape(-1, 3)
    solution = np.linalg.lstsq(np.c_[points, np.ones(len(points))], mapped, rcond=None)[0]
    matrix = np.eye(4)
    matrix[:3] = solution.T
    return matrix
