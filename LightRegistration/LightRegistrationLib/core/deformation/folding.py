"""Repair of folded cells of a displacement field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..geometry.geometry import FloatArray, Geometry
from ..geometry.transforms import DisplacementField
from .jacobian import compute_corner_determinants, compute_determinants, get_corner_nodes
from .settings import DEFORMATION, DeformationSettings
from .tapering import Box, find_nodes_of


def repair_folding(
    field: DisplacementField,
    settings: DeformationSettings = DEFORMATION,
    *,
    movable: NDArray[np.bool_] | None = None,
    checked: Sequence[Box] | None = None,
) -> tuple[DisplacementField, int]:
    """Smooth a displacement field around its folded cells until all corner determinants reach the minimum.

    A network's field is a diffeomorphism up to its discretization; this repairs the few cells that the discretization
    folds. Around them the field is blended with its mean over 3x3x3 nodes; elsewhere it stays bit-identical. Beyond its
    border it is continued linearly, so that the smoothing does not change an affine map, such as the half turn of a
    wrong header.

    movable: the nodes (k, j, i) that may change; cells without such a node are not repaired. None: all of them.
    checked: boxes of nodes whose cells are checked at first; None: all cells. Returns the field and the number of
    smoothing rounds (0: the same field object). After the maximum number of rounds the field is returned even if it
    still folds.
    """
    array, rounds = field.array, 0
    folded = np.zeros([n - 1 for n in array.shape[:3]], dtype=bool)
    for box in checked or [(slice(None),) * 3]:
        folded[_find_cells_of(box)] = _find_folds(array[box], field.affine, movable, box, settings)
    while folded.any() and rounds < settings.max_smoothing_rounds:
        if rounds == 0:
            array = array.copy()
        rounds += 1
        box = _find_nodes_around(folded, settings)
        cells = _find_cells_of(box)
        array[box] = _smooth_around(folded[cells], array[box], None if movable is None else movable[box], settings)
        folded[cells] = _find_folds(array[box], field.affine, movable, box, settings)
    return (field if rounds == 0 else DisplacementField(array, field.affine)), rounds


def repair_margin(
    field: DisplacementField, view: Geometry, settings: DeformationSettings = DEFORMATION
) -> tuple[DisplacementField, bool]:
    """Repair the folded cells of a tapered field beyond the fixed volume's grid `view`; returns whether it still folds.

    The border and the nodes of all cells that touch the volume stay bit-identical.
    """
    inside = find_nodes_of(view, field.geometry)
    movable = np.zeros(field.geometry.shape, dtype=bool)
    movable[1:-1, 1:-1, 1:-1] = True
    movable[inside] = False
    limited = replace(settings, max_smoothing_rounds=settings.max_taper_smoothing_rounds)
    residual = DisplacementField(field.compute_residual(), field.affine)
    repaired, rounds = repair_folding(residual, limited, movable=movable, checked=list(_iterate_shell(inside)))
    if rounds == 0:
        return field, False
    points = field.geometry.points_mm[movable]
    array = field.array.copy()
    array[movable] = field.get_outside()(points + repaired.array[movable]) - points
    is_folded = rounds == limited.max_smoothing_rounds and bool((compute_corner_determinants(repaired) <= 0).any())
    return replace(field, array=array, residual=None), is_folded


def _iterate_shell(inside: Box) -> Iterator[Box]:
    """Yield boxes of nodes that together have all cells outside a box of nodes; those at its faces reach into it."""
    before: list[slice] = []
    for axis, part in enumerate(inside):
        after = [slice(None)] * (2 - axis)
        for side in (slice(None, part.start + 1), slice(part.stop - 1, None)):
            yield (*before, side, *after)  # type: ignore[misc]
        before.append(part)


def _find_cells_of(nodes: Box) -> Box:
    """Find the box of the cells between the nodes of a box; its ends are given, or those of the grid."""
    return tuple(slice(n.start, None if n.stop is None else n.stop - 1) for n in nodes)  # type: ignore[return-value]


def _find_folds(
    array: FloatArray, affine: FloatArray, movable: NDArray[np.bool_] | None, box: Box, settings: DeformationSettings
) -> NDArray[np.bool_]:
    """Find the folded cells between the nodes of a box that have a movable node."""
    folded: NDArray[np.bool_] = np.any(compute_determinants(array, affine) < settings.min_determinant, axis=0)
    return folded if movable is None else folded & _find_cells_with(movable[box])


def _find_nodes_around(cells: NDArray[np.bool_], settings: DeformationSettings) -> Box:
    """Find the box of nodes around cells that smoothing may change, and of those that it depends on."""
    window = settings.smoothing_window_nodes // 2
    margin = settings.smoothing_reach_nodes + 2 * window + 1
    box = []
    for axis, n in enumerate(cells.shape):
        found = np.flatnonzero(cells.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(max(0, int(found[0]) - margin), min(n + 1, int(found[-1]) + 2 + margin)))
    return box[0], box[1], box[2]


def _smooth_around(
    folded: NDArray[np.bool_], array: FloatArray, movable: NDArray[np.bool_] | None, settings: DeformationSettings
) -> FloatArray:
    """Blend an array (k, j, i, 3) around its folded cells with its mean over windows of nodes."""
    at_folds = np.zeros(array.shape[:3], dtype=bool)
    for k, j, i in product((0, 1), repeat=3):
        at_folds[get_corner_nodes(k), get_corner_nodes(j), get_corner_nodes(i)] |= folded
    window = settings.smoothing_window_nodes
    near_folds = ndimage.binary_dilation(at_folds, iterations=settings.smoothing_reach_nodes)
    weight = ndimage.uniform_filter(near_folds.astype(np.float32), window)
    if movable is not None:
        weight *= movable
    return np.asarray(array + weight[..., None] * (_smooth(array, window) - array))


def _find_cells_with(nodes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the cells (k - 1, j - 1, i - 1) of which at least one corner is among the nodes (k, j, i)."""
    cells = np.zeros([n - 1 for n in nodes.shape], dtype=bool)
    for k, j, i in product((0, 1), repeat=3):
        cells |= nodes[get_corner_nodes(k), get_corner_nodes(j), get_corner_nodes(i)]
    return cells


def _smooth(array: FloatArray, window: int) -> FloatArray:
    """Average over windows of nodes; unlike the border modes of scipy, a linear continuation keeps linear maps."""
    reach = window // 2
    padded = np.pad(array, [(reach, reach)] * 3 + [(0, 0)], mode="reflect", reflect_type="odd")
    inside = (slice(reach, -reach),) * 3
    return np.asarray(ndimage.uniform_filter(padded, (window, window, window, 1))[inside])
