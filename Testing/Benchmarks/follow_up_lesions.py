"""Made-up lesions in real scans: where they are, and what they leave in two scans of one person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from LightRegistrationLib.core.geometry.geometry import FloatArray, Geometry, apply_affine
from LightRegistrationLib.core.geometry.transforms import DisplacementField
from LightRegistrationLib.core.geometry.volume import Volume

CONTRAST = 0.35
"""Difference of a lesion to the tissue around it, of the intensity of bright tissue."""
EARLIER_FRACTION = 0.25
"""Volume of a growing lesion in the first scan, and of a shrinking one in the second, of its larger volume."""
MAX_DEFORMATION_MM, DEFORMATION_SIGMA_MM = 2.0, 20.0
MAX_TURN_DEGREES, MAX_SHIFT_MM = 3.0, 4.0
NOISE, BIAS = 0.03, 0.08
"""Noise, of the intensity of bright tissue, and largest change of the sensitivity."""


class Course(StrEnum):
    """What happens to a lesion from the fixed to the moving scan."""

    NEW = "new"
    GONE = "gone"
    GROWING = "growing"
    SHRINKING = "shrinking"


@dataclass(frozen=True, eq=False)
class Lesion:
    """A lesion: its larger volume, its course, and its share of each voxel (0 to 1) in both scans, on their grids."""

    ml: float
    course: Course
    is_bright: bool
    center_mm: FloatArray
    in_fixed: FloatArray
    in_moving: FloatArray
    fixed: Geometry
    moving: Geometry

    @property
    def radius_mm(self) -> float:
        """The radius of a ball of this volume."""
        return compute_radius_mm(self.ml)


@dataclass(frozen=True, eq=False)
class LesionPair:
    """Two scans of one person with lesions. moved_mm: where each moving voxel lies in the fixed scan, if known."""

    fixed: Volume
    moving: Volume
    lesions: Sequence[Lesion]
    moved_mm: FloatArray | None = None


def compute_radius_mm(ml: float) -> float:
    """Compute the radius of a ball of a volume."""
    return float(np.cbrt(3 * 1000 * ml / (4 * np.pi)))


def make_known_pair(scan: Volume, sizes_ml: Sequence[float], number: int) -> LesionPair:
    """Pair a scan with a slightly moved and deformed copy of itself, with other noise and sensitivity.

    Each lesion has another course: number and place in the list choose it, and whether the lesion is bright.
    """
    rng = np.random.default_rng(number)
    array = scan.array.astype(np.float32)
    before, after, shares, taken = array, array, [], np.zeros(array.shape, bool)
    for place, ml in enumerate(sizes_ml):
        course, is_bright = list(Course)[(number + place) % 4], (number + place) // 4 % 2 == 0
        center = _choose_center(array, taken, scan.geometry, compute_radius_mm(ml), rng)
        large, small = make_shares(scan.geometry, center, (ml, EARLIER_FRACTION * ml), rng)
        taken |= large > 0
        first, second = _follow_course(course, large, small)
        value = _choose_value(array, large, is_bright)
        before, after = paint(before, first, value), paint(after, second, value)
        shares.append((ml, course, is_bright, center, first, second))
    moved_mm = _make_motion(scan.geometry, rng)
    fixed = replace(scan, array=_add_noise(before, rng), name="fixed")
    moving = replace(scan, array=_add_noise(_sample(after, scan.geometry, moved_mm), rng), name="moving")
    lesions = [
        Lesion(*rest, first, _sample(second, scan.geometry, moved_mm), scan.geometry, scan.geometry)
        for *rest, first, second in shares
    ]
    return LesionPair(fixed, moving, lesions, moved_mm)


def paint_visits(fixed: Volume, moving: Volume, sizes_ml: Sequence[float], number: int) -> LesionPair:
    """Paint lesions that only one of two real scans has: in turn new and gone ones; a center lies in its own scan."""
    rng = np.random.default_rng(number)
    arrays = [volume.array.astype(np.float32) for volume in (fixed, moving)]
    taken = [np.zeros(array.shape, bool) for array in arrays]
    lesions = []
    for place, ml in enumerate(sizes_ml):
        is_new, is_bright = (number + place) % 2 == 0, (number + place) // 2 % 2 == 0
        side, volume = int(is_new), (fixed, moving)[int(is_new)]
        center = _choose_center(arrays[side], taken[side], volume.geometry, compute_radius_mm(ml), rng)
        (share,) = make_shares(volume.geometry, center, (ml,), rng)
        arrays[side] = paint(arrays[side], share, _choose_value(arrays[side], share, is_bright))
        for other, mask in zip((fixed, moving), taken, strict=True):
            mask |= np.linalg.norm(other.geometry.points_mm - center, axis=-1) < 2 * compute_radius_mm(ml) + 20
        empty = [np.zeros(v.array.shape, np.float32) for v in (fixed, moving)]
        empty[side] = share
        course = Course.NEW if is_new else Course.GONE
        lesions.append(Lesion(ml, course, is_bright, center, *empty, fixed.geometry, moving.geometry))
    volumes = [replace(v, array=array) for v, array in zip((fixed, moving), arrays, strict=True)]
    return LesionPair(volumes[0], volumes[1], lesions)


def _follow_course(course: Course, large: FloatArray, small: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the lesion's shares in the first and in the second scan."""
    none = np.zeros_like(large)
    return {
        Course.NEW: (none, large),
        Course.GONE: (large, none),
        Course.GROWING: (small, large),
        Course.SHRINKING: (large, small),
    }[course]


def make_shares(
    geometry: Geometry, center_mm: FloatArray, sizes_ml: Sequence[float], rng: np.random.Generator
) -> list[FloatArray]:
    """Make irregular lesions of one shape around a center: their shares of each voxel (k, j, i), 0 to 1."""
    box = _find_box(geometry, center_mm, 2.2 * compute_radius_mm(max(sizes_ml)) + 4)
    points = geometry.points_mm[box] - center_mm
    distances = np.linalg.norm(points, axis=-1)
    directions = points / np.maximum(distances, 1e-6)[..., None]
    waves = rng.normal(size=(4, 3)) * 2
    phases = rng.uniform(0, 2 * np.pi, 4)
    bumps = np.sin(np.einsum("...c,wc->...w", directions, waves) + phases).sum(-1)
    bent = distances * (1 + 0.08 * bumps)
    edge_mm = float(geometry.spacing_mm.min())
    shares = [np.zeros(geometry.shape, np.float32) for _ in sizes_ml]
    for share, ml in zip(shares, sizes_ml, strict=True):
        share[box] = _fill_to_volume(bent, ml, geometry.voxel_volume_mm3, edge_mm)
    return shares


def _find_box(geometry: Geometry, center_mm: FloatArray, reach_mm: float) -> tuple[slice, ...]:
    center = apply_affine(geometry.inverse_affine, center_mm)[::-1]
    reach = reach_mm / geometry.spacing_mm[::-1]
    low, high = np.floor(center - reach).astype(int), np.ceil(center + reach).astype(int) + 1
    return tuple(slice(max(0, a), b) for a, b in zip(low, high, strict=True))


def _fill_to_volume(distances: FloatArray, ml: float, voxel_mm3: float, edge_mm: float) -> FloatArray:
    """Fill up to the distance at which the shares, which fall to 0 over `edge_mm`, have the volume."""
    low, high = 0.0, 4 * compute_radius_mm(ml)
    for _ in range(30):
        middle = (low + high) / 2
        share = np.clip(0.5 + (middle - distances) / edge_mm, 0, 1)
        low, high = (middle, high) if share.sum() * voxel_mm3 < 1000 * ml else (low, middle)
    return share.astype(np.float32)


def paint(array: FloatArray, share: FloatArray, value: float) -> FloatArray:
    """Mix a lesion's intensity into an image by its share of each voxel."""
    return np.asarray(array * (1 - share) + value * share)


def _find_bright(array: FloatArray) -> float:
    return float(np.percentile(array[array > array.mean()], 99))


def _choose_value(array: FloatArray, share: FloatArray, is_bright: bool) -> float:
    local, bright = float((array * share).sum() / share.sum()), _find_bright(array)
    return local + CONTRAST * bright if is_bright else max(0.05 * bright, local - CONTRAST * bright)


def _choose_center(
    array: FloatArray, taken: NDArray[np.bool_], geometry: Geometry, radius_mm: float, rng: np.random.Generator
) -> FloatArray:
    """Choose a center so deep in tissue that the lesion lies in it, and apart from other lesions."""
    every = (slice(None, None, 2),) * 3
    tissue = ndimage.binary_fill_holes(ndimage.binary_opening(array[every] > 0.25 * _find_bright(array)))
    spacing, taken = 2 * geometry.spacing_mm[::-1], taken[every]
    depth = ndimage.distance_transform_edt(tissue, sampling=spacing)
    if taken.any():
        depth = np.minimum(depth, ndimage.distance_transform_edt(~taken, sampling=spacing) - 8)
    deep = np.argwhere(depth > min(radius_mm + 2, 0.95 * depth.max()))
    return apply_affine(geometry.affine, 2.0 * deep[rng.integers(len(deep))][::-1])


def _make_motion(geometry: Geometry, rng: np.random.Generator) -> FloatArray:
    """Make a rigid motion and a smooth deformation: where each voxel comes from, (k, j, i, 3) RAS mm."""
    sigma = DEFORMATION_SIGMA_MM / geometry.spacing_mm[::-1]
    waves = [ndimage.gaussian_filter(rng.standard_normal(geometry.shape, np.float32), sigma) for _ in range(3)]
    bend = np.stack(waves, axis=-1)
    bend *= MAX_DEFORMATION_MM / np.linalg.norm(bend, axis=-1).max()
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(MAX_TURN_DEGREES * axis / np.linalg.norm(axis), degrees=True).as_matrix()
    center, shift = geometry.center_mm, rng.uniform(-MAX_SHIFT_MM, MAX_SHIFT_MM, 3)
    return np.asarray((geometry.points_mm - center) @ turn.T + center + shift + bend)


def _add_noise(array: FloatArray, rng: np.random.Generator) -> FloatArray:
    coarse = tuple(max(2, n // 32) for n in array.shape)
    field = ndimage.zoom(rng.uniform(-BIAS, BIAS, coarse), np.divide(array.shape, coarse), order=1)
    noise = NOISE * _find_bright(array) * rng.standard_normal(array.shape, np.float32)
    return np.asarray(array * (1 + field) + noise * (array > 0), np.float32)


def _sample(array: FloatArray, geometry: Geometry, points_mm: FloatArray) -> FloatArray:
    """Sample an image (trilinear) at points (..., 3) RAS mm; 0 outside."""
    indices = apply_affine(geometry.inverse_affine, points_mm)[..., ::-1]
    return np.asarray(ndimage.map_coordinates(array, np.moveaxis(indices, -1, 0), order=1))


def measure_volume_ratio(lesion: Lesion, field: DisplacementField, moved_mm: FloatArray | None) -> float:
    """Measure the volume of a lesion after a deformation, relative to its volume under the true one.

    A lesion in the moving scan: its volume on the fixed grid. One that is gone: the volume of its place in the moving
    scan. Without a known deformation (moved_mm), the true one changes no volume.
    """
    if lesion.course == Course.GONE:
        true_mm3 = lesion.in_fixed.sum() * lesion.fixed.voxel_volume_mm3
        if moved_mm is not None:
            true_mm3 = _sample(lesion.in_fixed, lesion.fixed, moved_mm).sum() * lesion.moving.voxel_volume_mm3
        shown = np.argwhere(lesion.in_fixed > 0)
        points = apply_affine(lesion.fixed.affine, shown[:, ::-1].astype(float))
        weights = lesion.in_fixed[tuple(shown.T)] * lesion.fixed.voxel_volume_mm3
        return float((_compute_determinants(field, points) * weights).sum() / true_mm3)
    true_mm3 = lesion.in_moving.sum() * lesion.moving.voxel_volume_mm3
    if moved_mm is not None:
        columns = [np.gradient(moved_mm, axis=axis) for axis in (2, 1, 0)]
        determinants = np.abs(np.linalg.det(np.stack(columns, axis=-1)))
        true_mm3 = (lesion.in_moving * determinants).sum()
    points, step_mm = _make_box(lesion, field)
    return float(_sample(lesion.in_moving, lesion.moving, field(points)).sum() * step_mm**3 / true_mm3)


def _compute_determinants(field: DisplacementField, points: FloatArray, step_mm: float = 0.5) -> FloatArray:
    steps = step_mm * np.eye(3)
    columns = [(field(points + step) - field(points - step)) / (2 * step_mm) for step in steps]
    return np.asarray(np.abs(np.linalg.det(np.stack(columns, axis=-1))))


def _make_box(lesion: Lesion, field: DisplacementField, step_mm: float = 0.8) -> tuple[FloatArray, float]:
    """Make points (n, n, n, 3) RAS mm of the fixed scan in a box around a lesion of the moving scan."""
    center = apply_affine(lesion.moving.affine, np.array(ndimage.center_of_mass(lesion.in_moving))[::-1])
    start = center.copy()
    for _ in range(20):
        start += center - field(start[None])[0]
    reach = np.arange(-1.8 * lesion.radius_mm - 6, 1.8 * lesion.radius_mm + 6, step_mm)
    return start + np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), axis=-1), step_mm


def find_fixed_center(lesion: Lesion, field: DisplacementField) -> FloatArray:
    """Find where a lesion lies in the fixed scan, RAS mm."""
    if lesion.in_fixed.any():
        return apply_affine(lesion.fixed.affine, np.array(ndimage.center_of_mass(lesion.in_fixed))[::-1])
    return _make_box(lesion, field)[0].mean((0, 1, 2))
