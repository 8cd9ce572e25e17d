"""How exactly two transforms are each other's inverse, measured inside the fields of view of both volumes.

The second is the computed inverse of the first (`measure_inverse`), or a registration in the opposite direction
(`measure_consistency`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..geometry.geometry import FloatArray, Geometry, apply_affine
from ..result.result import CompositionErrors, ConsistencySummary, InverseAccuracy

PointMap = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class InverseCheckSettings:
    """Constants of the check."""

    points: int = 100_000
    """Random places in each volume, between the voxels too. Chosen: the same percentages to two digits as a million."""
    tolerance_voxels: float = 0.5
    """Tolerance, of the finest voxel spacing of both volumes. Chosen."""
    max_percent_above: float = 0.5
    """With more points above the tolerance a warning is given. Pairs of brains, hippocampi and lungs have up to 0.25 %;
    `register --inverse` reports it."""
    max_error_tolerances: float = 4.0
    """A warning is given if a point moves more than so many tolerances. Sound fields of these pairs stay below 2.7."""


INVERSE_CHECK = InverseCheckSettings()


def measure_inverse(
    forward: PointMap,
    inverse: PointMap,
    fixed: Geometry,
    moving: Geometry,
    settings: InverseCheckSettings = INVERSE_CHECK,
) -> InverseAccuracy:
    """Measure how far both compositions of two maps are from the identity, mm.

    forward: fixed -> moving points (n, 3) RAS mm; its composition inverse(forward(x)) is measured at points of the
    fixed volume, forward(inverse(y)) at points of the moving volume.
    """
    tolerance_mm = settings.tolerance_voxels * float(min(fixed.spacing_mm.min(), moving.spacing_mm.min()))
    errors = []
    for first, second, geometry in ((forward, inverse, fixed), (inverse, forward, moving)):
        points = _choose_points(geometry, settings.points)
        distances = np.linalg.norm(second(first(points)) - points, axis=1)
        percent = 100 * float((distances > tolerance_mm).mean())
        errors.append(CompositionErrors(float(distances.mean()), float(distances.max()), percent))
    return InverseAccuracy(tolerance_mm, errors[0], errors[1])


def measure_consistency(
    forward: PointMap,
    backward: PointMap,
    fixed: Geometry,
    moving: Geometry,
    settings: InverseCheckSettings = INVERSE_CHECK,
) -> ConsistencySummary:
    """Measure the inverse consistency of two registrations (AAPM TG-132: "consistency").

    forward: fixed -> moving points (n, 3) RAS mm, backward: the result of registering the fixed volume to the moving
    one. Raises InputError if no place of the fixed volume is mapped into the moving volume.
    """
    points = _choose_points(fixed, settings.points)
    mapped = forward(points)
    is_inside = moving.contains(mapped)
    if not is_inside.any():
        raise InputError("No place of the fixed volume lies in the moving volume; the two have nothing in common.")
    distances = np.linalg.norm(backward(mapped[is_inside]) - points[is_inside], axis=1)
    high, largest = np.percentile(distances, (95, 100))
    return ConsistencySummary(float(distances.mean()), float(high), float(largest))


def list_inverse_warnings(accuracy: InverseAccuracy, settings: InverseCheckSettings = INVERSE_CHECK) -> list[str]:
    """Return a warning for each volume in which too many points, or some by far, do not come back to their place."""
    max_error_mm = settings.max_error_tolerances * accuracy.tolerance_mm
    return [
        f"The inverse is not exact in the {role} volume: {errors.percent_above:.2g} % of its points come back more "
        f"than {accuracy.tolerance_mm:.2g} mm away from where they were, up to {errors.max_mm:.1f} mm."
        for role, errors in (("fixed", accuracy.fixed), ("moving", accuracy.moving))
        if errors.percent_above > settings.max_percent_above or errors.max_mm > max_error_mm
    ]


def _choose_points(geometry: Geometry, count: int) -> FloatArray:
    """Choose random points inside a volume, up to its outer edges, the same ones each time: (n, 3) RAS mm."""
    unit = np.random.default_rng(0).uniform(size=(count, 3))
    return apply_affine(geometry.affine, unit * geometry.size_ijk - 0.5)
