"""The inverse of a displacement field."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry.geometry import FloatArray, Geometry, apply_affine
from ..geometry.transforms import DisplacementField
from .jacobian import compute_corner_determinants
from .settings import DEFORMATION, DeformationSettings
from .tapering import find_nodes_of

_FOLDED = "The displacement field folds and cannot be inverted; register with another model."


def invert(
    field: DisplacementField,
    geometry: Geometry | None = None,
    settings: DeformationSettings = DEFORMATION,
    *,
    view: Geometry | None = None,
) -> DisplacementField:
    """Compute the displacement field moving -> fixed on a grid in moving space, by Newton's method at every node.

    geometry: the grid; outside it the displacement at its border is repeated. None, for a field with a transform
    outside: the grid of its `compute_inverse_grid`; the inverse of that transform is used outside it.
    view: the grid of the fixed volume; beyond it, where the field falls to its transform outside, it may fold, and the
    point closest to an inverse is taken there. None: it may fold nowhere.
    The start is the inverse of the affine part of the field, so that large rotations converge. Raises InputError for a
    field that folds, and if the error exceeds the tolerance at a point where the field is known.
    """
    outside = None
    if geometry is None:
        geometry, outside = field.compute_inverse_grid(), field.get_outside().inverse()
    part = slice(None) if view is None else _find_cells_of(view, field.geometry)
    if (compute_corner_determinants(field)[part] <= 0).any():
        raise InputError(_FOLDED)
    targets = geometry.points_mm.reshape(-1, 3)
    affine = _fit_affine(field) if field.outside is None else field.outside.matrix
    points, errors = _solve(field, targets, affine, settings)
    required = _find_covered(field, points) if view is None else view.contains(points)
    if np.abs(errors[required]).max(initial=0) > settings.inverse_tolerance_mm:
        raise InputError(_FOLDED)
    return DisplacementField((points - targets).reshape(*geometry.shape, 3), geometry.affine, outside)


def refine_inverse_grid(grid: Geometry, settings: DeformationSettings = DEFORMATION) -> Geometry:
    """Divide the cells of a grid until its spacing is fine enough for an inverse; its outermost nodes stay.

    The trilinear inverse of a trilinear field is exact at its nodes only; finer nodes leave smaller errors in between.
    """
    parts = int(np.ceil(grid.spacing_mm.max() / settings.max_inverse_spacing_mm))
    while parts > 1 and np.prod([parts * n for n in grid.shape]) > settings.max_inverse_nodes:
        parts -= 1
    k, j, i = (parts * (n - 1) + 1 for n in grid.shape)
    return Geometry((k, j, i), grid.affine @ np.diag([1 / parts] * 3 + [1.0]))


def invert_for_volume(
    field: DisplacementField, view: Geometry, settings: DeformationSettings = DEFORMATION
) -> DisplacementField:
    """Compute the inverse of a field with a transform outside, on a grid fine enough to store it.

    view: the grid of the fixed volume; see `invert`. The inverse of the field's transform outside is that of the
    result. Raises InputError as `invert` does.
    """
    grid = refine_inverse_grid(field.compute_inverse_grid(), settings)
    inverse = invert(field, grid, settings, view=view)
    return DisplacementField(inverse.array, inverse.affine, field.get_outside().inverse())


def _solve(
    field: DisplacementField, targets: FloatArray, affine: FloatArray, settings: DeformationSettings
) -> tuple[FloatArray, FloatArray]:
    """Find the points (n, 3) that a field maps to the targets, and the errors that are left, mm."""
    inverse_matrix = np.linalg.inv(affine)
    points = apply_affine(inverse_matrix, targets)
    errors = targets - field(points)
    for step in range(settings.fixed_point_steps + settings.max_newton_steps):
        active = np.flatnonzero(np.abs(errors).max(axis=1) > settings.inverse_tolerance_mm)
        if not len(active):
            break
        if step < settings.fixed_point_steps:
            # One evaluation of the field instead of seven: enough wherever it bends little.
            moved = points[active] + errors[active] @ inverse_matrix[:3, :3].T
        else:
            changes = _compute_newton_steps(field, points[active], errors[active], settings.difference_step_cells)
            moved = points[active] + changes
        left = targets[active] - field(moved)
        if step < settings.fixed_point_steps:
            is_better = np.abs(left).max(axis=1) < np.abs(errors[active]).max(axis=1)
            active, moved, left = active[is_better], moved[is_better], left[is_better]
        points[active], errors[active] = moved, left
    return points, errors


def _find_cells_of(view: Geometry, grid: Geometry) -> tuple[slice, ...]:
    """Find the cells of a grid that touch a volume, as an index into determinants (8, k - 1, j - 1, i - 1)."""
    return (slice(None), *(slice(part.start, part.stop - 1) for part in find_nodes_of(view, grid)))


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
