"""A built-in pair to register: two scans of one head, the second one deformed in a known way.

The moving scan is no warped copy of the fixed one: the anatomy is evaluated at every deformed point, on another grid,
with other noise and shading, so that the known deformation is exact and nothing is interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...core.deformation.tapering import taper_field
from ...core.geometry.geometry import FloatArray, Geometry, apply_affine, homogeneous
from ...core.geometry.transforms import AffineTransform, DisplacementField
from ...core.geometry.volume import Segment, Segmentation, Volume
from .anatomy import LABEL_NAMES, LEFT_TO_RIGHT, Anatomy, evaluate_anatomy


@dataclass(frozen=True, eq=False)
class PhantomPair:
    """Two scans, their structures, and the truth: true_field maps fixed to moving points (RAS mm).

    inside_head: booleans (k, j, i) on the fixed grid, where the images show the true deformation.
    """

    fixed: Volume
    moving: Volume
    fixed_segmentation: Segmentation
    moving_segmentation: Segmentation
    true_field: DisplacementField
    inside_head: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class HeadDeformation:
    """The map of moving points (RAS mm) to the fixed anatomy: a rotation and shift after a smooth local deformation.

    It is a sum of n Gaussian bumps. centers_mm: (n, 3). pushes_mm: displacement at each center, (n, 3). widths_mm:
    standard deviations (n,). swelling (n,): how much each bump shrinks the mapped points; the structure in the moving
    scan is then larger.
    """

    rotation: FloatArray
    shift_mm: FloatArray
    centers_mm: FloatArray
    pushes_mm: FloatArray
    widths_mm: FloatArray
    swelling: FloatArray

    @classmethod
    def draw(cls, seed: int) -> HeadDeformation:
        """Draw a deformation of up to about a centimeter, a rotation of some degrees, a shift of some centimeters."""
        generator = np.random.default_rng(1000 + seed)
        count = 14
        centers_mm = generator.normal(size=(count, 3)) * (38, 48, 36)
        pushes_mm = generator.normal(size=(count, 3)) * 4.0
        widths = generator.uniform(24, 36, size=count)
        swelling = generator.uniform(-0.10, 0.10, size=count)
        # The size of the ventricles differs most between people.
        centers_mm[:2], pushes_mm[:2], widths[:2], swelling[:2] = ((12, 2, 14), (-12, 2, 14)), 0, 16, -0.14
        angles = np.radians(generator.uniform(-1, 1, size=3) * (7, 5, 8))
        shift = generator.uniform(-1, 1, size=3) * (9, 14, 11)
        return cls(_make_rotation(angles), shift, centers_mm, pushes_mm, widths, swelling)

    def find_anatomy_points(self, moving_mm: FloatArray) -> FloatArray:
        """Map points (..., 3) of the moving scan to points of the fixed anatomy, RAS mm."""
        points = np.asarray(moving_mm)
        kind = points.dtype.type
        rigid = (points - self.shift_mm.astype(kind)) @ self.rotation.astype(kind)
        return rigid + self._compute_local(rigid)

    def find_moving_points(self, fixed_mm: FloatArray) -> FloatArray:
        """The inverse of `find_anatomy_points`, by fixed-point iteration; exact to 0.001 mm."""
        target = np.asarray(fixed_mm, dtype=np.float64)
        rigid = target.copy()
        unsettled = np.ones(target.shape[:-1], dtype=bool)
        for _ in range(60):
            step = target[unsettled] - self._compute_local(rigid[unsettled]) - rigid[unsettled]
            rigid[unsettled] += step
            unsettled[unsettled] = np.abs(step).max(-1) >= 5e-4
            if not unsettled.any():
                break
        return rigid @ self.rotation.T + self.shift_mm

    def _compute_local(self, points: FloatArray) -> FloatArray:
        result = np.zeros_like(points)
        terms = zip(self.centers_mm, self.pushes_mm, self.widths_mm, self.swelling, strict=True)
        for center, push, width, swelling in terms:
            offset = points - center.astype(points.dtype)
            weight = np.exp(np.einsum("...c,...c->...", offset, offset) * points.dtype.type(-0.5 / width**2))[..., None]
            result += weight * (push.astype(points.dtype) + points.dtype.type(swelling) * offset)
        return result


def make_phantom_pair(seed: int = 0, spacing_mm: float = 1.5) -> PhantomPair:
    """Make a pair of head scans; the same seed gives the same pair.

    spacing_mm: voxel size of the fixed scan (isotropic, tilted); the moving one has thinner voxels in thicker slices,
    the opposite axis order, and another field of view. 1.5 mm gives about 120 voxels along an axis.
    """
    generator = np.random.default_rng(2000 + seed)
    fixed_grid = _make_grid(
        (166, 202, 178), (spacing_mm,) * 3, (0, -2, -6), _make_rotation(np.radians((8.0, 3.0, -4.0)))
    )
    deformation = HeadDeformation.draw(seed)
    thin = spacing_mm / 1.5
    moving_center = tuple(deformation.shift_mm + (2.0, -4.0, -2.0))
    flip = np.diag((-1.0, -1.0, 1.0))
    moving_grid = _make_grid((172, 206, 168), (1.3 * thin, 1.3 * thin, 2.0 * thin), moving_center, flip)

    fixed = evaluate_anatomy(_list_points(fixed_grid), seed)
    moving = evaluate_anatomy(deformation.find_anatomy_points(_list_points(moving_grid)), seed)
    return PhantomPair(
        fixed=_simulate_scan(fixed, fixed_grid, "fixed", 1000, np.dtype(np.int16), generator),
        moving=_simulate_scan(moving, moving_grid, "moving", 640, np.dtype(np.uint16), generator),
        fixed_segmentation=_make_segmentation(fixed, fixed_grid, "fixed segmentation"),
        moving_segmentation=_make_segmentation(moving, moving_grid, "moving segmentation"),
        true_field=_sample_true_field(deformation, fixed_grid),
        inside_head=fixed.head,
    )


def make_head(seed: int, spacing_mm: float) -> tuple[Volume, Segmentation]:
    """Make a head: all seeds share one anatomy and differ in shape, pose, noise and shading.

    spacing_mm: voxel size, isotropic. Returns the scan and its structures, always the same for a seed and a spacing.
    """
    generator = np.random.default_rng(3000 + seed)
    shape = HeadDeformation.draw(seed)
    center = tuple(shape.shift_mm + generator.uniform(-4, 4, size=3) + (0.0, -2.0, -6.0))
    grid = _make_grid((176, 208, 184), (spacing_mm,) * 3, center, np.eye(3))
    anatomy = evaluate_anatomy(shape.find_anatomy_points(_list_points(grid)))
    scan = _simulate_scan(anatomy, grid, f"head {seed}", generator.uniform(600, 1400), np.dtype(np.int16), generator)
    return scan, _make_segmentation(anatomy, grid, f"head {seed} structures")


def _make_rotation(angles: FloatArray) -> FloatArray:
    """The rotation matrix of angles (radians) about the right, anterior and superior axis, in this order."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def _make_grid(
    extent_mm: tuple[float, ...], spacing_mm: tuple[float, ...], center_mm: tuple[float, ...], axes: FloatArray
) -> Geometry:
    size = np.round(np.divide(extent_mm, spacing_mm)).astype(int)
    matrix = axes * np.array(spacing_mm)
    return Geometry(tuple(size[::-1]), homogeneous(matrix, np.array(center_mm) - matrix @ ((size - 1) / 2)))


def _list_points(grid: Geometry) -> NDArray[np.float32]:
    k, j, i = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in grid.shape), indexing="ij", sparse=True)
    affine = grid.affine.astype(np.float32)
    return np.stack([affine[r, 0] * i + affine[r, 1] * j + affine[r, 2] * k + affine[r, 3] for r in range(3)], -1)


def _simulate_scan(
    anatomy: Anatomy, grid: Geometry, name: str, white: float, dtype: np.dtype, generator: np.random.Generator
) -> Volume:
    """Simulate a scan of the anatomy: shading of the receive coil, gain, and Rician noise."""
    k, j, i = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in grid.shape), indexing="ij", sparse=True)
    a, b, c, d, e = generator.uniform(-0.13, 0.13, size=5).astype(np.float32)
    signal = anatomy.brightness * np.exp(a * i + b * j + c * k + d * i * j + e * k * k)
    noise = generator.standard_normal((2, *grid.shape), dtype=np.float32) * np.float32(0.022)
    magnitude = np.hypot(signal + noise[0], noise[1]) * white
    return Volume(np.round(magnitude).astype(dtype), grid.affine, name)


def _make_segmentation(anatomy: Anatomy, grid: Geometry, name: str) -> Segmentation:
    right = {r: left for left, r in LEFT_TO_RIGHT.items()}
    segments = []
    for value in np.unique(anatomy.labels[anatomy.labels > 0]).tolist():
        side = "Left " if value in LEFT_TO_RIGHT else "Right " if value in right else ""
        segments.append(Segment(side + LABEL_NAMES[right.get(value, value)], value))
    return Segmentation((anatomy.labels,), grid.affine, tuple(segments), name)


def _sample_true_field(
    deformation: HeadDeformation, fixed_grid: Geometry, spacing_mm: float = 4.0
) -> DisplacementField:
    corners = fixed_grid.corners_mm
    low, high = corners.min(0) - 2 * spacing_mm, corners.max(0) + 2 * spacing_mm
    size = np.ceil((high - low) / spacing_mm).astype(int) + 1
    affine = homogeneous(np.eye(3) * spacing_mm, low)
    k, j, i = np.indices(tuple(size[::-1]))
    points = apply_affine(affine, np.stack([i, j, k], -1))
    displacement = deformation.find_moving_points(points) - points
    rigid = AffineTransform(homogeneous(deformation.rotation, deformation.shift_mm))
    return taper_field(DisplacementField(displacement.astype(np.float32), affine), rigid, fixed_grid)
