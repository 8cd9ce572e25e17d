"""Target registration error (TRE): how far corresponding landmarks lie apart."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..geometry.geometry import FloatArray
from ..result.scores import LandmarkErrors


def measure_landmark_errors(points_mm: FloatArray, counterparts_mm: FloatArray) -> LandmarkErrors:
    """Measure the distances of points (n, 3) and their counterparts (n, 3), RAS mm, paired in their order.

    The TRE of a registration has the fixed landmarks mapped to the moving volume as points, the moving landmarks as
    counterparts. Raises InputError for unequal numbers of landmarks, and for none.
    """
    if len(points_mm) != len(counterparts_mm):
        raise InputError(
            f"There are {len(points_mm)} fixed and {len(counterparts_mm)} moving landmarks: "
            "place the same number, in the same order."
        )
    if not len(points_mm):
        raise InputError("There are no landmarks: place at least one in each volume.")
    distances = np.linalg.norm(points_mm - counterparts_mm, axis=1)
    return LandmarkErrors(float(distances.mean()), float(distances.max()))
