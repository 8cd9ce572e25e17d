"""Difficult geometries: oblique, anisotropic, left-handed, permuted, far from the origin."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from LightRegistrationLib.core.geometry.geometry import Geometry, homogeneous


def make_geometry(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    rotation_degrees: tuple[float, float, float] = (0, 0, 0),
    flips: tuple[int, int, int] = (1, 1, 1),
    order: tuple[int, int, int] = (0, 1, 2),
    center_mm: tuple[float, float, float] = (0, 0, 0),
) -> Geometry:
    """Make a grid with its center at `center_mm`; `order` and `flips` give the anatomical axes of i, j, k."""
    axes = Rotation.from_euler("xyz", rotation_degrees, degrees=True).as_matrix()[:, list(order)] * flips
    matrix = axes * spacing_mm
    half = (np.array(shape[::-1]) - 1) / 2
    return Geometry(shape, homogeneous(matrix, np.array(center_mm) - matrix @ half))


AWKWARD = {
    "plain": make_geometry((40, 44, 48), (2, 2, 2)),
    "oblique": make_geometry((36, 50, 42), (1.7, 2.1, 2.4), (11, -17, 23), center_mm=(12, -30, 55)),
    "left-handed": make_geometry((40, 40, 44), (2, 1.5, 2.5), (5, 0, -8), flips=(-1, 1, 1)),
    "permuted": make_geometry((50, 40, 30), (2.5, 1.8, 2), (0, 9, 0), flips=(-1, -1, 1), order=(2, 0, 1)),
    "far away": make_geometry((30, 40, 40), (3, 2, 2), (-4, 6, 10), flips=(-1, -1, 1), center_mm=(900, -700, 1200)),
}
