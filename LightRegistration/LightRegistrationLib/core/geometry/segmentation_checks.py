"""Whether a segmentation or mask lies where its volume is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import InputError
from .geometry import FloatArray, apply_affine
from .volume import Segmentation, Volume

MIN_SHARE_INSIDE = 0.5
"""A smaller share of the drawn voxels inside the volume gives a warning. Chosen: mostly outside."""
_MAX_POINTS = 20_000
"""So many voxels are looked at. Chosen: the share is then known to better than 1 %."""


def check_place(drawing: Segmentation, volume: Volume, title: str) -> None:
    """Raise InputError if no drawn voxel lies inside the volume. title: what it is, for example `moving mask`."""
    if measure_share_inside(drawing, volume) == 0:
        raise InputError(
            f"{drawing.name}: the {title} lies wholly outside of {volume.name}; "
            "choose the one that belongs to this volume, or repair its header."
        )


def list_place_warnings(drawing: Segmentation, volume: Volume, title: str) -> Iterator[str]:
    """Yield a warning if the drawing lies mostly outside the volume, or has its voxels, but at another place.

    title: what it is, for example `moving segmentation`.
    """
    share = measure_share_inside(drawing, volume)
    if share < MIN_SHARE_INSIDE:
        yield (
            f"Only {100 * share:.0f} % of the {title} lie inside its volume; check that it belongs to it and that its "
            "header is right."
        )
        return
    grid, own = volume.geometry, drawing.geometry
    if grid.shape != own.shape:
        return
    distance = float(np.linalg.norm(grid.corners_mm - own.corners_mm, axis=1).max())
    if distance > float(grid.spacing_mm.max()):
        yield (
            f"The {title} has as many voxels as its volume, but its header places them up to {distance:.0f} mm "
            "elsewhere; check its header."
        )


def measure_share_inside(drawing: Segmentation, volume: Volume) -> float:
    """Measure the share of the drawn voxels that lie inside the volume's grid, 0 to 1; 1 if nothing is drawn."""
    if drawing.geometry.matches(volume.geometry):
        return 1.0
    points = _list_points_mm(drawing)
    return float(volume.geometry.contains(points).mean()) if len(points) else 1.0


def _list_points_mm(drawing: Segmentation) -> FloatArray:
    """List voxels of all segments, RAS mm (n, 3), evenly spaced in the order of the voxels."""
    drawn = np.zeros(drawing.geometry.shape, dtype=bool)
    for number, layer in enumerate(drawing.layers):
        values = [segment.value for segment in drawing.segments if segment.layer == number]
        drawn |= np.isin(layer, values)
    voxels = np.flatnonzero(drawn)
    chosen = voxels[:: max(1, len(voxels) // _MAX_POINTS)]
    k, j, i = np.unravel_index(chosen, drawn.shape)
    return apply_affine(drawing.affine, np.stack([i, j, k], axis=-1))
