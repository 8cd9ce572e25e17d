"""An analytic anatomy, so that the truth is known: a body with structures inside, moved, bent, and on any grid."""

from __future__ import annotations

import numpy as np

from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine
from LightRegistrationLib.core.geometry.volume import Volume


def anatomy(points_mm: np.ndarray) -> np.ndarray:
    """A lopsided body of about 130 x 160 x 120 mm with structures inside, intensities 0 to about 1000."""
    rng = np.random.default_rng(7)
    x, y, z = np.moveaxis(points_mm, -1, 0)
    radius = np.sqrt((x / 65) ** 2 + ((y + 0.1 * x) / 80) ** 2 + (z / 60) ** 2)
    values = 500 / (1 + np.exp((radius - 1) * 25))
    for _ in range(14):
        center = rng.uniform(-1, 1, 3) * (40, 50, 35)
        width, height = rng.uniform(6, 14), rng.uniform(-350, 500)
        squared = sum((p - c) ** 2 for p, c in zip((x, y, z), center, strict=True))
        values = values + height * np.exp(-squared / (2 * width**2)) / (1 + np.exp((radius - 1) * 25))
    return np.maximum(values, 0)


def world(geometry: Geometry) -> np.ndarray:
    k, j, i = np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij")
    return apply_affine(geometry.affine, np.stack([i, j, k], -1))


def picture(geometry: Geometry, fixed_to_moving: np.ndarray | None = None, bend_mm: float = 0.0) -> Volume:
    """The anatomy after a transform: the point fixed_to_moving(p) shows anatomy(p)."""
    matrix = np.eye(4) if fixed_to_moving is None else fixed_to_moving
    points = apply_affine(np.linalg.inv(matrix), world(geometry))
    points = points + bend_mm * np.sin(points[..., [1, 2, 0]] / 25)
    noise = np.random.default_rng(int(abs(matrix[0, 3])) + 1).normal(scale=8, size=geometry.shape)
    return Volume((anatomy(points) + noise).astype(np.float32), geometry.affine, "scan")
