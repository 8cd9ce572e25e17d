"""The structures of all atlases as one list, each with one name and one label value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry.volume import Segment, Segmentation
from ..metrics.label_counts import LabelLookup

NUMBER_TYPE = np.dtype(np.uint16)
"""Type of the numbers that stand for structures while labels are fused."""
_LABEL_TYPES = (np.uint8, np.int16, np.uint16, np.int32, np.uint32)


@dataclass(frozen=True)
class LabelList:
    """The structures of one atlas. source: the name of its file, for messages."""

    source: str
    segments: tuple[Segment, ...]

    @property
    def has_names(self) -> bool:
        """Whether any structure has a name of its own, as those of a .seg.nrrd file have."""
        return any(segment.name != f"Label_{segment.value}" for segment in self.segments)


@dataclass(frozen=True, eq=False)
class Structures:
    """The structures of several atlases, by ascending value; structure 1 is the first, 0 is background.

    dtype: the smallest type that holds all values. numbers: for each atlas, the numbers of its segments.
    """

    segments: tuple[Segment, ...]
    dtype: np.dtype
    numbers: tuple[tuple[int, ...], ...]

    def number_labels(self, atlas: int, segmentation: Segmentation) -> Segmentation:
        """Replace the label values of an atlas, which has one layer, by the numbers of its structures."""
        lookup = LabelLookup([segment.value for segment in segmentation.segments])
        numbers = np.array([0, *self.numbers[atlas]], NUMBER_TYPE)
        segments = tuple(Segment(s.name, n) for s, n in zip(segmentation.segments, self.numbers[atlas], strict=True))
        labels = numbers[lookup(segmentation.layers[0])]
        return Segmentation((labels,), segmentation.affine, segments, segmentation.name)

    def restore_values(self, numbers: NDArray) -> NDArray:
        """Replace the numbers of structures by their label values."""
        return np.array([0, *(segment.value for segment in self.segments)], self.dtype)[numbers]


def unify_structures(lists: Sequence[LabelList]) -> Structures:
    """Find which structures of the atlases are the same: those of equal name, upper and lower case alike.

    If the structures of one of the atlases have no names, as in a label map, those of equal value. Each keeps the name
    and the value of the first atlas that shows it. Raises InputError if two structures would have one value or one
    name, and if the values fit into no type of a label map.
    """
    by_name = all(labels.has_names for labels in lists)
    found: dict[str | int, Segment] = {}
    for labels in lists:
        keys = [_get_key(segment, by_name) for segment in labels.segments]
        if len(set(keys)) < len(keys):
            twice = next(s for s, key in zip(labels.segments, keys, strict=True) if keys.count(key) > 1)
            raise InputError(f"{labels.source}: two structures are called '{twice.name}'; rename one of them.")
        for key, segment in zip(keys, labels.segments, strict=True):
            if key not in found or found[key].name == f"Label_{segment.value}":
                found[key] = segment
            elif not by_name and labels.has_names and found[key].name.casefold() != segment.name.casefold():
                raise InputError(
                    f"{labels.source}: the value {segment.value} is '{segment.name}' here, but '{found[key].name}' in "
                    "another atlas; give them different values."
                )
    ordered = sorted(found, key=lambda key: found[key].value)
    for first, second in pairwise(ordered):
        if found[first].value == found[second].value:
            raise InputError(
                f"The atlases give the value {found[first].value} to '{found[first].name}' and to "
                f"'{found[second].name}'; give them different values."
            )
    numbers = {key: number for number, key in enumerate(ordered, 1)}
    segments = tuple(Segment(found[key].name, found[key].value) for key in ordered)
    own = (tuple(numbers[_get_key(segment, by_name)] for segment in labels.segments) for labels in lists)
    return Structures(segments, _choose_type(segments), tuple(own))


def _get_key(segment: Segment, by_name: bool) -> str | int:
    return segment.name.casefold() if by_name else segment.value


def _choose_type(segments: Sequence[Segment]) -> np.dtype:
    low, high = segments[0].value, segments[-1].value
    for kind in _LABEL_TYPES:
        if np.iinfo(kind).min <= min(low, 0) and high <= np.iinfo(kind).max:
            break
    else:
        raise InputError(f"The label values {low} to {high} fit into no label map; use values from 0 to 4294967295.")
    if len(segments) > np.iinfo(NUMBER_TYPE).max:
        raise InputError(f"{len(segments)} structures are too many; use label maps with 65535 or fewer.")
    return np.dtype(kind)
