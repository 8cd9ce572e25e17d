"""Mean distances against brute force, and results held against tolerances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import apply_affine
from LightRegistrationLib.core.geometry.volume import Segmentation
from LightRegistrationLib.core.review.agreement import compute_mean_distances
from LightRegistrationLib.core.review.tolerances import DEFAULTS, NOT_MEASURED, SOURCE, Tolerances, check_tolerances

from ..geometries import AWKWARD

VOLUME = {"spacing_mm": [1.0, 1.0, 1.0]}
OVERLAP = {"dice": 0.9, "jaccard": 0.8, "hd95_mm": 2.0, "volume_change_percent": 1.0}


def make_report(**changes) -> dict:
    structures = [{"name": name, "value": n, "after": OVERLAP} for n, name in enumerate(("liver", "spleen"), 1)]
    report = {"fixed": VOLUME, "moving": VOLUME, "structures": structures}
    return {**report, "jacobian": {"percent_nonpositive": 0.0, "minimum": 0.4}, **changes}


@pytest.mark.parametrize("name", AWKWARD)
def test_mean_distance_against_all_pairs_of_surface_points(name: str) -> None:
    geometry, points = AWKWARD[name], []
    fixed, moving = (np.zeros(geometry.shape, np.int32) for _ in range(2))
    fixed[4:12, 5:20, 6:16], fixed[0:3, 20:28, 10:20] = 7, 70000  # the second touches the border of the volume
    moving[6:14, 5:20, 3:16], moving[0:4, 18:28, 12:20] = 7, 70000
    expected = {}
    for value in (7, 70000):
        points = []
        for labels in (fixed, moving):
            mask = np.pad(labels == value, 1)
            voxels = np.argwhere(mask & ~binary_erosion(mask)) - 1
            points.append(apply_affine(geometry.affine, voxels[:, ::-1]))
        distances = cdist(*points)
        expected[value] = np.concatenate([distances.min(axis=0), distances.min(axis=1)]).mean()
    pair = (Segmentation.from_labels(labels, geometry.affine) for labels in (fixed, moving))
    assert compute_mean_distances(*pair) == pytest.approx(expected)


def test_an_empty_structure_has_no_distance() -> None:
    geometry = AWKWARD["plain"]
    labels = np.zeros(geometry.shape, np.uint8)
    labels[3:6, 3:6, 3:6] = 1
    full = Segmentation.from_labels(labels, geometry.affine)
    empty = Segmentation((np.zeros_like(labels),), geometry.affine, full.segments)
    assert math.isnan(compute_mean_distances(full, empty)[1])
    assert math.isnan(compute_mean_distances(empty, full)[1])


def test_a_good_result_is_within_and_what_was_not_measured_is_not_called_so() -> None:
    jacobian, dice, distance, *others = check_tolerances(make_report(), {1: 0.5, 2: 1.9})
    assert (jacobian.is_within, dice.is_within, distance.is_within) == (True, True, True)
    assert distance.value == "1.90 mm (spleen); 0 of 2 above"
    assert [(check.value, check.is_within) for check in others] == [(NOT_MEASURED, None)] * 2
    without = check_tolerances(make_report(structures=None), {})
    assert [check.is_within for check in without] == [True, None, None, None, None]


def test_what_is_outside_is_named() -> None:
    structures = make_report()["structures"]
    structures[1] = {**structures[1], "after": {**OVERLAP, "dice": 0.6}}
    report = make_report(structures=structures, jacobian={"percent_nonpositive": 0.02, "minimum": -0.3})
    jacobian, dice, distance, *_ = check_tolerances(report, {1: 3.5, 2: math.nan})
    assert not jacobian.is_within
    assert "0.02 % folded" in jacobian.value
    assert (dice.is_within, dice.value) == (False, "0.600 (spleen); 1 of 2 below")
    assert (distance.is_within, distance.value) == (False, "3.50 mm (liver); 1 of 1 above")


def test_the_error_of_landmarks_is_held_against_the_distance() -> None:
    errors = {"mean_mm": 1.5, "max_mm": 4.0}
    report = make_report(landmarks={"count": 6, "before": errors, "after": errors})
    check = check_tolerances(report, {})[3]
    assert (check.value, check.is_within) == ("mean 1.50 mm, largest 4.00 mm, of 6", True)
    errors["mean_mm"] = 2.1
    assert check_tolerances(report, {})[3].is_within is False


def test_the_longest_voxel_edge_widens_the_distance() -> None:
    report = make_report(moving={"spacing_mm": [1.0, 1.0, 5.0]})
    distance = check_tolerances(report, {1: 3.5, 2: 1.0})[2]
    assert distance.is_within
    assert "≤ 5.0 mm" in distance.tolerance


def test_tolerances_of_a_site_change_the_judgment_and_name_their_source() -> None:
    own = Tolerances(min_dice=0.95, max_distance_mm=1.5, source="Protocol 7")
    report = make_report(landmarks={"count": 3, "after": {"mean_mm": 1.7, "max_mm": 2.0}})
    by_default, at_site = (check_tolerances(report, {1: 0.5, 2: 1.9}, t) for t in (DEFAULTS, own))
    assert [check.is_within for check in by_default] == [True, True, True, True, None]
    assert [check.is_within for check in at_site] == [True, False, False, False, None]
    assert {check.source for check in by_default} == {SOURCE}
    assert [check.source for check in at_site] == [SOURCE, *["Protocol 7"] * 4]
    assert at_site[1].tolerance == "≥ 0.95"
    assert "1.5 mm" in at_site[2].tolerance
    assert own.list_changes() == ["Dice ≥ 0.95 in place of 0.8", "distances ≤ 1.5 mm in place of 2 mm"]
    assert DEFAULTS.list_changes() == []


def test_a_tolerance_without_a_source_says_so_and_the_voxel_edge_still_counts() -> None:
    checks = check_tolerances(make_report(moving={"spacing_mm": [1, 1, 4]}), {1: 3.9}, Tolerances(max_distance_mm=1.0))
    assert checks[2].is_within
    assert checks[2].source == "set at this site, without a source"
    assert checks[1].source == SOURCE


@pytest.mark.parametrize("values", [{"min_dice": 1.2}, {"min_dice": -0.1}, {"max_distance_mm": 0}])
def test_impossible_tolerances_are_refused(values: dict) -> None:
    with pytest.raises(InputError, match="tolerance"):
        Tolerances(**values)
