"""The continuation of a displacement field beyond the fixed volume: it falls smoothly to an affine transform.

Programs differ in what a displacement field does outside its grid: some repeat its border, some set it to zero. A field
that ends in the initial alignment, followed by that alignment everywhere else, means the same to all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..geometry.geometry import FloatArray, Geometry, apply_affine, homogeneous
from ..geometry.transforms import AffineTransform, DisplacementField
from .settings import DEFORMATION, DeformationSettings

_SMOOTHSTEP_SLOPE = 1.5
"""The steepest slope of 3 t^2 - 2 t^3 over the interval of length 1."""

Box = tuple[slice, slice, slice]


def taper_field(
    field: DisplacementField,
    outside: AffineTransform,
    view: Geometry,
    settings: DeformationSettings = DEFORMATION,
) -> DisplacementField:
    """Let a field fall smoothly to an affine transform beyond the grid of a volume.

    With the residual displacement u of x -> outside(x + u(x)), u is multiplied by a weight that falls from 1 at the
    volume to 0 at the border of the new grid. The nodes of all cells that touch the volume keep their displacements,
    bit for bit. `core.deformation.folding.repair_margin` repairs what still folds in between.

    field: fixed -> moving. view: the grid of the fixed volume. Returns the field on a grid of the same spacing, with
    `outside` as the transform outside it. Each side is as wide as its largest residual displacement needs.
    """
    residual = outside.inverse().displace(field.geometry, field.array)
    kept = find_nodes_of(view, field.geometry)
    before, after = _choose_margins(residual, kept, field.geometry, settings)
    residual, start = _cut_or_pad(residual, kept, before, after)
    shape = residual.shape[:3]
    residual *= _make_weights(shape, before, after)[..., None]

    affine = field.affine @ homogeneous(np.eye(3), start[::-1])
    inside: Box = tuple(slice(b, n - a) for b, a, n in zip(before, after, shape, strict=True))  # type: ignore[assignment]
    array = outside.displace(Geometry(shape, affine), residual).astype(np.float32)
    array[inside] = field.array[kept]
    return DisplacementField(array, affine, outside)


def find_nodes_of(view: Geometry, grid: Geometry) -> Box:
    """Find the box of nodes (k, j, i) of all cells of a grid that touch a volume, up to its outer edges."""
    indices = np.round(apply_affine(grid.inverse_affine, view.corners_mm), 6)[:, ::-1]
    first, last = np.floor(indices.min(0)).astype(int), np.ceil(indices.max(0)).astype(int)
    parts = []
    for low, high, n in zip(first, last, grid.shape, strict=True):
        start = int(np.clip(low, 0, n - 1))
        parts.append(slice(start, int(np.clip(high, start, n - 1)) + 1))
    return parts[0], parts[1], parts[2]


def _choose_margins(
    residual: FloatArray, kept: Box, grid: Geometry, settings: DeformationSettings
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Choose the nodes to add before and after the kept ones along k, j, i, so that the slopes stay within limits."""
    margins = np.zeros((2, 3), dtype=int)
    for axis in range(3):
        direction = grid.affine[:3, 2 - axis] / grid.spacing_mm[2 - axis]
        for side, sign in enumerate((-1, 1)):
            part = slice(None, kept[axis].start + 1) if side == 0 else slice(kept[axis].stop - 1, None)
            beyond = residual[tuple(part if a == axis else slice(None) for a in range(3))].reshape(-1, 3)
            outward_mm = max(0.0, float((sign * (beyond @ direction)).max()))
            length_mm = float(np.linalg.norm(beyond, axis=1).max())
            width_mm = _SMOOTHSTEP_SLOPE * max(outward_mm / settings.max_normal_slope, length_mm / settings.max_slope)
            nodes = int(np.ceil(width_mm / grid.spacing_mm[2 - axis]))
            margins[side, axis] = max(settings.min_taper_nodes, nodes)
    return margins[0], margins[1]


def _cut_or_pad(
    residual: FloatArray, kept: Box, before: NDArray[np.int_], after: NDArray[np.int_]
) -> tuple[FloatArray, FloatArray]:
    """Give the kept nodes their margins: existing nodes, then copies of the outermost; returns the first index too."""
    parts, widths, start = [], [], []
    for part, b, a, n in zip(kept, before, after, residual.shape[:3], strict=True):
        low, high = part.start - int(b), part.stop + int(a)
        parts.append(slice(max(low, 0), min(high, n)))
        widths.append((max(-low, 0), max(high - n, 0)))
        start.append(float(low))
    return np.pad(residual[tuple(parts)], [*widths, (0, 0)], mode="edge"), np.array(start)


def _make_weights(shape: tuple[int, ...], before: NDArray[np.int_], after: NDArray[np.int_]) -> FloatArray:
    """Make the weights (k, j, i): 1 inside the margins, 0 at the border, smoothstep in between."""
    along = []
    for n, b, a in zip(shape, before, after, strict=True):
        index = np.arange(n)
        share = np.clip(np.minimum(index / b, (n - 1 - index) / a), 0, 1)
        along.append(share * share * (3 - 2 * share))
    return np.asarray(along[0][:, None, None] * along[1][:, None] * along[2])
