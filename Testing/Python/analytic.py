"""Test data with known answers: smooth displacements, an ellipsoid phantom, and independent warps."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from LightRegistrationLib.core.deformation.tapering import taper_field
from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine, homogeneous
from LightRegistrationLib.core.geometry.transforms import AffineTransform, DisplacementField
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation, Volume


def voxel_centers_mm(geometry: Geometry) -> np.ndarray:
    """Return the RAS positions of all voxels, mm, (k, j, i, 3)."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij")
    return apply_affine(geometry.affine, np.stack([i, j, k], axis=-1))


def points_inside(geometry: Geometry, count: int = 200, seed: int = 0, margin_voxels: float = 1.0) -> np.ndarray:
    """Draw random points inside a volume, RAS mm, (count, 3)."""
    rng = np.random.default_rng(seed)
    low, high = margin_voxels, geometry.size_ijk - 1 - margin_voxels
    return apply_affine(geometry.affine, rng.uniform(low, high, (count, 3)))


def displacement_mm(points_mm: np.ndarray, center_mm: np.ndarray, amplitude_mm: float = 6.0) -> np.ndarray:
    """Return a smooth displacement without folding at points (..., 3); its components differ."""
    r, a, s = np.moveaxis(np.asarray(points_mm) - center_mm, -1, 0) / 25.0
    components = np.stack([np.sin(a) + 0.3, np.cos(s) * np.sin(r + 0.5), np.sin(0.7 * r - 0.8 * a)], axis=-1)
    return amplitude_mm * components


def smooth_field(geometry: Geometry, amplitude_mm: float = 6.0, spacing_mm: float = 4.0) -> DisplacementField:
    """Sample the displacement on a grid along the volume's axes that extends two nodes beyond the volume."""
    directions = geometry.affine[:3, :3] / geometry.spacing_mm
    extent = geometry.size_ijk * geometry.spacing_mm
    size = np.ceil(extent / spacing_mm).astype(int) + 5
    matrix = directions * spacing_mm
    grid = Geometry(
        tuple(int(n) for n in size[::-1]), homogeneous(matrix, geometry.center_mm - matrix @ ((size - 1) / 2))
    )
    values = displacement_mm(voxel_centers_mm(grid), geometry.center_mm, amplitude_mm)
    return DisplacementField(values.astype(np.float32), grid.affine)


def turned(geometry: Geometry) -> AffineTransform:
    """Make an initial alignment: a turn, a shift, a scale and a shear about the center of a volume."""
    matrix = Rotation.from_euler("xyz", (9, -14, 21), degrees=True).as_matrix() @ [
        [1.1, 0.06, 0],
        [0, 0.93, 0],
        [0, 0, 1],
    ]
    center = geometry.center_mm
    return AffineTransform(homogeneous(matrix, center + (12, -25, 8) - matrix @ center))


def tapered_field(geometry: Geometry, amplitude_mm: float = 6.0) -> DisplacementField:
    """The smooth displacement, then the initial alignment; beyond the volume it falls to that alignment."""
    smooth, outside = smooth_field(geometry, amplitude_mm), turned(geometry)
    return taper_field(follow_with(smooth, outside), outside, geometry)


def follow_with(field: DisplacementField, then: AffineTransform) -> DisplacementField:
    """Return the field, then the affine transform, as one field on the same grid."""
    points = voxel_centers_mm(field.geometry)
    return DisplacementField((then(points + field.array) - points).astype(np.float32), field.affine)


def points_around(geometry: Geometry, beyond_mm: float, count: int = 1000, seed: int = 1) -> np.ndarray:
    """Draw random points in a volume and up to a distance beyond each of its sides, RAS mm, (count, 3)."""
    reach = beyond_mm / geometry.spacing_mm
    low, high = -0.5 - reach, geometry.size_ijk - 0.5 + reach
    return apply_affine(geometry.affine, np.random.default_rng(seed).uniform(low, high, (count, 3)))


def map_points(field: DisplacementField, points_mm: np.ndarray) -> np.ndarray:
    """Map fixed points (..., 3) to the moving image; scipy interpolates the field trilinearly, its border outside."""
    ijk = apply_affine(field.geometry.inverse_affine, points_mm)
    coordinates = [ijk[..., axis] for axis in (2, 1, 0)]
    values = field.array.astype(float)
    components = [map_coordinates(values[..., c], coordinates, order=1, mode="nearest") for c in range(3)]
    return points_mm + np.stack(components, axis=-1)


def nearest_warp(labels: np.ndarray, affine: np.ndarray, field: DisplacementField, geometry: Geometry) -> np.ndarray:
    """Warp a label array onto a geometry by nearest neighbor; 0 outside."""
    ijk = apply_affine(np.linalg.inv(affine), map_points(field, voxel_centers_mm(geometry)))
    index = np.floor(ijk + 0.5).astype(int)
    inside = ((index >= 0) & (index < labels.shape[::-1])).all(-1)
    i, j, k = np.moveaxis(np.where(inside[..., None], index, 0), -1, 0)
    return np.where(inside, labels[k, j, i], 0).astype(labels.dtype)


def linear_warp(array: np.ndarray, affine: np.ndarray, field: DisplacementField, geometry: Geometry) -> np.ndarray:
    """Warp an image onto a geometry, trilinear; its minimum outside."""
    ijk = apply_affine(np.linalg.inv(affine), map_points(field, voxel_centers_mm(geometry)))
    coordinates = [ijk[..., axis] for axis in (2, 1, 0)]
    return map_coordinates(array.astype(np.float32), coordinates, order=1, mode="constant", cval=float(array.min()))


def phantom(geometry: Geometry, seed: int = 0) -> tuple[Volume, Segmentation]:
    """Make a head-like ellipsoid with three different organs (values 2, 5, 11), and its segmentation."""
    offset = voxel_centers_mm(geometry) - geometry.center_mm
    extent = geometry.size_ijk * geometry.spacing_mm
    rng = np.random.default_rng(seed)
    image = np.zeros(geometry.shape, dtype=np.float32)
    labels = np.zeros(geometry.shape, dtype=np.uint8)
    radius = extent.min() / 2
    for center, radii, brightness, value in (
        ((0, 0, 0), (0.85, 0.85, 0.85), 60, 0),
        ((0.35, 0.1, 0), (0.28, 0.3, 0.4), 140, 2),
        ((-0.35, -0.1, 0.1), (0.25, 0.35, 0.3), 200, 5),
        ((0, 0.3, -0.35), (0.3, 0.2, 0.2), 250, 11),
    ):
        inside = (((offset - np.array(center) * radius) / (np.array(radii) * radius)) ** 2).sum(-1) < 1
        image[inside] = brightness
        if value:
            labels[inside] = value
    image += rng.normal(0, 4, geometry.shape).astype(np.float32)
    segments = (Segment("heart", 2), Segment("left lung", 5), Segment("spine", 11))
    return (
        Volume(np.clip(image, 0, 300).astype(np.int16), geometry.affine, "phantom"),
        Segmentation((labels,), geometry.affine, segments, "phantom segmentation"),
    )
