"""Which of the two positions of a NIfTI header was used, where they disagree."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..files.nifti_header import NiftiHeader
from .geometry import Geometry

MAX_DIFFERENCE_VOXELS = 0.5
"""Positions that differ by less, at the corners, count as equal. Chosen: headers hold seven digits."""


def list_position_warnings(header: NiftiHeader, geometry: Geometry) -> Iterator[str]:
    """Yield a warning if qform and sform disagree, and which one was used; or if neither is the geometry that was read.

    geometry: the grid as it was read, RAS mm.
    """
    forms = {"qform": header.qform, "sform": header.sform}
    given = {
        name: form if header.unit_mm == 1 else np.diag([header.unit_mm] * 3 + [1.0]) @ form
        for name, form in forms.items()
        if form is not None
    }
    distances = {name: _measure_distance_mm(form, geometry) for name, form in given.items()}
    if not distances or min(header.spacing) < 0:  # a negative spacing has a warning of its own
        return
    tolerance = MAX_DIFFERENCE_VOXELS * float(geometry.spacing_mm.min())
    used = min(distances, key=lambda name: distances[name])
    if distances[used] > tolerance:
        yield f"the header contradicts itself; the volume was read {distances[used]:.1f} mm away from its {used}"
    elif max(distances.values()) > tolerance:
        sides = {np.sign(np.linalg.det(form[:3, :3])) for form in given.values()}
        exchanged = ", and left and right may be exchanged" if len(sides) > 1 else ""
        yield (
            f"the two positions in the header (qform and sform) disagree by up to {max(distances.values()):.1f} mm; "
            f"the {used} was used{exchanged}"
        )


def _measure_distance_mm(form: NDArray[np.float64], geometry: Geometry) -> float:
    """Measure the largest distance between the corners of a grid placed by a form and as it was read, mm."""
    index = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(-1, 3) * (geometry.size_ijk - 1)
    difference = form - geometry.affine
    return float(np.nan_to_num(np.linalg.norm(index @ difference[:3, :3].T + difference[:3, 3], axis=1), nan=1e9).max())
