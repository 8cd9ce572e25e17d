"""The voxel grid of an array in world coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

FloatArray = NDArray[np.floating[Any]]


MIN_SPACING_MM, MAX_SPACING_MM = 1e-8, 1000.0
"""Voxels of no scan are smaller or larger: an atom has 1e-7 mm. Chosen."""
MAX_DISTANCE_VOXELS = 1e6
"""Farther from the origin, 32-bit numbers, which places are computed with, are off by more than 0.06 voxels."""


def homogeneous(matrix: ArrayLike, offset: ArrayLike) -> FloatArray:
    """Return the 4x4 matrix of x -> matrix @ x + offset (matrix 3x3, offset 3)."""
    result = np.eye(4)
    result[:3, :3] = matrix
    result[:3, 3] = offset
    return result


def apply_affine(affine: FloatArray, points: ArrayLike) -> FloatArray:
    """Map points (..., 3) by a 4x4 matrix."""
    return np.asarray(points, dtype=np.float64) @ affine[:3, :3].T + affine[:3, 3]


def find_nearest_orthonormal(matrix: FloatArray) -> FloatArray:
    """Find the orthonormal matrix (3x3) nearest to a matrix (3x3), by polar decomposition.

    It is a rotation, or a rotation with a mirror image if the matrix mirrors.
    """
    left, _, right = np.linalg.svd(matrix)
    return np.asarray(left @ right)


@dataclass(frozen=True, eq=False)
class Geometry:
    """A voxel grid in the world: shape (k, j, i), slowest first, and the 4x4 matrix (i, j, k, 1) -> RAS mm.

    Raises InputError if the grid is not 3-D, has an empty axis, a spacing of zero, axes in one plane, or a matrix that
    is not finite.
    """

    shape: tuple[int, ...]
    affine: FloatArray

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        affine = np.array(self.affine, dtype=np.float64)
        if len(shape) != 3 or min(shape, default=0) < 1:
            raise InputError(f"A 3-D volume is needed, but the array has shape {shape}.")
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise InputError("The volume's geometry is not a finite 4x4 matrix: repair its header.")
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if lengths.min() <= 1e-9:
            raise InputError("The volume has an axis with zero spacing: repair its header.")
        if abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3:
            raise InputError("Two axes of the volume point the same way: repair its header.")
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @property
    def inverse_affine(self) -> FloatArray:
        """The 4x4 matrix RAS mm -> (i, j, k, 1)."""
        return np.linalg.inv(self.affine)

    @property
    def spacing_mm(self) -> FloatArray:
        """Distance between voxel centers along i, j, k, mm."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def size_ijk(self) -> FloatArray:
        """Number of voxels along i, j, k (the shape, reversed)."""
        return np.array(self.shape[::-1], dtype=np.float64)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel, mm³."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def center_mm(self) -> FloatArray:
        """The center of the grid, RAS mm."""
        return apply_affine(self.affine, (self.size_ijk - 1) / 2)

    @property
    def corners_mm(self) -> FloatArray:
        """The eight outer corners (voxel edges, half a voxel outside the centers), (8, 3) RAS mm."""
        unit = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(-1, 3)
        return apply_affine(self.affine, unit * self.size_ijk - 0.5)

    @property
    def points_mm(self) -> FloatArray:
        """The voxel centers, (k, j, i, 3) RAS mm."""
        k, j, i = np.meshgrid(*(np.arange(n) for n in self.shape), indexing="ij")
        return apply_affine(self.affine, np.stack([i, j, k], axis=-1))

    def contains(self, points_mm: ArrayLike) -> NDArray[np.bool_]:
        """Find the points (..., 3) RAS mm that lie in a voxel of the grid, up to its outer edges: booleans (...)."""
        indices = apply_affine(self.inverse_affine, points_mm)
        return np.asarray(((indices >= -0.5) & (indices <= self.size_ijk - 0.5)).all(-1))

    def matches(self, other: Geometry, tolerance_mm: float = 1e-3) -> bool:
        """Tell whether both grids have the same voxels: equal shape, and corners equal to within the tolerance."""
        return self.shape == other.shape and bool(np.abs(self.corners_mm - other.corners_mm).max() <= tolerance_mm)


def check_plausible(geometry: Geometry, name: str) -> None:
    """Raise InputError for voxels of a size that no scan has, or so far off that their places cannot be told apart."""
    for spacing in geometry.spacing_mm:
        if not MIN_SPACING_MM <= spacing <= MAX_SPACING_MM:
            raise InputError(
                f"{name}: a voxel spacing of {spacing:g} mm is not possible in a scan; repair the header (spacing and "
                "unit)."
            )
    distance = float(np.abs(geometry.corners_mm).max())
    if distance > MAX_DISTANCE_VOXELS * geometry.spacing_mm.min():
        raise InputError(
            f"{name}: the header places the volume {distance:g} mm from the origin, too far for exact positions of its "
            "voxels; repair the origin."
        )
