"""The match map of two segmentations: a label map with 1 for match and 2 for mismatch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.geometry.geometry import FloatArray, Geometry
from ...core.geometry.volume import Segment, Segmentation, match_segments

MATCH, MISMATCH = 1, 2
_MOST_LOOKED_UP = 1 << 16
"""Label values below are looked up in a table; larger ones, which are rare, are searched for."""


def compute_match_map(fixed: Segmentation, other: Segmentation, geometry: Geometry) -> NDArray[np.uint8]:
    """Compare the structures that both segmentations contain, on a grid in the world.

    Returns labels (k, j, i): MATCH where a structure is in both segmentations, MISMATCH where it is in one only (this
    wins where structures overlap), 0 elsewhere. Structures are paired by name, or by label value if no name is shared.
    Segmentations on another grid are resampled (nearest neighbor).
    Raises InputError if they have no structure in common.
    """
    pairs = match_segments(fixed, other)
    if not pairs:
        raise InputError(
            f"{fixed.name} and {other.name} share neither a name nor a label value: choose two of the same structures."
        )
    layers = {}
    for segmentation in (fixed, other):
        for number, layer in enumerate(segmentation.layers):
            layers[id(segmentation), number] = resample_labels(layer, segmentation.affine, geometry)
    labels = np.zeros(geometry.shape, dtype=np.uint8)
    different = np.zeros(geometry.shape, dtype=bool)
    for (fixed_layer, other_layer), values in _group_by_layers(pairs).items():
        fixed_values, other_values = np.array(values).T
        one, two = layers[id(fixed), fixed_layer], layers[id(other), other_layer]
        for k in range(geometry.shape[0]):
            in_fixed, in_other = _number_labels(one[k], fixed_values), _number_labels(two[k], other_values)
            labels[k][(in_fixed == in_other) & (in_fixed > 0)] = MATCH
            different[k] |= in_fixed != in_other
    labels[different] = MISMATCH
    return labels


def _group_by_layers(pairs: Sequence[tuple[Segment, Segment]]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Return for each pair of layers the label values of the structures that are paired in them."""
    groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for one, two in pairs:
        groups.setdefault((one.layer, two.layer), []).append((one.value, two.value))
    return groups


def _number_labels(labels: NDArray, values: NDArray) -> NDArray[np.intp]:
    """Return for each label the number of its value in a list, from 1; 0 for labels that are not in the list."""
    largest = int(values.max())
    if largest < _MOST_LOOKED_UP:
        numbers = np.zeros(largest + 2, dtype=np.intp)
        numbers[values] = np.arange(1, len(values) + 1)
        return numbers[np.clip(labels.astype(np.intp), 0, largest + 1)]
    order = np.argsort(values)
    places = np.minimum(np.searchsorted(values[order], labels), len(values) - 1)
    return np.where(values[order][places] == labels, order[places] + 1, 0)


def resample_labels(labels: NDArray, affine: FloatArray, geometry: Geometry) -> NDArray:
    """Resample a label array on another grid (nearest neighbor, 0 outside), slice by slice to save memory."""
    source = Geometry(labels.shape, affine)
    if source.matches(geometry):
        return labels
    relative = source.inverse_affine @ geometry.affine
    j, i = np.meshgrid(np.arange(geometry.shape[1]), np.arange(geometry.shape[2]), indexing="ij")
    in_plane = i[..., None] * relative[:3, 0] + j[..., None] * relative[:3, 1] + relative[:3, 3]
    result = np.zeros(geometry.shape, dtype=labels.dtype)
    for k in range(geometry.shape[0]):
        index = np.floor(in_plane + k * relative[:3, 2] + 0.5).astype(np.int64)
        inside = ((index >= 0) & (index < labels.shape[::-1])).all(axis=-1)
        x, y, z = index[inside].T
        result[k][inside] = labels[z, y, x]
    return result
