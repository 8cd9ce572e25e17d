"""What can be said of and done with a displacement field: its Jacobian determinant, its inverse."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import InputError
from ..geometry.geometry import FloatArray, Geometry, apply_affine, homogeneous
from ..geometry.transforms import DisplacementField
from ..result.result import JacobianSummary
from ..threads import run_in_threads, split_range

_FOLDS = "The displacement field folds and cannot be inverted; register with another model."


def compute_corner_determinants(field: DisplacementField) -> FloatArray:
    """Jacobian determinants of x -> x + d(x) at the 8 corners of each cell of the trilinear field.

    Returns (8, k - 1, j - 1, i - 1). Inside a cell the determinant is a combination of what its corners' one-sided
    differences span, so that folding shows here that central differences would average away.
    """
    shape = field.array.shape[:3]
    to_cells = np.linalg.inv(field.affine[:3, :3]).astype(np.float32)
    result = np.empty((8, *(n - 1 for n in shape)), dtype=np.float32)
    parts = split_range(shape[0] - 1, min(torch.get_num_threads(), max(1, shape[0] - 1)))

    def work(number: int) -> None:
        for k in parts[number]:
            positions = np.ascontiguousarray(np.moveaxis(field.array[k : k + 2] @ to_cells.T, -1, 0))
            _slab_determinants(positions, result[:, k])

    run_in_threads(work, len(parts))
    return result


def _slab_determinants(positions: FloatArray, result: FloatArray) -> None:
    """Fill in (8, j - 1, i - 1) for the cells between two slices; positions: displacements (3, 2, j, i) in cells."""
    along_i, along_j, along_k = (np.diff(positions, axis=axis) for axis in (3, 2, 1))
    for axis, differences in enumerate((along_i, along_j, along_k)):
        differences[axis] += 1
    for corner, (k, j, i) in enumerate(product((0, 1), repeat=3)):
        a, b, c = along_i[:, k, _nodes(j)], along_j[:, k, :, _nodes(i)], along_k[:, 0, _nodes(j), _nodes(i)]
        result[corner] = (
            a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])
        )


def _nodes(corner: int) -> slice:
    """The nodes that are the first (0) or last (1) corner of each cell along an axis."""
    return slice(1, None) if corner else slice(None, -1)


def summarize_jacobian(field: DisplacementField, geometry: Geometry) -> JacobianSummary:
    """Summarize the raw determinants of all cells whose middle lies inside the fixed volume's `geometry`."""
    determinants = compute_corner_determinants(field)
    middles = Geometry(determinants.shape[1:], field.affine @ homogeneous(np.eye(3), (0.5, 0.5, 0.5)))
    values = determinants[:, _inside(middles, geometry)].ravel()
    if values.size == 0:
        raise InputError("The displacement field does not cover the fixed volume.")
    positive = values[values > 0]
    return JacobianSummary(
        percent_nonpositive=float(100 * (values <= 0).mean()),
        minimum=float(values.min()),
        std_log=float(np.log(positive).std()) if positive.size else float("nan"),
    )


def _inside(grid: Geometry, other: Geometry) -> NDArray[np.bool_]:
    """Which points (k, j, i) of a grid lie in a voxel of another one."""
    matrix = other.inverse_affine @ grid.affine
    k, j, i = np.ogrid[tuple(slice(n) for n in grid.shape)]
    inside = np.ones(grid.shape, dtype=bool)
    for row, size in zip(matrix, other.size_ijk, strict=False):
        index = (row[0] * i).astype(np.float32) + (row[1] * j + row[2] * k + row[3]).astype(np.float32)
        inside &= (index >= -0.5) & (index <= size - 0.5)
    return inside


def repair_folding(field: DisplacementField, floor: float = 0.02, rounds: int = 50) -> tuple[DisplacementField, int]:
    """Smooth a displacement field just where its cells fold, until no corner's determinant lies below `floor`.

    Returns the field and the number of rounds that it took (0: it was left as it was). A student's field is a
    diffeomorphism up to its discretization; this mends the few cells that the discretization turns over. Smoothing is
    a mean over 3x3x3 neighbors, blended in around the cells; a field that still folds after `rounds` is returned so.
    """
    array = field.array
    for done in range(rounds + 1):
        determinants = compute_corner_determinants(DisplacementField(array, field.affine))
        folded = (determinants < floor).any(axis=0)
        if not folded.any() or done == rounds:
            break
        touched = np.zeros(array.shape[:3], dtype=bool)
        for k, j, i in product((0, 1), repeat=3):
            touched[_nodes(k), _nodes(j), _nodes(i)] |= folded
        weight = ndimage.uniform_filter(ndimage.binary_dilation(touched, iterations=2).astype(np.float32), 3)
        smooth = ndimage.uniform_filter(array, (3, 3, 3, 1), mode="nearest")
        array = array + weight[..., None] * (smooth - array)
    return (field if done == 0 else DisplacementField(array, field.affine)), done


def invert(
    field: DisplacementField, geometry: Geometry, iterations: int = 60, tolerance_mm: float = 0.01
) -> DisplacementField:
    """The displacement field moving -> fixed on a grid in moving space, by Newton's method at every node.

    Starts from the affine part of the field, so that large rotations converge. Raises InputError for a field that folds
    or cannot be inverted to `tolerance_mm` at the points that it reaches.
    """
    if (compute_corner_determinants(field) <= 0).any():
        raise InputError(_FOLDS)
    targets = geometry.points_mm.reshape(-1, 3)
    points = apply_affine(np.linalg.inv(_linear_part(field)), targets)
    errors = targets - field(points)
    for _ in range(iterations):
        active = np.abs(errors).max(axis=1) > tolerance_mm
        if not active.any():
            break
        points[active] += _newton_step(field, points[active], errors[active])
        errors[active] = targets[active] - field(points[active])
    if np.abs(errors[_covers(field, points)]).max(initial=0) > tolerance_mm:
        raise InputError(_FOLDS)
    return DisplacementField((points - targets).reshape(*geometry.shape, 3), geometry.affine)


def _newton_step(field: DisplacementField, points: FloatArray, errors: FloatArray) -> FloatArray:
    """Steps (n, 3) mm toward a smaller error, not longer than a cell of the field."""
    cell = float(field.geometry.spacing_mm.min())
    offsets = 0.05 * cell * np.eye(3)
    columns = [(field(points + offset) - field(points - offset)) / (0.1 * cell) for offset in offsets]
    steps = np.linalg.solve(np.stack(columns, axis=-1) + 1e-6 * np.eye(3), errors[..., None])[..., 0]
    lengths = np.linalg.norm(steps, axis=1, keepdims=True)
    return np.asarray(steps * np.minimum(1, cell / np.maximum(lengths, 1e-12)))


def _covers(field: DisplacementField, points: FloatArray) -> NDArray[np.bool_]:
    indices = apply_affine(field.geometry.inverse_affine, points)
    return np.asarray(((indices >= 0) & (indices <= field.geometry.size_ijk - 1)).all(-1))


def _linear_part(field: DisplacementField) -> FloatArray:
    """Least-squares affine 4x4 of x -> x + d(x) over the nodes of the field."""
    step = tuple(slice(None, None, max(1, n // 12)) for n in field.geometry.shape)
    points = field.geometry.points_mm[step].reshape(-1, 3)
    moved = points + field.array[step].reshape(-1, 3)
    solution = np.linalg.lstsq(np.c_[points, np.ones(len(points))], moved, rcond=None)[0]
    matrix = np.eye(4)
    matrix[:3] = solution.T
    return matrix
