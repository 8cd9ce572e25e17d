"""Segmentations that do not lie where their volume is, and structures that are paired although their names differ."""

from __future__ import annotations

import numpy as np
import pytest

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.segmentation_checks import (
    check_place,
    list_place_warnings,
    measure_share_inside,
)
from LightRegistrationLib.core.geometry.volume import (
    Segment,
    Segmentation,
    Volume,
    list_ambiguous_names,
    list_unequal_names,
    match_segments,
)

ARRAY = np.random.default_rng(0).normal(size=(20, 24, 28)).astype(np.float32)
VOLUME = Volume(ARRAY, np.diag([2.0, 2.0, 2.0, 1.0]), "scan")


def drawing(shift_mm: float = 0.0, shape: tuple[int, int, int] = (20, 24, 28), spacing: float = 2.0) -> Segmentation:
    labels = np.zeros(shape, np.uint8)
    labels[tuple(slice(n // 4, 3 * n // 4) for n in shape)] = 1
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[0, 3] = shift_mm
    return Segmentation.from_labels(labels, affine, "drawing")


def test_a_drawing_in_its_place_has_no_warning() -> None:
    for one in (drawing(), drawing(4, (16, 20, 20)), drawing(0.5)):
        check_place(one, VOLUME, "moving mask")
        assert list(list_place_warnings(one, VOLUME, "moving mask")) == []


def test_a_drawing_outside_is_refused() -> None:
    with pytest.raises(InputError, match="the moving mask lies wholly outside of scan"):
        check_place(drawing(200), VOLUME, "moving mask")


def test_a_drawing_mostly_outside_is_a_warning() -> None:
    one = drawing(32, (20, 24, 26))  # voxels 6 to 18 of 26 from 44 mm on; the volume ends at 55 mm
    share = measure_share_inside(one, VOLUME)
    assert 0.3 < share < 0.5
    (line,) = list_place_warnings(one, VOLUME, "moving segmentation")
    assert line.startswith(f"Only {100 * share:.0f} % of the moving segmentation lie inside")


def test_equal_voxels_at_another_place_are_a_warning() -> None:
    (line,) = list_place_warnings(drawing(spacing=1.0), VOLUME, "moving segmentation")
    assert "as many voxels as its volume" in line


def named(**values: int) -> Segmentation:
    segments = tuple(Segment(name, value) for name, value in values.items())
    return Segmentation((np.arange(24, dtype=np.uint8).reshape(2, 3, 4),), np.eye(4), segments)


def test_names_are_compared_without_case() -> None:
    pairs = match_segments(named(Liver=1, SPLEEN=2), named(spleen=1, liver=2))
    assert [(a.name, b.name) for a, b in pairs] == [("Liver", "liver"), ("SPLEEN", "spleen")]
    assert list_unequal_names(pairs) == ["Liver = liver", "SPLEEN = spleen"]


def test_other_names_with_equal_values_are_listed() -> None:
    pairs = match_segments(named(Liver=1, Spleen=2), named(Milz=2, Leber=1))
    assert list_unequal_names(pairs) == ["Liver = Leber", "Spleen = Milz"]
    without_names = match_segments(named(Liver=1), named(Label_1=1))
    assert len(without_names) == 1
    assert list_unequal_names(without_names) == []


def test_names_that_occur_twice_are_listed() -> None:
    segments = (Segment("Liver", 1), Segment("liver", 2), Segment("Spleen", 3), Segment("Kidney", 4))
    twice = Segmentation((np.arange(24, dtype=np.uint8).reshape(2, 3, 4),), np.eye(4), segments)
    assert list_ambiguous_names(twice, named(LIVER=1, spleen=3)) == ["Liver", "liver"]
    assert list_ambiguous_names(named(LIVER=1, spleen=3), twice) == ["LIVER"]
    assert list_ambiguous_names(twice, named(spleen=3)) == []
    assert list_ambiguous_names(twice, named(Liver=1)) == [], "paired by value"


def test_large_float_labels_keep_their_values() -> None:
    values = np.zeros((2, 2, 2))
    values[0] = 3_000_000_000.0
    assert Segmentation.from_labels(values, np.eye(4)).segments[0].value == 3_000_000_000
