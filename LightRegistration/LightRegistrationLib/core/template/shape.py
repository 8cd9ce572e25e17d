"""The mean shape of a group: the map whose inverse brings a template into it.

After Guimond et al. (CVIU 2000): with the maps x -> y_s(x) from the template to each scan s, the mean of y_s is the map
from the template to the mean shape, and the mean image is brought there by its inverse. The maps are averaged as they
are (no logarithms). The pose of a scan says nothing about its shape, and the mean of rotations shrinks: each map is
therefore first freed of its rigid part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..deformation.folding import repair_folding, repair_margin
from ..deformation.inverse import invert
from ..deformation.tapering import taper_field
from ..geometry.geometry import FloatArray, Geometry, apply_affine, homogeneous
from ..geometry.transforms import AffineTransform, DisplacementField


def fit_affine(points_mm: FloatArray, mapped_mm: FloatArray) -> AffineTransform:
    """Fit an affine transform to points (n, 3) and where they are mapped, by least squares."""
    center = points_mm.mean(0)
    solution = np.linalg.lstsq(np.c_[points_mm - center, np.ones(len(points_mm))], mapped_mm, rcond=None)[0]
    matrix = solution[:3].T
    return AffineTransform(homogeneous(matrix, solution[3] - matrix @ center))


def find_rigid_part(affine: AffineTransform, center_mm: FloatArray) -> AffineTransform:
    """Find the rigid part of an affine transform A: A(x) = R(c + S (x - c)) with a symmetric positive definite S.

    center_mm: c (3), RAS mm. R is the rotation nearest to A, by polar decomposition, and takes c to A(c).
    """
    left, _, right = np.linalg.svd(affine.matrix[:3, :3])
    # Of a transform that mirrors, the mirroring stays in S: the nearest orthonormal matrix would not do.
    rotation = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    center = np.asarray(center_mm, dtype=np.float64)
    return AffineTransform(homogeneous(rotation, affine(center) - rotation @ center))


@dataclass(frozen=True, eq=False)
class MeanStretch:
    """The mean shape after affine maps from one scan to all: x -> c + S (x - c), with the mean S of their stretches."""

    transform: AffineTransform

    @classmethod
    def average(cls, affines: list[AffineTransform], center_mm: FloatArray) -> MeanStretch:
        """Average the affine maps of all scans, each without its rigid part about a center (3), RAS mm."""
        stretches = [find_rigid_part(a, center_mm).inverse().after(a).matrix for a in affines]
        return cls(AffineTransform(np.mean(stretches, axis=0)))

    def compose(self, affine: AffineTransform) -> AffineTransform:
        """Return the map from the mean shape to a scan."""
        return affine.after(self.transform.inverse())


class ShapeMean:
    """Sums up the maps from a template to the scans, one at a time.

    grid: of the maps. foreground: booleans (k, j, i), the nodes in the body; its rigid motion is taken out of each map.
    """

    def __init__(self, grid: Geometry, foreground: NDArray[np.bool_]) -> None:
        self._grid = grid
        self._points = grid.points_mm
        self._foreground = foreground
        self._center = self._points[foreground].mean(0)
        self._total = np.zeros((*grid.shape, 3))
        self._count = 0

    def add(self, displacements: NDArray) -> float:
        """Add the map of one scan, as displacements (k, j, i, 3), mm; returns the size of the scan.

        The size is the edge of a cube of the scan, of a cube of edge 1 in the template.
        """
        mapped = self._points + displacements
        affine = fit_affine(self._points[self._foreground], mapped[self._foreground])
        rigid = find_rigid_part(affine, self._center)
        self._total += rigid.inverse()(mapped) - self._points
        self._count += 1
        return float(abs(np.linalg.det(affine.matrix[:3, :3])) ** (1 / 3))

    def compute(self) -> DisplacementField:
        """Compute the map from the template to the mean shape of the scans."""
        mean = DisplacementField((self._total / self._count).astype(np.float32), self._grid.affine)
        return repair_folding(mean)[0]

    def measure_rms_mm(self, mean: DisplacementField) -> float:
        """Measure how far the template is from the mean shape: the root of the mean squared displacement, mm."""
        return float(np.sqrt(np.square(mean.array[self._foreground], dtype=np.float64).sum(-1).mean()))


def invert_mean(mean: DisplacementField, view: Geometry) -> DisplacementField:
    """Invert the map from the template to the mean shape, on the same grid. view: the template's grid."""
    return invert(mean, mean.geometry, view=view)


def compose(displacements: NDArray, inverse: DisplacementField, view: Geometry) -> DisplacementField:
    """Compose the map from the mean shape to the template and that from the template to a scan.

    displacements: of the second (k, j, i, 3), mm, on the grid of the first. view: the grid of the image in the mean
    shape; beyond it the map falls to the affine transform that is nearest to it.
    """
    grid = inverse.geometry
    points = grid.points_mm
    mapped = DisplacementField(displacements.astype(np.float32), grid.affine)(points + inverse.array)
    is_inside = view.contains(points)
    outside = fit_affine(points[is_inside], mapped[is_inside])
    field = taper_field(DisplacementField((mapped - points).astype(np.float32), grid.affine), outside, view)
    return repair_margin(field, view)[0]


def make_affine_field(affine: AffineTransform, grid: Geometry) -> DisplacementField:
    """Sample an affine map on the outermost nodes of a grid, between which it is exact."""
    k, j, i = (max(n - 1, 1) for n in grid.shape)
    corners = Geometry((2, 2, 2), grid.affine @ np.diag([i, j, k, 1.0]))
    points = apply_affine(corners.affine, np.indices((2, 2, 2)).transpose(1, 2, 3, 0)[..., ::-1])
    return DisplacementField((affine(points) - points).astype(np.float32), corners.affine)
