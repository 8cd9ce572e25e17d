"""Target registration error against distances that are known."""

from __future__ import annotations

import numpy as np
import pytest

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.metrics.landmarks import measure_landmark_errors


def test_mean_and_largest_distance():
    points = np.array([[0.0, 0, 0], [1, 2, 3], [-5, 0, 0]])
    errors = measure_landmark_errors(points, points + [[3, 4, 0], [0, 0, 0], [0, 0, -1]])
    assert (errors.mean_mm, errors.max_mm) == (2.0, 5.0)


@pytest.mark.parametrize(("counts", "words"), [((2, 3), "2 fixed and 3 moving"), ((0, 0), "no landmarks")])
def test_landmarks_without_counterparts_are_refused_in_one_line(counts, words):
    with pytest.raises(InputError, match=words) as caught:
        measure_landmark_errors(*(np.zeros((count, 3)) for count in counts))
    assert "\n" not in str(caught.value)
