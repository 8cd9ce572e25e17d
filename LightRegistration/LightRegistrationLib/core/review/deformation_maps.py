"""Maps of a displacement field: how far each voxel of a volume moves, and its Jacobian determinant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry.geometry import FloatArray, Geometry, apply_affine, homogeneous
from ..geometry.transforms import DisplacementField
from ..parts import Parts, do_at_once
from .settings import REVIEW

_SLICES_AT_ONCE = 16
_PART_VOXELS = 1 << 18
"""Voxels or cells that are looked at in one part. Chosen, so that it takes a few ten milliseconds."""


@dataclass(frozen=True, eq=False)
class DeformationMaps:
    """Maps on one grid, float32 (k, j, i).

    lengths_mm: length of the displacement fixed -> moving at the voxel's center. determinants: of that map's derivative
    there, more than 1 where the tissue is larger in the moving volume; where a cell of the field folds, its smallest
    determinant, 0 or less.
    """

    geometry: Geometry
    lengths_mm: FloatArray
    determinants: FloatArray


def compute_deformation_maps(field: DisplacementField, volume: Geometry) -> DeformationMaps:
    """Compute the maps of a field fixed -> moving on the grid of the fixed volume, or a coarser one if that is large.

    No folded cell whose center lies in the volume is lost on a coarser grid.
    """
    return do_at_once(compute_deformation_maps_in_parts(field, volume))


def compute_deformation_maps_in_parts(field: DisplacementField, volume: Geometry) -> Parts[DeformationMaps]:
    """Do `compute_deformation_maps` in parts of some slices."""
    geometry = coarsen_geometry(volume, REVIEW.most_map_voxels)
    lengths, determinants = np.empty((2, *geometry.shape), dtype=np.float32)
    slices = max(1, _PART_VOXELS // (geometry.shape[1] * geometry.shape[2]))
    for k in range(geometry.shape[0]):
        lengths[k], determinants[k] = _sample_slice(field, geometry, k)
        if k % slices == slices - 1:
            yield
    yield from _mark_folds(determinants, geometry, field)
    return DeformationMaps(geometry, lengths, determinants)


def coarsen_geometry(geometry: Geometry, most_voxels: int) -> Geometry:
    """Return the grid itself, or one of longer voxel edges and at most so many voxels that covers the same box."""
    extent_mm = geometry.size_ijk * geometry.spacing_mm
    edge_mm = float(geometry.spacing_mm.min())
    counts = geometry.size_ijk
    while counts.prod() > most_voxels:
        edge_mm *= 1.02
        counts = np.ceil(extent_mm / np.maximum(geometry.spacing_mm, edge_mm) - 1e-6)
    steps = geometry.size_ijk / counts
    affine = geometry.affine @ homogeneous(np.diag(steps), (steps - 1) / 2)
    return Geometry((int(counts[2]), int(counts[1]), int(counts[0])), affine)


def _sample_slice(field: DisplacementField, geometry: Geometry, k: int) -> tuple[FloatArray, FloatArray]:
    """Return the length of the displacement, mm, and the determinant of the trilinear field in one slice (j, i)."""
    indices = _find_indices(field.geometry, geometry, k)
    displacements, slopes = _interpolate(field.array, indices)
    axes = field.affine[:3, :3]
    determinants = _compute_determinants(slopes + axes[:, :, None, None].astype(np.float32)) / np.linalg.det(axes)
    if field.outside is not None:
        beyond = np.zeros(geometry.shape[1:], dtype=bool)
        for index, size in zip(indices, field.geometry.size_ijk, strict=True):
            beyond |= (index < 0) | (index > size - 1)
        j, i = np.nonzero(beyond)
        points = apply_affine(geometry.affine, np.stack([i, j, np.full_like(i, k)], axis=-1))
        displacements[:, beyond] = (field.outside(points) - points).T
        determinants[beyond] = np.linalg.det(field.outside.matrix[:3, :3])
    return np.sqrt(np.einsum("c...,c...->...", displacements, displacements)), determinants


def _find_indices(grid: Geometry, geometry: Geometry, k: int) -> FloatArray:
    """Return the voxel coordinates i, j, k in a grid, float32 (3, j, i), of one slice of another grid."""
    matrix = (grid.inverse_affine @ geometry.affine)[:3]
    j, i = np.ogrid[: geometry.shape[1], : geometry.shape[2]]
    rows = [row[0] * i + (row[1] * j + row[2] * k + row[3]) for row in matrix]
    # Rounding must not put the voxels of a grid of the same nodes beyond its border.
    return np.round(np.stack(rows), 4).astype(np.float32)


def _interpolate(array: FloatArray, indices: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Interpolate (k, j, i, 3) at voxel coordinates i, j, k (3, ...), trilinear; beyond the border it is repeated.

    Returns the values (3, ...) and the slopes per node (3, axis i, j, k, ...).
    """
    size = np.array(array.shape[2::-1]).reshape(3, *[1] * (indices.ndim - 1))
    clipped = np.clip(indices, 0, size - 1)
    first = np.minimum(clipped.astype(np.int64), np.maximum(size - 2, 0))
    f, g, h = clipped - first
    strides = (1, array.shape[2], array.shape[2] * array.shape[1])
    steps = [stride if n > 1 else 0 for stride, n in zip(strides, array.shape[2::-1], strict=True)]
    start = first[0] + strides[1] * first[1] + strides[2] * first[2]
    values = np.empty_like(indices)
    slopes = np.empty((3, *indices.shape), dtype=np.float32)
    for component in range(3):
        flat = array.reshape(-1, 3)[:, component]
        planes = []
        for step_k in (0, steps[2]):
            (low, low_slope), (high, high_slope) = (
                _interpolate_row(flat, start + (step_k + step_j), steps[0], f) for step_j in (0, steps[1])
            )
            planes.append((low + g * (high - low), low_slope + g * (high_slope - low_slope), high - low))
        (near, near_i, near_j), (far, far_i, far_j) = planes
        values[component] = near + h * (far - near)
        slopes[component] = near_i + h * (far_i - near_i), near_j + h * (far_j - near_j), far - near
    slopes *= clipped == indices
    return values, slopes


def _interpolate_row(
    values: FloatArray, start: NDArray[np.int64], step: int, fraction: FloatArray
) -> tuple[FloatArray, FloatArray]:
    near = values[start]
    slope = values[start + step] - near
    return near + fraction * slope, slope


def _compute_determinants(m: FloatArray) -> FloatArray:
    """Compute the determinants of matrices (3, 3, ...)."""
    return np.asarray(
        m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
        - m[0, 1] * (m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0])
        + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
    )


def _mark_folds(determinants: FloatArray, geometry: Geometry, field: DisplacementField) -> Parts[None]:
    """Lower the determinants to the smallest of the folded cell around a voxel, or of those with their center in it."""
    cells, values = yield from _find_folded_cells_in_parts(field)
    if not len(cells):
        return
    centers = apply_affine(field.affine, cells[:, ::-1] + 0.5)
    voxels = np.floor(apply_affine(geometry.inverse_affine, centers) + 0.5).astype(np.int64)[:, ::-1]
    inside = ((voxels >= 0) & (voxels < geometry.shape)).all(axis=1)
    np.minimum.at(determinants, tuple(voxels[inside].T), values[inside])
    worst = np.full([n - 1 for n in field.array.shape[:3]], np.inf, dtype=np.float32)
    worst[tuple(cells.T)] = values
    for k in range(geometry.shape[0]):
        around = np.floor(_find_indices(field.geometry, geometry, k)).astype(np.int64)[::-1]
        sizes = np.array(worst.shape)[:, None, None]
        in_field = ((around >= 0) & (around < sizes)).all(axis=0)
        found = worst[tuple(around[:, in_field])]
        determinants[k][in_field] = np.minimum(determinants[k][in_field], found)


def find_folded_cells(field: DisplacementField) -> tuple[NDArray[np.int64], FloatArray]:
    """Find the cells of a field with a determinant of 0 or less at a corner.

    Returns their indices (n, 3) in the order k, j, i and the smallest determinant of each (n).
    """
    return do_at_once(_find_folded_cells_in_parts(field))


def _find_folded_cells_in_parts(field: DisplacementField) -> Parts[tuple[NDArray[np.int64], FloatArray]]:
    residual = field.array if field.outside is None else field.compute_residual()
    scale = 1.0 if field.outside is None else float(np.linalg.det(field.outside.matrix[:3, :3]))
    to_cells = np.linalg.inv(field.affine[:3, :3]).astype(np.float32)
    cells, values = [np.empty((0, 3), dtype=np.int64)], [np.empty(0, dtype=np.float32)]
    done = 0
    for first in range(0, len(residual) - 1, _SLICES_AT_ONCE):
        slab = residual[first : first + _SLICES_AT_ONCE + 1]
        steep = _may_fold(slab, field.geometry.spacing_mm)
        suspects = np.argwhere(steep)
        smallest = _find_smallest_determinants(slab, suspects, to_cells) * scale
        folded = smallest <= 0
        cells.append(suspects[folded] + (first, 0, 0))
        values.append(smallest[folded])
        done += steep.size
        if done >= _PART_VOXELS:
            done = 0
            yield
    return np.concatenate(cells), np.concatenate(values)


def _may_fold(displacements: FloatArray, spacing_mm: FloatArray) -> NDArray[np.bool_]:
    """Find the cells that may fold: with an edge along which the displacement changes by 1 / sqrt(3) of its length.

    Elsewhere the Frobenius norm of the displacement's derivative is below 1, so that no determinant is 0.
    """
    steep = np.zeros([n - 1 for n in displacements.shape[:3]], dtype=bool)
    for axis, spacing in enumerate(spacing_mm[::-1]):
        change = np.diff(displacements, axis=axis)
        edges = np.einsum("...c,...c->...", change, change) >= spacing**2 / 3
        for other in {0, 1, 2} - {axis}:
            n = edges.shape[other]
            edges = edges.take(range(n - 1), other) | edges.take(range(1, n), other)
        steep |= edges
    return steep


def _find_smallest_determinants(
    displacements: FloatArray, cells: NDArray[np.int64], to_cells: FloatArray
) -> FloatArray:
    """Return the smallest determinant of cells (n, 3: k, j, i) over their 8 corners. to_cells: 3x3, mm -> cells."""
    offsets = np.array(np.meshgrid((0, 1), (0, 1), (0, 1), indexing="ij")).reshape(3, -1).T
    nodes = tuple((cells[:, None] + offsets).transpose(2, 0, 1))
    corners = np.moveaxis(displacements[nodes] @ to_cells.T, -1, 0).reshape(3, -1, 2, 2, 2)
    smallest = np.full(len(cells), np.inf, dtype=np.float32)
    for k, j, i in offsets:
        along = (
            corners[:, :, k, j, 1] - corners[:, :, k, j, 0],
            corners[:, :, k, 1, i] - corners[:, :, k, 0, i],
            corners[:, :, 1, j, i] - corners[:, :, 0, j, i],
        )
        matrices = np.stack(along, axis=1) + np.eye(3, dtype=np.float32)[:, :, None]
        smallest = np.minimum(smallest, _compute_determinants(matrices))
    return smallest
