"""Made-up breathing: a chest CT at full inhale, and a copy of it exhaled, with corresponding points in the lungs.

The diaphragm rises, the lung above it moves less and less toward its top and gets denser as it gets smaller, the chest
becomes a little flatter, and the wall of the chest stays behind: the lung slides along the ribs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

from LightRegistrationLib.core.geometry.geometry import FloatArray, Geometry, apply_affine, homogeneous
from LightRegistrationLib.core.geometry.volume import Volume

AIR_HU, LUNG_BELOW_HU = -1000.0, -500.0
SLIDING_MM = 3.0
"""Thickness of the layer between the chest's content, which moves, and its wall, which does not."""
FLATTENING = 0.1
"""Movement of the front of the chest toward the back, of that of the diaphragm."""
UNEVENNESS, UNEVENNESS_SIGMA_MM = 0.15, 30.0
"""Local differences of the movement, of the movement."""
NOISE_HU = 15.0
POINTS, LEAST_DEPTH_MM = 300, 4.0
"""Corresponding points in the lungs, and their least distance to the lungs' surface."""


@dataclass(frozen=True, eq=False)
class BreathingPair:
    """Inhaled and exhaled scan; points (n, 3) in each, RAS mm, that correspond to each other."""

    inhaled: Volume
    exhaled: Volume
    inhaled_mm: FloatArray
    exhaled_mm: FloatArray


def make_breathing_pair(scan: Volume, rise_mm: float, seed: int) -> BreathingPair:
    """Exhale a scan so that its diaphragm rises by rise_mm. The axes of the scan must be those of the world.

    What comes from below the scan is cut off the exhaled one. Raises ValueError for a scan without lungs.
    """
    rng = np.random.default_rng(seed)
    lungs = find_lungs(scan)
    movement = _Movement.of(scan.geometry, lungs, rise_mm, rng)
    grid = _cut_bottom(scan.geometry, rise_mm)
    points = grid.points_mm
    content = _sample(_find_content(lungs, scan.geometry).astype(np.float32), scan.geometry, points)
    shift = movement(points)
    sources = points + shift * _slide(content, grid)[..., None]
    exhaled = _sample(scan.array.astype(np.float32), scan.geometry, sources)
    in_lungs = _sample(lungs.astype(np.float32), scan.geometry, sources) > 0.5
    density = _compute_determinant(points + shift, grid)
    exhaled = np.where(in_lungs, (exhaled - AIR_HU) * density + AIR_HU, exhaled)
    deep = ndimage.distance_transform_edt(in_lungs & (content > 0.99), sampling=grid.spacing_mm[::-1]) > LEAST_DEPTH_MM
    places = np.argwhere(deep)
    if len(places) < POINTS:
        raise ValueError(f"only {len(places)} voxels lie in the lungs")
    chosen = tuple(places[rng.choice(len(places), POINTS, replace=False)].T)
    return BreathingPair(
        replace(scan, array=_add_noise(scan.array, rng), name="inhaled"),
        Volume(_add_noise(exhaled, rng), grid.affine, "exhaled"),
        (points + shift)[chosen],
        points[chosen],
    )


def find_lungs(scan: Volume) -> NDArray[np.bool_]:
    """Find the lungs in a chest CT: the large regions of air that do not reach the front, back or sides of the scan.

    Raises ValueError if there are none.
    """
    regions, count = ndimage.label(ndimage.binary_opening(scan.array < LUNG_BELOW_HU))
    sides = np.concatenate([regions[:, side].ravel() for side in (0, -1)])
    sides = np.concatenate([sides, *(regions[:, :, side].ravel() for side in (0, -1))])
    sizes = np.bincount(regions.ravel(), minlength=count + 1)
    sizes[np.unique(sides)] = 0
    sizes[0] = 0
    lungs = np.isin(regions, np.flatnonzero(sizes > 0.1 * sizes.max()))
    if not lungs.any():
        raise ValueError(f"{scan.name}: no lungs were found")
    closed: NDArray[np.bool_] = ndimage.binary_closing(np.pad(lungs, 4), iterations=3)[4:-4, 4:-4, 4:-4]
    return closed


@dataclass(frozen=True, eq=False)
class _Movement:
    """Where the tissue at a point of the exhaled scan was in the inhaled one: a displacement, RAS mm."""

    rise_mm: float
    top_mm: float
    diaphragm_mm: float
    back_mm: float
    front_mm: float
    unevenness: NDArray[np.float32]
    geometry: Geometry

    @classmethod
    def of(cls, geometry: Geometry, lungs: NDArray[np.bool_], rise_mm: float, rng: np.random.Generator) -> _Movement:
        places = geometry.points_mm[lungs]
        columns = np.where(lungs.any(0), lungs.argmax(0), -1)
        lowest = columns[columns >= 0]
        heights = geometry.points_mm[:, 0, 0, 2]
        sigma = UNEVENNESS_SIGMA_MM / geometry.spacing_mm[::-1]
        uneven = ndimage.gaussian_filter(rng.normal(size=geometry.shape).astype(np.float32), sigma)
        return cls(
            rise_mm,
            float(places[:, 2].max()),
            float(heights[np.percentile(lowest, 60).astype(int)]) + rise_mm,
            float(places[:, 1].min()),
            float(places[:, 1].max()),
            uneven * (UNEVENNESS / max(float(np.abs(uneven).max()), 1e-6)),
            geometry,
        )

    def __call__(self, points: FloatArray) -> FloatArray:
        below_top = np.clip((self.top_mm - points[..., 2]) / (self.top_mm - self.diaphragm_mm), 0, 1)
        depth = below_top**1.3 * (1 + _sample(self.unevenness, self.geometry, points))
        toward_front = np.clip((points[..., 1] - self.back_mm) / (self.front_mm - self.back_mm), 0, 1)
        shift = np.zeros_like(points)
        shift[..., 2] = -self.rise_mm * depth
        shift[..., 1] = FLATTENING * self.rise_mm * toward_front * below_top
        return shift


def _find_content(lungs: NDArray[np.bool_], geometry: Geometry) -> NDArray[np.bool_]:
    """Find what lies inside the ribs: the convex hull of the lungs in each slice, below them that of the last one."""
    content = np.zeros_like(lungs)
    j, i = np.indices(lungs.shape[1:])
    slices = np.flatnonzero(lungs.any((1, 2)))
    widest = int(max(slices, key=lambda k: int(lungs[k].sum())))
    for k in range(lungs.shape[0]):
        source = k if k in slices and k >= widest else widest
        if k > slices[-1]:
            continue
        edges = ConvexHull(np.argwhere(lungs[source])).equations
        content[k] = np.all([a * j + b * i + c <= 1e-9 for a, b, c in edges], axis=0)
    return content


def _slide(content: NDArray[np.float32], grid: Geometry) -> FloatArray:
    """Compute the share of the movement: 1 in the content of the chest, 0 in its wall."""
    inside = ndimage.distance_transform_edt(content > 0.5, sampling=grid.spacing_mm[::-1])
    share: FloatArray = np.clip(inside / SLIDING_MM, 0, 1)
    return share


def _compute_determinant(sources: FloatArray, grid: Geometry) -> FloatArray:
    """Compute the volume in the inhaled scan of each unit of volume in the exhaled one."""
    right, front, up = (np.gradient(sources, axis=axis) for axis in (2, 1, 0))
    determinant: FloatArray = np.einsum("...c,...c->...", np.cross(right, front), up)
    return determinant / np.linalg.det(grid.affine[:3, :3])


def _cut_bottom(geometry: Geometry, rise_mm: float) -> Geometry:
    """Leave out the lowest slices, whose tissue comes from below the scan."""
    heights = geometry.points_mm[:, 0, 0, 2]
    count = int(np.ceil(rise_mm / geometry.spacing_mm[2]))
    first = count if heights[1] > heights[0] else 0
    corner = apply_affine(geometry.affine, (0, 0, first))
    depth, *rest = geometry.shape
    return Geometry((depth - count, *rest), homogeneous(geometry.affine[:3, :3], corner))


def _sample(array: NDArray[np.float32], geometry: Geometry, points: FloatArray) -> NDArray[np.float32]:
    """Sample an array (k, j, i) at points (..., 3), RAS mm, trilinear; outside as at the border."""
    i, j, k = np.moveaxis(apply_affine(np.linalg.inv(geometry.affine), points), -1, 0)
    found: NDArray[np.float32] = ndimage.map_coordinates(array, [k, j, i], order=1, mode="nearest")
    return found


def _add_noise(array: NDArray, rng: np.random.Generator) -> NDArray[np.int16]:
    noisy = array + rng.normal(0, NOISE_HU, array.shape)
    return np.round(np.clip(noisy, AIR_HU, 3000)).astype(np.int16)
