"""Images and segmentations with their geometry, as immutable values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .geometry import FloatArray, Geometry


def make_read_only(array: ArrayLike) -> NDArray:
    """Return a contiguous read-only view of the array, or a copy if needed."""
    result = np.ascontiguousarray(array).view()
    result.setflags(write=False)
    return result


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar image: array (k, j, i) of any real type, affine 4x4 (i, j, k, 1) -> RAS mm.

    Raises InputError for an array that is not 3-D, not numeric, empty, or without any finite value.
    """

    array: NDArray
    affine: FloatArray
    name: str = "volume"

    def __post_init__(self) -> None:
        array = np.asarray(self.array)
        if array.ndim != 3:
            raise InputError(f"{self.name}: a 3-D scalar volume is needed, but the array has shape {array.shape}.")
        if array.dtype.kind not in "buif":
            raise InputError(f"{self.name}: voxels of type {array.dtype} cannot be registered; convert to numbers.")
        geometry = _make_geometry(self.name, array.shape, self.affine)
        if array.dtype.kind == "f" and not np.isfinite(array).any():
            raise InputError(f"{self.name}: the volume holds no finite value (only NaN or infinity).")
        object.__setattr__(self, "array", make_read_only(array))
        object.__setattr__(self, "affine", geometry.affine)

    @property
    def geometry(self) -> Geometry:
        """The grid that the voxels lie on."""
        return Geometry(self.array.shape, self.affine)


@dataclass(frozen=True)
class Segment:
    """One structure of a segmentation: its name, its label value, and the index of its layer."""

    name: str
    value: int
    layer: int = 0


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Structures on one voxel grid, in one or more layers, so that they can overlap.

    layers: arrays (k, j, i) of integers, all of one shape; 0 is background. affine: 4x4 (i, j, k, 1) -> RAS mm.
    segments: name, value and layer of each structure.
    Raises InputError for layers that are not 3-D integers of one shape.
    """

    layers: tuple[NDArray, ...]
    affine: FloatArray
    segments: tuple[Segment, ...]
    name: str = field(default="segmentation")

    def __post_init__(self) -> None:
        layers = tuple(make_read_only(layer) for layer in self.layers)
        if not layers:
            raise InputError(f"{self.name}: the segmentation is empty; segment at least one structure.")
        shapes = {layer.shape for layer in layers}
        if len(shapes) != 1 or any(layer.dtype.kind not in "bui" for layer in layers):
            raise InputError(f"{self.name}: label layers must be integers of one 3-D shape, got {sorted(shapes)}.")
        geometry = _make_geometry(self.name, layers[0].shape, self.affine)
        if any(not 0 <= s.layer < len(layers) for s in self.segments):
            raise InputError(f"{self.name}: a segment names a layer that does not exist.")
        object.__setattr__(self, "layers", layers)
        object.__setattr__(self, "segments", tuple(self.segments))
        object.__setattr__(self, "affine", geometry.affine)

    @classmethod
    def from_labels(cls, array: ArrayLike, affine: ArrayLike, name: str = "segmentation") -> Segmentation:
        """Make a segmentation with one layer from a label map (k, j, i); each value other than 0 is a segment.

        Segments are named as Slicer names them on import: `Label_<value>`.
        """
        labels = np.asarray(array)
        if labels.dtype.kind == "f":
            labels = _convert_to_integers(labels, name)
        values = [int(v) for v in np.unique(labels) if v != 0]
        segments = tuple(Segment(f"Label_{value}", value) for value in values)
        return cls((labels,), np.asarray(affine, dtype=np.float64), segments, name)

    @property
    def geometry(self) -> Geometry:
        """The grid that the label voxels lie on."""
        return Geometry(self.layers[0].shape, self.affine)

    def mask(self, segment: Segment) -> NDArray[np.bool_]:
        """Return the voxels of the structure: booleans (k, j, i)."""
        return np.asarray(self.layers[segment.layer] == segment.value)


def match_segments(fixed: Segmentation, moving: Segmentation) -> list[tuple[Segment, Segment]]:
    """Pair structures by equal name, or if no name is shared, by equal label value.

    Names and values that occur twice in one of the two are ambiguous and left out.
    """
    for key in ("name", "value"):
        by_key = _index_unique(key, moving)
        pairs = [(segment, by_key[value]) for value, segment in _index_unique(key, fixed).items() if value in by_key]
        if pairs:
            return pairs
    return []


def _index_unique(key: str, segmentation: Segmentation) -> dict[Any, Segment]:
    counts = Counter(getattr(s, key) for s in segmentation.segments)
    return {getattr(s, key): s for s in segmentation.segments if counts[getattr(s, key)] == 1}


def _convert_to_integers(labels: NDArray, name: str) -> NDArray:
    if not (np.isfinite(labels).all() and (labels == np.round(labels)).all()):
        raise InputError(f"{name}: not a label map (values are not whole numbers); choose a segmentation.")
    return labels.astype(np.int32)


def _make_geometry(name: str, shape: tuple[int, ...], affine: FloatArray) -> Geometry:
    try:
        return Geometry(shape, affine)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
