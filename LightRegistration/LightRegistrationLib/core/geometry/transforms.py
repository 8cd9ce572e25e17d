"""Spatial transforms as immutable values: affine matrices and displacement fields, fixed -> moving, RAS mm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import map_coordinates

from ..errors import InputError
from .geometry import FloatArray, Geometry, apply_affine
from .volume import make_read_only


@dataclass(frozen=True, eq=False)
class AffineTransform:
    """A 4x4 matrix that maps fixed points to moving points, RAS mm. Raises InputError unless it is invertible."""

    matrix: FloatArray

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise InputError("An affine transform is a finite 4x4 matrix.")
        matrix[3] = 0, 0, 0, 1
        if abs(np.linalg.det(matrix[:3, :3])) < 1e-6:
            raise InputError("The affine transform flattens space (its determinant is 0); choose another one.")
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def identity(cls) -> AffineTransform:
        """Return the identity."""
        return cls(np.eye(4))

    def __call__(self, points_mm: ArrayLike) -> FloatArray:
        """Map fixed points (..., 3) RAS mm to moving points RAS mm."""
        return apply_affine(self.matrix, points_mm)

    def inverse(self) -> AffineTransform:
        """Return the transform moving -> fixed."""
        return AffineTransform(np.linalg.inv(self.matrix))

    def after(self, first: AffineTransform) -> AffineTransform:
        """Return the transform x -> self(first(x))."""
        return AffineTransform(self.matrix @ first.matrix)


@dataclass(frozen=True, eq=False)
class DisplacementField:
    """A dense displacement field: the fixed point x mm corresponds to the moving point x + d(x) mm.

    array: float32 (k, j, i, 3), components R, A, S in mm. affine: 4x4 (i, j, k, 1) -> RAS mm of the field's own grid,
    whose axes are orthogonal (transform files cannot store sheared grids). Between its nodes the field is trilinear.
    Raises InputError for another shape, for values that are not finite, and for a sheared grid.
    """

    array: FloatArray
    affine: FloatArray

    def __post_init__(self) -> None:
        array = np.asarray(self.array, dtype=np.float32)
        if array.ndim != 4 or array.shape[3] != 3:
            raise InputError(f"A displacement field has shape (k, j, i, 3), got {array.shape}.")
        if not np.isfinite(array).all():
            raise InputError("The displacement field holds values that are not finite.")
        geometry = Geometry(array.shape[:3], self.affine)
        axes = geometry.affine[:3, :3] / geometry.spacing_mm
        if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-4:
            raise InputError("The grid of a displacement field must have orthogonal axes.")
        object.__setattr__(self, "array", make_read_only(array))
        object.__setattr__(self, "affine", geometry.affine)

    @property
    def geometry(self) -> Geometry:
        """The grid that the displacements lie on."""
        return Geometry(self.array.shape[:3], self.affine)

    def __call__(self, points_mm: ArrayLike) -> FloatArray:
        """Map fixed points (..., 3) RAS mm to moving points; outside the grid the nearest displacement is used."""
        points = np.asarray(points_mm, dtype=np.float64)
        indices = apply_affine(self.geometry.inverse_affine, points)[..., ::-1].reshape(-1, 3).T
        columns = [map_coordinates(self.array[..., c], indices, order=1, mode="nearest") for c in range(3)]
        return points + np.stack(columns, axis=-1).reshape(points.shape)
