"""Results held against tolerances."""

from __future__ import annotations

import pytest

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.review.tolerances import DEFAULTS, NOT_MEASURED, SOURCE, Tolerances, check_tolerances

VOLUME = {"spacing_mm": [1.0, 1.0, 1.0]}
OVERLAP = {"dice": 0.9, "jaccard": 0.8, "mean_distance_mm": 0.5, "hd95_mm": 2.0, "volume_change_percent": 1.0}


def make_report(liver_mm: float | None = 0.5, spleen_mm: float | None = 1.9, **changes) -> dict:
    """A report of two structures with these mean distances to agreement."""
    found = {"liver": liver_mm, "spleen": spleen_mm}
    structures = [
        {"name": name, "value": n, "after": {**OVERLAP, "mean_distance_mm": mm}}
        for n, (name, mm) in enumerate(found.items(), 1)
    ]
    report = {"fixed": VOLUME, "moving": VOLUME, "structures": structures}
    return {**report, "jacobian": {"percent_nonpositive": 0.0, "minimum": 0.4}, **changes}


def test_a_good_result_is_within_and_what_was_not_measured_is_not_called_so() -> None:
    jacobian, dice, distance, *others = check_tolerances(make_report())
    assert (jacobian.is_within, dice.is_within, distance.is_within) == (True, True, True)
    assert distance.value == "1.90 mm (spleen); 0 of 2 above"
    assert [(check.value, check.is_within) for check in others] == [(NOT_MEASURED, None)] * 2
    without = check_tolerances(make_report(structures=None))
    assert [check.is_within for check in without] == [True, None, None, None, None]


def test_what_is_outside_is_named() -> None:
    structures = make_report(3.5, None)["structures"]
    structures[1]["after"]["dice"] = 0.6
    report = make_report(structures=structures, jacobian={"percent_nonpositive": 0.02, "minimum": -0.3})
    jacobian, dice, distance, *_ = check_tolerances(report)
    assert not jacobian.is_within
    assert "0.02 % folded" in jacobian.value
    assert (dice.is_within, dice.value) == (False, "0.600 (spleen); 1 of 2 below")
    assert (distance.is_within, distance.value) == (False, "3.50 mm (liver); 1 of 1 above")


def test_the_error_of_landmarks_is_held_against_the_distance() -> None:
    errors = {"mean_mm": 1.5, "max_mm": 4.0}
    report = make_report(landmarks={"count": 6, "before": errors, "after": errors})
    check = check_tolerances(report)[3]
    assert (check.value, check.is_within) == ("mean 1.50 mm, largest 4.00 mm, of 6", True)
    errors["mean_mm"] = 2.1
    assert check_tolerances(report)[3].is_within is False


def test_the_consistency_of_both_directions_is_held_against_the_distance() -> None:
    lengths = {"mean_mm": 0.4, "percentile_95_mm": 1.9, "maximum_mm": 6.0}
    check = check_tolerances(make_report(consistency=lengths))[4]
    assert (check.value, check.is_within) == ("mean 0.40 mm, 95 % below 1.90 mm, largest 6.00 mm", True)
    lengths["percentile_95_mm"] = 2.1
    assert check_tolerances(make_report(consistency=lengths))[4].is_within is False


def test_the_longest_voxel_edge_widens_the_distance() -> None:
    report = make_report(3.5, 1.0, moving={"spacing_mm": [1.0, 1.0, 5.0]})
    distance = check_tolerances(report)[2]
    assert distance.is_within
    assert "≤ 5.0 mm" in distance.tolerance


def test_tolerances_of_a_site_change_the_judgment_and_name_their_source() -> None:
    own = Tolerances(min_dice=0.95, max_distance_mm=1.5, source="Protocol 7")
    report = make_report(landmarks={"count": 3, "after": {"mean_mm": 1.7, "max_mm": 2.0}})
    by_default, at_site = (check_tolerances(report, t) for t in (DEFAULTS, own))
    assert [check.is_within for check in by_default] == [True, True, True, True, None]
    assert [check.is_within for check in at_site] == [True, False, False, False, None]
    assert {check.source for check in by_default} == {SOURCE}
    assert [check.source for check in at_site] == [SOURCE, *["Protocol 7"] * 4]
    assert at_site[1].tolerance == "≥ 0.95"
    assert "1.5 mm" in at_site[2].tolerance
    assert own.list_changes() == ["Dice ≥ 0.95 in place of 0.8", "distances ≤ 1.5 mm in place of 2 mm"]
    assert DEFAULTS.list_changes() == []


def test_a_tolerance_without_a_source_says_so_and_the_voxel_edge_still_counts() -> None:
    checks = check_tolerances(make_report(3.9, moving={"spacing_mm": [1, 1, 4]}), Tolerances(max_distance_mm=1.0))
    assert checks[2].is_within
    assert checks[2].source == "set at this site, without a source"
    assert checks[1].source == SOURCE


@pytest.mark.parametrize("values", [{"min_dice": 1.2}, {"min_dice": -0.1}, {"max_distance_mm": 0}])
def test_impossible_tolerances_are_refused(values: dict) -> None:
    with pytest.raises(InputError, match="tolerance"):
        Tolerances(**values)
