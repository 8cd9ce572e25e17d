"""Which structures of several atlases are the same; their names and values stay."""

from __future__ import annotations

import numpy as np
import pytest

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation
from LightRegistrationLib.core.label_fusion.structures import LabelList, unify_structures


def named(**values: int) -> LabelList:
    return LabelList("named.seg.nrrd", tuple(Segment(name, value) for name, value in values.items()))


def label_map(*values: int) -> LabelList:
    return LabelList("labels.nii", tuple(Segment(f"Label_{value}", value) for value in values))


def test_named_structures_are_matched_by_name_and_keep_the_first_value() -> None:
    found = unify_structures([named(Liver=7, Spleen=2), named(spleen=7, liver=2, Kidney=3)])
    assert found.segments == (Segment("Spleen", 2), Segment("Kidney", 3), Segment("Liver", 7))
    assert found.numbers == ((3, 1), (1, 3, 2))
    other = Segmentation((np.array([[[7, 2], [3, 0]]]),), np.eye(4), named(spleen=7, liver=2, Kidney=3).segments)
    assert found.number_labels(1, other).layers[0].tolist() == [[[1, 3], [2, 0]]]


def test_a_label_map_is_matched_by_value_and_takes_the_name_of_another_atlas() -> None:
    found = unify_structures([label_map(1, 9), named(Liver=9, Kidney=4)])
    assert found.segments == (Segment("Label_1", 1), Segment("Kidney", 4), Segment("Liver", 9))
    assert found.numbers == ((1, 3), (3, 2))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [((1, 255), "uint8"), ((3, 300), "int16"), ((3, 65535), "uint16"), ((-4, 2), "int16"), ((5, 2**32 - 1), "uint32")],
)
def test_values_come_back_exactly(values: tuple[int, ...], dtype: str) -> None:
    found = unify_structures([label_map(*values), label_map(values[0])])
    restored = found.restore_values(np.array([0, 1, 2], np.uint16))
    assert (restored.dtype, restored.tolist()) == (np.dtype(dtype), [0, *values])


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([named(Liver=1, Spleen=2), named(Liver=1, Kidney=2)], "give the value 2 to 'Spleen' and to 'Kidney'"),
        ([label_map(1), named(Liver=1), named(Spleen=1)], "the value 1 is 'Spleen' here, but 'Liver' in another"),
        ([named(Liver=1, LIVER=2), named(Liver=1)], "two structures are called 'Liver'"),
        ([label_map(1, 2**32), label_map(1)], "fit into no label map"),
        ([label_map(-1, 2**31), label_map(1)], "fit into no label map"),
    ],
)
def test_contradictions_are_refused(lists: list[LabelList], message: str) -> None:
    with pytest.raises(InputError, match=message):
        unify_structures(lists)
