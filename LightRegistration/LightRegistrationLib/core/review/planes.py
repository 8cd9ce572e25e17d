"""Three anatomical planes through a volume, and what lies on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from ..geometry.geometry import FloatArray, Geometry, apply_affine
from ..geometry.transforms import DisplacementField
from ..geometry.volume import Segmentation, Volume
from .settings import REVIEW

_AXES = {
    "Axial": ((-1, 0, 0), (0, -1, 0)),
    "Coronal": ((-1, 0, 0), (0, 0, -1)),
    "Sagittal": ((0, -1, 0), (0, 0, -1)),
}
"""Directions (R, A, S) of the columns, to the right, and of the rows, downward: the patient's right is on the left."""


@dataclass(frozen=True, eq=False)
class Plane:
    """The pixels of a picture.

    title: its orientation. points_mm: (rows, columns, 3), RAS mm. directions: of columns and rows, unit vectors
    (2, 3), RAS. pixel_mm: distance of neighboring pixels.
    """

    title: str
    points_mm: FloatArray
    directions: FloatArray
    pixel_mm: float


def make_planes(geometry: Geometry, center_mm: FloatArray, pixels: int = REVIEW.picture_pixels) -> list[Plane]:
    """Make the axial, coronal and sagittal plane through a point (3, RAS mm) that show the whole of a grid.

    pixels: along the longest side of the grid.
    """
    corners = geometry.corners_mm.reshape(-1, 3)
    low, high = corners.min(axis=0), corners.max(axis=0)
    pixel_mm = float((high - low).max()) / (pixels - 1)
    planes = []
    for title, axes in _AXES.items():
        columns, rows = np.array(axes, dtype=np.float64)
        start = np.where(columns + rows < 0, high, np.asarray(center_mm, dtype=np.float64))
        width, height = (int(np.ceil(abs((high - low) @ axis) / pixel_mm)) + 1 for axis in (columns, rows))
        across, down = np.arange(width) * pixel_mm, np.arange(height) * pixel_mm
        points = start + across[None, :, None] * columns + down[:, None, None] * rows
        planes.append(Plane(title, points, np.stack([columns, rows]), pixel_mm))
    return planes


def find_center(geometry: Geometry, segmentation: Segmentation | None) -> FloatArray:
    """Find the point to show, RAS mm: the median of the structures' voxels, or the center of the grid without any."""
    if segmentation is None:
        return geometry.center_mm
    found = np.argwhere(segmentation.layers[0][::2, ::2, ::2])
    if not len(found):
        return geometry.center_mm
    return apply_affine(segmentation.affine, 2 * np.median(found, axis=0)[::-1])


def sample_values(volume: Volume, points_mm: FloatArray) -> NDArray[np.float32]:
    """Sample a volume (trilinear) at points (..., 3), RAS mm; NaN outside."""
    found = map_coordinates(volume.array, _find_indices(volume.geometry, points_mm), np.float32, order=1, cval=np.nan)
    return np.asarray(found.reshape(points_mm.shape[:-1]))


def sample_labels(segmentation: Segmentation, points_mm: FloatArray) -> NDArray[np.int64]:
    """Sample the label layers (nearest neighbor) at points (..., 3), RAS mm: the segments' numbers from 1, 0 outside.

    Where layers overlap, the last segment counts.
    """
    indices = _find_indices(segmentation.geometry, points_mm)
    layers = [map_coordinates(layer, indices, order=0, cval=0) for layer in segmentation.layers]
    result = np.zeros(len(layers[0]), dtype=np.int64)
    for number, segment in enumerate(segmentation.segments, start=1):
        result[layers[segment.layer] == segment.value] = number
    return result.reshape(points_mm.shape[:-1])


def compute_determinants(field: DisplacementField, plane: Plane) -> FloatArray:
    """Compute the Jacobian determinant (rows, columns) of x -> x + d(x), by central differences over a grid cell."""
    half_mm = float(field.geometry.spacing_mm.min()) / 2
    steps = half_mm * np.eye(3)
    columns = [(field(plane.points_mm + step) - field(plane.points_mm - step)) / (2 * half_mm) for step in steps]
    return np.asarray(np.linalg.det(np.stack(columns, axis=-1)))


def _find_indices(geometry: Geometry, points_mm: FloatArray) -> FloatArray:
    """Find the voxel coordinates k, j, i (3, n) of points (..., 3)."""
    return apply_affine(geometry.inverse_affine, points_mm)[..., ::-1].reshape(-1, 3).T
