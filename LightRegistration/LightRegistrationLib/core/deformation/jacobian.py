"""The Jacobian determinant of a displacement field."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry.geometry import FloatArray, Geometry, homogeneous
from ..geometry.transforms import DisplacementField
from ..result.result import JacobianSummary
from ..threads import run_in_threads, split_range

_PERCENTILE_STEP = 7
"""Percentiles are those of every seventh determinant, which takes a seventh of the time; odd, so that all columns of a
grid with even axes are among them. Chosen, not measured."""

_SLAB_NODES = 20_000
"""Determinants are computed for slabs of about so many nodes: few calls, and arrays that stay in the cache. Chosen
between slabs of one and of sixteen slices: `light-registration profile` (Jacobian determinants)."""


def compute_corner_determinants(field: DisplacementField) -> FloatArray:
    """Compute the Jacobian determinants of x -> x + d(x) at the 8 corners of each cell of the trilinear field.

    Returns float32 (8, k - 1, j - 1, i - 1). At each corner the one-sided differences along the three cell edges are
    used. Central differences would average folding away.
    """
    return compute_determinants(field.array, field.affine)


def compute_determinants(displacements_mm: FloatArray, affine: FloatArray) -> FloatArray:
    """Compute as `compute_corner_determinants`; displacements_mm: (k, j, i, 3) float32, affine: 4x4 of their grid."""
    shape = displacements_mm.shape[:3]
    to_cells = np.linalg.inv(affine[:3, :3]).astype(np.float32)
    result = np.empty((8, *(n - 1 for n in shape)), dtype=np.float32)
    parts = split_range(shape[0] - 1, min(torch.get_num_threads(), max(1, shape[0] - 1)))
    step = max(1, _SLAB_NODES // max(1, shape[1] * shape[2]))

    def work(number: int) -> None:
        part = parts[number]
        for k in part[::step]:
            last = min(k + step, part.stop)
            in_cells = np.ascontiguousarray(np.moveaxis(displacements_mm[k : last + 1] @ to_cells.T, -1, 0))
            _compute_slab_determinants(in_cells, result[:, k:last])

    run_in_threads(work, len(parts))
    return result


def _compute_slab_determinants(displacements: FloatArray, result: FloatArray) -> None:
    """Fill in (8, k - 1, j - 1, i - 1) for the cells of a slab; displacements: (3, k, j, i) in cells."""
    along_i, along_j, along_k = (np.diff(displacements, axis=axis) for axis in (3, 2, 1))
    for axis, differences in enumerate((along_i, along_j, along_k)):
        differences[axis] += 1
    for corner, (k, j, i) in enumerate(product((0, 1), repeat=3)):
        a = along_i[:, get_corner_nodes(k), get_corner_nodes(j)]
        b = along_j[:, get_corner_nodes(k), :, get_corner_nodes(i)]
        c = along_k[:, :, get_corner_nodes(j), get_corner_nodes(i)]
        result[corner] = (
            a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])
        )


def get_corner_nodes(corner: int) -> slice:
    """Return the nodes of one axis that are the first (0) or the last (1) corner of a cell."""
    return slice(1, None) if corner else slice(None, -1)


def summarize_jacobian(field: DisplacementField, geometry: Geometry) -> JacobianSummary:
    """Summarize the determinants at the corners of all cells whose center lies inside the fixed volume's `geometry`.

    Raises InputError if there is no such cell.
    """
    determinants = compute_corner_determinants(field)
    centers = Geometry(determinants.shape[1:], field.affine @ homogeneous(np.eye(3), (0.5, 0.5, 0.5)))
    values = determinants[:, _find_inside(centers, geometry)].ravel()
    if values.size == 0:
        raise InputError("The displacement field does not cover the fixed volume.")
    minimum = float(values.min())
    positive = values if minimum > 0 else values[values > 0]
    low, high = np.percentile(values[::_PERCENTILE_STEP], (1, 99))
    return JacobianSummary(
        percent_nonpositive=100 * (1 - positive.size / values.size),
        minimum=minimum,
        std_log=float(np.log(positive).std()) if positive.size else float("nan"),
        percentile_1=float(low),
        percentile_99=float(high),
    )


def _find_inside(grid: Geometry, other: Geometry) -> NDArray[np.bool_]:
    """Find the points (k, j, i) of a grid that lie in a voxel of another grid."""
    matrix = other.inverse_affine @ grid.affine
    k, j, i = np.ogrid[tuple(slice(n) for n in grid.shape)]
    inside = np.ones(grid.shape, dtype=bool)
    for row, size in zip(matrix, other.size_ijk, strict=False):
        index = (row[0] * i).astype(np.float32) + (row[1] * j + row[2] * k + row[3]).astype(np.float32)
        inside &= (index >= -0.5) & (index <= size - 0.5)
    return inside
