"""The match map of two segmentations: a label map with 1 for match and 2 for mismatch, and its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.geometry.geometry import Geometry
from ...core.geometry.volume import Segment, Segmentation, match_segments
from ...core.parts import Parts, do_at_once
from ..nodes.hidden_nodes import LabelColor, add_hidden_label_map
from ..nodes.segmentations import segmentation_from_node

MATCH, MISMATCH = 1, 2
_COLORS: Sequence[LabelColor] = (("background", 0, 0, 0, 0), ("match", 1, 1, 1, 1), ("mismatch", 1, 0, 0, 1))
_MOST_LOOKED_UP = 1 << 16
"""Label values below are looked up in a table; larger ones, which are rare, are searched for."""
PART_VOXELS = 1 << 19
"""Voxels that are compared in one part. Chosen, so that it takes a few ten milliseconds."""


def compute_match_map(fixed: Segmentation, other: Segmentation, geometry: Geometry) -> NDArray[np.uint8]:
    """Compare the structures that both segmentations contain, on a grid in the world.

    Returns labels (k, j, i): MATCH where a structure is in both segmentations, MISMATCH where it is in one only (this
    wins where structures overlap), 0 elsewhere. Structures are paired by name, or by label value if no name is shared.
    Segmentations on another grid are resampled (nearest neighbor).
    Raises InputError if they have no structure in common.
    """
    return do_at_once(compute_match_map_in_parts(fixed, other, geometry))


def compute_match_map_in_parts(
    fixed: Segmentation, other: Segmentation, geometry: Geometry
) -> Parts[NDArray[np.uint8]]:
    """Do `compute_match_map` in parts of some slices."""
    pairs = match_segments(fixed, other)
    if not pairs:
        raise InputError(
            f"{fixed.name} and {other.name} share neither a name nor a label value: choose two of the same structures."
        )
    groups = [(*layers, *np.array(values).T) for layers, values in _group_by_layers(pairs).items()]
    one, two = _Sampler(fixed, geometry), _Sampler(other, geometry)
    labels = np.zeros(geometry.shape, dtype=np.uint8)
    done = 0
    for k in range(geometry.shape[0]):
        different = np.zeros(geometry.shape[1:], dtype=bool)
        for fixed_layer, other_layer, fixed_values, other_values in groups:
            in_fixed = _number_labels(one.read_slice(fixed_layer, k), fixed_values)
            in_other = _number_labels(two.read_slice(other_layer, k), other_values)
            labels[k][(in_fixed == in_other) & (in_fixed > 0)] = MATCH
            different |= in_fixed != in_other
            done += different.size
        labels[k][different] = MISMATCH
        if done >= PART_VOXELS:
            done = 0
            yield
    return labels


def add_match_map(scene: Any, fixed_node: Any, other_node: Any, geometry: Geometry) -> Parts[list[Any]]:
    """Add the match map of two segmentation nodes to the scene, hidden, in parts; returns its nodes, the map first.

    geometry: grid of the fixed volume in the world. Raises InputError as `compute_match_map` does.
    """
    fixed, other = segmentation_from_node(fixed_node), segmentation_from_node(other_node)
    labels = yield from compute_match_map_in_parts(fixed, other, geometry)
    return add_hidden_label_map(scene, "Match and mismatch", labels, geometry, _COLORS)


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


class _Sampler:
    """Slices of the layers of a segmentation on another grid (nearest neighbor, 0 outside)."""

    def __init__(self, segmentation: Segmentation, geometry: Geometry) -> None:
        self._layers = segmentation.layers
        self._shape = geometry.shape
        self._is_same = segmentation.geometry.matches(geometry)
        self._relative = segmentation.geometry.inverse_affine @ geometry.affine
        j, i = np.meshgrid(np.arange(self._shape[1]), np.arange(self._shape[2]), indexing="ij")
        self._in_plane = i[..., None] * self._relative[:3, 0] + j[..., None] * self._relative[:3, 1]
        self._slice = -1
        self._places: tuple[NDArray, ...] = ()

    def read_slice(self, layer: int, k: int) -> NDArray:
        """Return the labels (j, i) of a layer in slice k of the grid."""
        labels = self._layers[layer]
        if self._is_same:
            return labels[k]
        if k != self._slice:
            self._slice, self._places = k, self._find_places(k)
        inside, x, y, z = self._places
        result = np.zeros(self._shape[1:], dtype=labels.dtype)
        result[inside] = labels[z, y, x]
        return result

    def _find_places(self, k: int) -> tuple[NDArray, ...]:
        """Return where slice k of the grid lies inside of the layers, (j, i), and the indices i, j and k there."""
        place = self._in_plane + (k * self._relative[:3, 2] + self._relative[:3, 3] + 0.5)
        index = np.floor(place).astype(np.int64)
        inside = ((index >= 0) & (index < self._layers[0].shape[::-1])).all(axis=-1)
        return (inside, *index[inside].T)
