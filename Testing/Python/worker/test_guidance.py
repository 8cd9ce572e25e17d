"""The masks and the structures to preserve in a request."""

from __future__ import annotations

import numpy as np
import pytest

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation, Volume
from LightRegistrationLib.core.result.settings import RegistrationSettings
from LightRegistrationLib.worker.guidance import build_guidance, select_segments
from LightRegistrationLib.worker.protocol import RegistrationRequest

LAYERS = (np.array([[[1, 2], [3, 0]]], np.uint8), np.array([[[0, 1], [1, 1]]], np.uint8))
ORGANS = Segmentation(
    LAYERS, np.eye(4), (Segment("Liver", 1), Segment("3", 2), Segment("Spleen", 3), Segment("Tumor", 1, 1)), "organs"
)


def test_structures_are_found_by_name_and_else_by_label_value():
    assert [s.name for s in select_segments(ORGANS, ["Tumor", "2", "Tumor"]).segments] == ["Tumor", "3"]
    assert [s.value for s in select_segments(ORGANS, ["3"]).segments] == [2], "a name goes before a value"
    (tumor,) = select_segments(ORGANS, ["Tumor"]).segments
    assert np.array_equal(select_segments(ORGANS, ["Tumor"]).mask(tumor), LAYERS[1] == 1)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Kidney", "organs: there is no structure 'Kidney' to preserve; there are Liver, 3, Spleen, Tumor."),
        ("1", "organs: '1' means 2 structures; give each its own name."),
        ("tumor", "no structure 'tumor'"),
    ],
)
def test_a_missing_or_ambiguous_structure_is_one_line(name, line):
    with pytest.raises(InputError) as error:
        select_segments(ORGANS, [name])
    assert line in str(error.value)


def test_guidance_has_the_masks_and_structures_of_the_request():
    volume = Volume(np.arange(8.0).reshape(2, 2, 2), np.eye(4))
    mask = Segmentation.from_labels(np.ones((2, 2, 2), int), np.eye(4))
    nothing = build_guidance(RegistrationRequest(volume, volume, RegistrationSettings()))
    assert (nothing.fixed_mask, nothing.moving_mask, nothing.preserved_segments) == (None, None, None)

    settings = RegistrationSettings(keep_volume=("Spleen",))
    known = build_guidance(RegistrationRequest(volume, volume, settings, None, ORGANS, mask, None))
    assert known.fixed_mask is mask
    assert known.moving_mask is None
    assert [s.name for s in known.preserved_segments.segments] == ["Spleen"]
    with pytest.raises(InputError, match="give the moving segmentation"):
        build_guidance(RegistrationRequest(volume, volume, settings))
