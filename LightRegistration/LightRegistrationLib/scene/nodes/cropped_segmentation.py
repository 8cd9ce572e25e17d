"""A segmentation as nodes hold it: label layers cropped to their content. Importable without slicer and vtk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.geometry.geometry import FloatArray, Geometry
from ...core.geometry.volume import Segment, Segmentation

Index = tuple[int, int, int]
_MAX_COUNTED_VALUE = 1 << 16
"""Label values below are counted in a table, many times quicker than sorted. Chosen."""
_CHUNK_VOXELS = 1 << 22
"""Voxels that are counted at once; counting takes eight bytes for each."""
_SAMPLING = 4
"""Every fourth voxel along each axis is looked at first: nearly all structures have one of these."""


@dataclass(frozen=True, eq=False)
class CroppedSegmentation:
    """Structures in label layers that are cropped to their content, on one voxel grid.

    It is made without a look at a voxel, however large it is; `complete` and `list_empty_names` take time.

    layers: arrays (k, j, i), which may share the memory of a node. starts: of each layer, the index (k, j, i) of its
    first voxel in the grid. shape: of the grid, (k, j, i). affine: 4x4 (i, j, k, 1) -> RAS mm, of the grid. segments:
    None for a label map, where each value other than 0 is a structure. bare_names: of structures without a layer.
    Raises InputError for a damaged affine.
    """

    layers: tuple[NDArray, ...]
    starts: tuple[Index, ...]
    shape: Index
    affine: FloatArray
    segments: tuple[Segment, ...] | None
    name: str = "segmentation"
    bare_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            self.geometry  # noqa: B018 - it checks the affine
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from error

    @property
    def geometry(self) -> Geometry:
        """The grid that the label voxels lie on."""
        return Geometry(self.shape, self.affine)

    def complete(self) -> Segmentation:
        """Return it with layers of the size of the grid; one that has it already is shared, not copied.

        Raises InputError for a label map that is empty or holds no labels.
        """
        if self.segments is not None:
            layers = (_paste(layer, start, self.shape) for layer, start in zip(self.layers, self.starts, strict=True))
            return Segmentation(tuple(layers), self.affine, self.segments, self.name)
        found = Segmentation.from_labels(self.layers[0], self.affine, self.name)
        if not found.segments:
            raise InputError(f"{self.name}: the label map is empty; it holds no label other than 0.")
        return found

    def list_empty_names(self) -> list[str]:
        """List the names of the structures without a voxel."""
        segments = self.segments or ()
        missing = [
            find_missing_values(layer, (s.value for s in segments if s.layer == number))
            for number, layer in enumerate(self.layers)
        ]
        return [*self.bare_names, *(s.name for s in segments if s.value in missing[s.layer])]


def find_missing_values(layer: NDArray, values: Iterable[int]) -> set[int]:
    """Return which of the label values no voxel of a layer (k, j, i) has."""
    missing = set(values)
    for step in (_SAMPLING, 1):
        if missing:
            missing -= _find_values(layer[::step, ::step, ::step])
    return missing


def _find_values(layer: NDArray) -> set[int]:
    found: set[int] = set()
    slices = max(1, _CHUNK_VOXELS // max(1, layer[:1].size))
    for start in range(0, len(layer), slices):
        part = layer[start : start + slices]
        if part.min(initial=0) >= 0 and part.max(initial=0) < _MAX_COUNTED_VALUE:
            found.update(np.flatnonzero(np.bincount(part.ravel())).tolist())
        else:
            found.update(np.unique(part).tolist())
    return found


def _paste(layer: NDArray, start: Index, shape: Index) -> NDArray:
    labels = layer.astype(np.int32) if layer.dtype.kind == "f" else layer
    if labels.shape == shape:
        return labels
    result = np.zeros(shape, dtype=labels.dtype)
    result[tuple(slice(first, first + count) for first, count in zip(start, labels.shape, strict=True))] = labels
    return result
