"""Spatial transforms as immutable values: affine matrices and displacement fields, fixed -> moving, RAS mm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .geometry import FloatArray, Geometry, apply_affine, find_nearest_orthonormal, homogeneous
from .volume import make_read_only


@dataclass(frozen=True, eq=False)
class AffineTransform:
    """A 4x4 matrix that maps fixed points to moving points, RAS mm. Raises InputError unless it is invertible.

    name: of the file or node that it comes from, for the report.
    """

    matrix: FloatArray
    name: str = ""

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

    def displace(self, geometry: Geometry, displacements: FloatArray) -> FloatArray:
        """Compute x -> self(x + d(x)) - x at the voxels x of a grid; displacements d: (k, j, i, 3), RAS mm."""
        steps = (self.matrix - np.eye(4)) @ geometry.affine
        k, j, i = (np.arange(n)[:, None] * steps[:3, axis] for n, axis in zip(geometry.shape, (2, 1, 0), strict=True))
        in_plane = j[:, None] + i + steps[:3, 3]
        result = np.empty((*geometry.shape, 3))
        # Slice by slice, because they stay in the processor's cache: five times as fast.
        for number, step in enumerate(k):
            np.matmul(displacements[number], self.matrix[:3, :3].T, out=result[number])
            result[number] += in_plane + step
        return result

    def after(self, first: AffineTransform) -> AffineTransform:
        """Return the transform x -> self(first(x))."""
        return AffineTransform(self.matrix @ first.matrix)


@dataclass(frozen=True, eq=False)
class DisplacementField:
    """A dense displacement field: the fixed point x mm corresponds to the moving point x + d(x) mm.

    array: float32 (k, j, i, 3), components R, A, S in mm. affine: 4x4 (i, j, k, 1) -> RAS mm of the field's own grid,
    whose axes are orthogonal (transform files cannot store sheared grids). Between its nodes the field is trilinear.
    outside: the transform of points outside the grid; the displacements at the border are those of this transform
    (`core.deformation.tapering`). None: outside the grid the displacement at its border is repeated.
    residual: what `compute_residual` returns, float32, where it was computed before.
    Raises InputError for another shape, for values that are not finite, for a sheared grid, and if the displacements at
    the border are not those of `outside`.
    """

    array: FloatArray
    affine: FloatArray
    outside: AffineTransform | None = None
    residual: FloatArray | None = field(default=None, repr=False)

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
        if self.outside is not None and _measure_border_gap(geometry, array, self.outside) > _MAX_BORDER_GAP_MM:
            raise InputError("The displacement field does not end in an affine transform at the border of its grid.")
        if self.residual is not None:
            object.__setattr__(self, "residual", make_read_only(self.residual))

    @property
    def geometry(self) -> Geometry:
        """The grid that the displacements lie on."""
        return Geometry(self.array.shape[:3], self.affine)

    def __call__(self, points_mm: ArrayLike) -> FloatArray:
        """Map fixed points (..., 3) RAS mm to moving points; see `outside` for points beyond the grid."""
        # SciPy takes a second to import, and the command line's help needs none of it.
        from scipy.ndimage import map_coordinates

        points = np.asarray(points_mm, dtype=np.float64)
        indices = apply_affine(self.geometry.inverse_affine, points)[..., ::-1].reshape(-1, 3).T
        columns = [map_coordinates(self.array[..., c], indices, order=1, mode="nearest") for c in range(3)]
        mapped = points + np.stack(columns, axis=-1).reshape(points.shape)
        if self.outside is None:
            return mapped
        last = np.array(self.array.shape[:3])[:, None] - 1
        is_outside = np.asarray(((indices < 0) | (indices > last)).any(axis=0)).reshape(points.shape[:-1])
        return np.where(is_outside[..., None], self.outside(points), mapped)

    def compute_residual(self) -> FloatArray:
        """Compute the displacements u (k, j, i, 3), mm, of x -> outside(x + u(x)), the same map; 0 at the border.

        Raises ValueError if there is no transform outside.
        """
        if self.residual is not None:
            return self.residual
        residual = self.get_outside().inverse().displace(self.geometry, self.array)
        for face in find_border_faces():
            residual[face] = 0  # removes the rounding of the float32 displacements
        return residual

    def with_residual(self) -> DisplacementField:
        """Return the same field with its residual, so that later use does not wait for it."""
        if self.outside is None:
            return self
        return replace(self, residual=self.compute_residual().astype(np.float32))

    def compute_inverse_grid(self) -> Geometry:
        """Compute a grid in moving space, of the field's spacing, that encloses the mapped grid of the field.

        Outside it the inverse map is the inverse of `outside`. Raises ValueError if there is no transform outside.
        """
        outside = self.get_outside()
        spacing_mm = self.geometry.spacing_mm
        matrix = find_nearest_orthonormal(outside.matrix[:3, :3] @ (self.affine[:3, :3] / spacing_mm)) * spacing_mm
        corners = outside(self.geometry.corners_mm) @ np.linalg.inv(matrix).T
        low, high = corners.min(0), corners.max(0)
        size = np.ceil(high - low).astype(int) + 1
        return Geometry((int(size[2]), int(size[1]), int(size[0])), homogeneous(matrix, matrix @ low))

    def get_outside(self) -> AffineTransform:
        """Return the transform outside the grid. Raises ValueError if there is none."""
        if self.outside is None:
            raise ValueError("the field has no transform outside its grid")
        return self.outside


_MAX_BORDER_GAP_MM = 0.01


def find_border_faces() -> Iterator[tuple[slice, slice, slice]]:
    """Yield the slices of each of the six faces of an array (k, j, i, ...)."""
    for axis in range(3):
        for side in (slice(0, 1), slice(-1, None)):
            k, j, i = (side if a == axis else slice(None) for a in range(3))
            yield k, j, i


def _measure_border_gap(geometry: Geometry, array: FloatArray, outside: AffineTransform) -> float:
    """Measure the largest distance, mm, between the points of the border mapped by the field and by the transform."""
    gaps = []
    for face in find_border_faces():
        k, j, i = (np.arange(n)[part] for n, part in zip(geometry.shape, face, strict=True))
        indices = np.stack(np.meshgrid(k, j, i, indexing="ij")[::-1], axis=-1)
        points = apply_affine(geometry.affine, indices)
        gaps.append(np.abs(points + array[face] - outside(points)).max())
    return float(max(gaps))
