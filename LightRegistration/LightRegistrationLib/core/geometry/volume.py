"""Images and segmentations with their geometry, as immutable values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .geometry import FloatArray, Geometry

MASK_THRESHOLD = 0.5
"""Voxels of a probability map from this probability on are the mask."""
LABEL_TOLERANCE = 1e-3
"""Labels may differ this much from whole numbers: a scaled integer file gives 2.00003 for 2."""
_MAX_LABEL = 2.0**53
"""Floating-point numbers from here on do not hold every whole number."""
_MIN_SCAN_VALUES = 33
"""An image with fewer different values is never taken for a scan. Chosen."""
_MIN_EQUAL_NEIGHBORS = 0.5
"""Share of neighbors with equal labels below which an image is a scan; it is near 1 for structures. Chosen."""
_MIN_NEIGHBORS = 500
"""Fewer pairs of neighbors tell nothing: labels of single voxels are landmarks. Chosen."""


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
        # Slice by slice: the first ones nearly always tell.
        if array.dtype.kind == "f" and not any(np.isfinite(part).any() for part in array):
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

        Values within 0.001 of a whole number are rounded. Segments are named as Slicer names them on import:
        `Label_<value>`. Raises InputError for fractions, and for a scan: an image with many values whose neighbors
        differ.
        """
        labels = np.asarray(array)
        if labels.dtype.kind == "f":
            labels = _convert_to_integers(labels, name)
        values = [int(v) for v in np.unique(labels) if v != 0]
        if len(values) >= _MIN_SCAN_VALUES and _is_scan(labels):
            raise InputError(
                f"{name}: this looks like a scan, not like a segmentation: it has {len(values)} different values, and "
                "most neighbors differ; choose a segmentation."
            )
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
    """Pair structures by equal name, upper and lower case alike, or if no name is shared, by equal label value.

    Names and values that occur twice in one of the two are ambiguous and left out.
    """
    for key in (_get_folded_name, _get_value):
        by_key = _index_unique(key, moving)
        pairs = [(segment, by_key[value]) for value, segment in _index_unique(key, fixed).items() if value in by_key]
        if pairs:
            return pairs
    return []


def list_unequal_names(pairs: list[tuple[Segment, Segment]]) -> list[str]:
    """Return "name = name" for each pair of structures that both have names of their own, but not the same one."""
    return [
        f"{a.name} = {b.name}"
        for a, b in pairs
        if a.name != b.name and f"Label_{a.value}" != a.name and f"Label_{b.value}" != b.name
    ]


def list_ambiguous_names(fixed: Segmentation, moving: Segmentation) -> list[str]:
    """List the names that both have and that occur twice in one of them, so that `match_segments` leaves them out.

    None if it pairs by label value.
    """
    counts = [Counter(map(_get_folded_name, segmentation.segments)) for segmentation in (fixed, moving)]
    shared = counts[0].keys() & counts[1].keys()
    repeated = {name for name in shared if max(count[name] for count in counts) > 1}
    if repeated == shared:
        return []
    return list(dict.fromkeys(s.name for s in fixed.segments if _get_folded_name(s) in repeated))


def is_probability_map(array: NDArray) -> bool:
    """Tell whether an array of floating-point numbers holds fractions between 0 and 1."""
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        return False
    is_between = array.min() >= -LABEL_TOLERANCE and array.max() <= 1 + LABEL_TOLERANCE
    return bool(is_between and np.abs(array - np.round(array)).max() > LABEL_TOLERANCE)


def _get_folded_name(segment: Segment) -> str:
    return segment.name.casefold()


def _get_value(segment: Segment) -> int:
    return segment.value


def _index_unique(key: Callable[[Segment], Any], segmentation: Segmentation) -> dict[Any, Segment]:
    counts = Counter(key(s) for s in segmentation.segments)
    return {key(s): s for s in segmentation.segments if counts[key(s)] == 1}


def _is_scan(labels: NDArray) -> bool:
    """Tell whether most neighbors along k and i differ; 0 and the most frequent value, the background, are left out."""
    values, counts = np.unique(labels, return_counts=True)
    is_tissue = (labels != 0) & (labels != values[counts.argmax()])
    count = equal = 0
    for axis in (0, 2):
        tissue, moved = np.moveaxis(is_tissue, axis, 0), np.moveaxis(labels, axis, 0)
        are_inside = tissue[:-1] & tissue[1:]
        count += int(are_inside.sum())
        equal += int((are_inside & (moved[:-1] == moved[1:])).sum())
    return count >= _MIN_NEIGHBORS and equal < _MIN_EQUAL_NEIGHBORS * count


def _convert_to_integers(labels: NDArray, name: str) -> NDArray:
    if not np.isfinite(labels).all():
        raise InputError(f"{name}: not a label map (it holds NaN or infinity); choose a segmentation, or replace them.")
    if np.abs(labels - np.round(labels)).max(initial=0) > LABEL_TOLERANCE:
        raise InputError(f"{name}: not a label map (values are not whole numbers); choose a segmentation.")
    greatest = np.abs(labels).max(initial=0)
    if greatest >= _MAX_LABEL:
        raise InputError(f"{name}: not a label map (it has values up to {greatest:g}); choose a segmentation.")
    fits = greatest <= np.iinfo(np.int32).max
    return np.round(labels).astype(np.int32 if fits else np.int64)


def _make_geometry(name: str, shape: tuple[int, ...], affine: FloatArray) -> Geometry:
    try:
        return Geometry(shape, affine)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
