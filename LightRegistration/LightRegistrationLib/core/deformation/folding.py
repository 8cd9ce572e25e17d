"""Repair of folded cells of a displacement field."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..geometry.geometry import FloatArray, Geometry
from ..geometry.transforms import DisplacementField
from .jacobian import compute_corner_determinants, get_corner_nodes
from .settings import DEFORMATION, DeformationSettings
from .tapering import find_nodes_of


def repair_folding(
    field: DisplacementField,
    settings: DeformationSettings = DEFORMATION,
    *,
    movable: NDArray[np.bool_] | None = None,
) -> tuple[DisplacementField, int]:
    """Smooth a displacement field around its folded cells until all corner determinants reach the minimum.

    A network's field is a diffeomorphism up to its discretization; this repairs the few cells that the discretization
    folds. Around them the field is blended with its mean over 3x3x3 nodes; elsewhere it stays bit-identical. Beyond its
    border it is continued linearly, so that the smoothing does not change an affine map, such as the half turn of a
    wrong header.

    movable: the nodes (k, j, i) that may change; cells without such a node are not repaired. None: all of them.
    Returns the field and the number of smoothing rounds (0: the same field object). After the maximum number of rounds
    the field is returned even if it still folds.
    """
    array = field.array
    for rounds in range(settings.max_smoothing_rounds + 1):
        determinants = compute_corner_determinants(DisplacementField(array, field.affine))
        folded = (determinants < settings.min_determinant).any(axis=0)
        if movable is not None:
            folded &= _find_cells_with(movable)
        if not folded.any() or rounds == settings.max_smoothing_rounds:
            break
        at_folds = np.zeros(array.shape[:3], dtype=bool)
        for k, j, i in product((0, 1), repeat=3):
            at_folds[get_corner_nodes(k), get_corner_nodes(j), get_corner_nodes(i)] |= folded
        window = settings.smoothing_window_nodes
        near_folds = ndimage.binary_dilation(at_folds, iterations=settings.smoothing_reach_nodes)
        weight = ndimage.uniform_filter(near_folds.astype(np.float32), window)
        if movable is not None:
            weight *= movable
        array = array + weight[..., None] * (_smooth(array, window) - array)
    return (field if rounds == 0 else DisplacementField(array, field.affine)), rounds


def repair_margin(
    field: DisplacementField, view: Geometry, settings: DeformationSettings = DEFORMATION
) -> tuple[DisplacementField, bool]:
    """Repair the folded cells of a tapered field beyond the fixed volume's grid `view`; returns whether it still folds.

    The border and the nodes of all cells that touch the volume stay bit-identical.
    """
    movable = np.zeros(field.geometry.shape, dtype=bool)
    movable[1:-1, 1:-1, 1:-1] = True
    movable[find_nodes_of(view, field.geometry)] = False
    limited = replace(settings, max_smoothing_rounds=settings.max_taper_smoothing_rounds)
    residual = DisplacementField(field.compute_residual(), field.affine)
    repaired, rounds = repair_folding(residual, limited, movable=movable)
    if rounds == 0:
        return field, False
    points = field.geometry.points_mm[movable]
    array = field.array.copy()
    array[movable] = field.get_outside()(points + repaired.array[movable]) - points
    is_folded = rounds == limited.max_smoothing_rounds and bool((compute_corner_determinants(repaired) <= 0).any())
    return replace(field, array=array), is_folded


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
