"""Label maps of balls at known positions, so that expected results have a formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from LightRegistrationLib.core.geometry.geometry import homogeneous

CENTERS_MM = np.array([[-40, -10, 5], [35, 20, -25], [0, 40, 20], [10, -45, -10], [-15, 5, 45]], dtype=float)
RADII_MM = (14.0, 20.0, 12.0, 16.0, 10.0)
CLASSES = {f"ball {n}": [n] for n in range(1, 6)}


def oblique(degrees: float, spacing_mm: tuple[float, float, float], shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """An affine (i, j, k, 1) -> RAS mm, turned about two axes, with i to the left, its middle at (7, -4, 3) mm."""
    a, b = np.deg2rad(degrees), np.deg2rad(degrees / 2)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    matrix = about_z @ about_x @ np.diag([-1.0, 1.0, 1.0]) * spacing_mm
    middle = (np.array(shape[::-1]) - 1) / 2
    return homogeneous(matrix, np.array([7.0, -4.0, 3.0]) - matrix @ middle)


def balls(
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    centers_mm: NDArray[np.float64] = CENTERS_MM,
    radii_mm: tuple[float, ...] = RADII_MM,
) -> NDArray[np.int16]:
    """Balls 1, 2 and so on, in RAS mm, as labels (k, j, i)."""
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"))[::-1].reshape(3, -1)
    points = (affine[:3, :3] @ indices).T + affine[:3, 3]
    labels = np.zeros(len(points), dtype=np.int16)
    for value, (center, radius) in enumerate(zip(centers_mm, radii_mm, strict=True), start=1):
        labels[np.linalg.norm(points - center, axis=1) < radius] = value
    return labels.reshape(shape)


def write(path: Path, labels: NDArray, affine: NDArray[np.float64]) -> Path:
    """Write labels (k, j, i) with an affine (i, j, k, 1) -> RAS mm."""
    to_lps = np.diag([-1.0, -1.0, 1.0])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((to_lps @ affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin((to_lps @ affine[:3, 3]).tolist())
    sitk.WriteImage(image, str(path))
    return path


def write_balls(path: Path, degrees: float = 0.0, spacing_mm: float = 2.0, **changes: object) -> Path:
    """Write a map of balls on a grid of 130 mm in each direction, turned by some degrees."""
    shape = (round(130 / spacing_mm),) * 3
    affine = oblique(degrees, (spacing_mm,) * 3, shape)
    return write(path, balls(affine, shape, **changes), affine)
