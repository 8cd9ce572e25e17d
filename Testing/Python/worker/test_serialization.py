"""Values that pass through the files between the panel and the worker are unchanged."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.transforms import AffineTransform, DisplacementField
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation, Volume
from LightRegistrationLib.core.result.progress import ProgressUpdate, Stage
from LightRegistrationLib.core.result.result import (
    ChangedPlace,
    ChangeKind,
    DisplacementSummary,
    JacobianSummary,
    Metric,
    PreservedVolume,
    RefinementEnd,
    RefinementSummary,
    RegistrationResult,
)
from LightRegistrationLib.core.result.settings import InitialAlignment, RefinementPreset, RegistrationSettings
from LightRegistrationLib.worker.protocol import (
    FieldFound,
    Finished,
    ProgressMade,
    RegistrationRequest,
    decode_message,
    decode_request,
    encode_message,
    encode_request,
    list_request_folders,
)
from LightRegistrationLib.worker.serialization import load_value, save_value

OBLIQUE = np.array([[1.2, 0.3, 0, 5], [-0.3, 1.2, 0, -7], [0, 0, -2.5, 11], [0, 0, 0, 1.0]])
TYPES = ["uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64", "bool"]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(TYPES), st.tuples(*[st.integers(1, 7)] * 3), st.booleans(), st.integers(0, 2**31))
def test_a_volume_of_any_type_and_size_is_bit_identical(tmp_path_factory, dtype, shape, mapped, seed):
    array = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
    folder = tmp_path_factory.mktemp("values") / "v"
    volume = Volume(array, OBLIQUE, "Ünïcode (moving)")

    back = load_value(save_value(volume, folder), folder, mapped=mapped)

    assert back.array.dtype == array.dtype
    assert np.array_equal(back.array, array)
    assert np.array_equal(back.affine, OBLIQUE)
    assert back.name == volume.name
    assert not back.array.flags.writeable


def test_a_request_keeps_overlapping_layers_settings_and_missing_parts(tmp_path):
    layers = (np.eye(4, dtype=np.uint8)[None].repeat(3, 0), np.ones((3, 4, 4), np.uint8))
    segments = (Segment("Liver", 1, 0), Segment("Tumor", 1, 1))
    volume = Volume(np.arange(48.0).reshape(3, 4, 4), OBLIQUE)
    request = RegistrationRequest(
        fixed=volume,
        moving=volume,
        settings=RegistrationSettings("brain-mri", 2, AffineTransform(OBLIQUE), 3, "fast", ("Tumor",), True),
        moving_segmentation=Segmentation(layers, OBLIQUE, segments, "organs"),
        moving_mask=Segmentation(layers, OBLIQUE, segments, "mask"),
    )

    back = decode_request(encode_request(7, request, tmp_path), tmp_path)

    assert back.fixed_segmentation is None
    assert back.moving_segmentation.segments == segments
    assert all(np.array_equal(a, b) for a, b in zip(back.moving_segmentation.layers, layers, strict=True))
    assert np.array_equal(back.settings.initial.matrix, OBLIQUE)
    assert (back.settings.model, back.settings.cascades, back.settings.threads) == ("brain-mri", 2, 3)
    assert (back.settings.refine, back.settings.keep_volume) == ("fast", ("Tumor",))
    assert back.settings.follow_up is True
    assert back.fixed_mask is None
    assert (back.moving_mask.name, len(back.moving_mask.layers)) == ("mask", 2)


def test_a_reply_survives_the_removal_of_its_files(tmp_path):
    field = DisplacementField(np.random.default_rng(0).normal(size=(3, 4, 5, 3)), np.diag([4, 4, 4, 1.0]))
    result = RegistrationResult(
        field,
        AffineTransform.identity(),
        "m",
        "abc",
        RegistrationSettings(),
        JacobianSummary(0.0, 0.4, float("nan"), 0.6, 1.7),
        DisplacementSummary(1.5, 4.0, 7.0),
        {Stage.NETWORK: 0.5},
        ("a line",),
        "both volumes look like it",
        RefinementSummary(RefinementPreset.FAST, Metric.MIND, 12, RefinementEnd.NO_GAIN, 0.5, 0.6),
        (PreservedVolume("Tumor", 8.0, 0.1),),
        (ChangedPlace(ChangeKind.BRIGHTER, (1.0, -2.5, 3.0), 140.0),),
    )
    warped = Volume(np.ones((2, 2, 2), np.int16), np.eye(4))
    lines = [
        encode_message(FieldFound(3, result, {"mean": None}), tmp_path),
        encode_message(Finished(3, warped, None, {"mean": [1, None]}), tmp_path),
    ]

    found, finished = (decode_message(line, tmp_path) for line in lines)
    for folder in list_request_folders(tmp_path, 3):
        shutil.rmtree(folder, ignore_errors=True)
    assert not list(tmp_path.iterdir())

    assert (found.request_id, finished.request_id) == (3, 3)
    assert np.array_equal(found.result.field.array, field.array)
    assert finished.warped.array.sum() == 8
    assert (found.report, finished.report) == ({"mean": None}, {"mean": [1, None]})
    assert found.result.warnings == ("a line",)
    assert found.result.model_reason == "both volumes look like it"
    assert np.isnan(found.result.jacobian.std_log)
    assert (found.result.refinement, found.result.preserved_volumes) == (result.refinement, result.preserved_volumes)

    assert found.result.changes == result.changes
    assert isinstance(found.result.changes[0].kind, ChangeKind)

    assert isinstance(found.result.refinement.metric, Metric)
    assert isinstance(found.result.refinement.ended, RefinementEnd)


@pytest.mark.parametrize("initial", InitialAlignment)
@pytest.mark.parametrize("refine", RefinementPreset)
def test_choices_stay_members_of_their_enumerations(tmp_path, initial, refine):
    text = save_value([RegistrationSettings(initial=initial, refine=refine)], tmp_path / "v")
    (back,) = load_value(text, tmp_path / "v", mapped=False)
    assert (back.initial, back.refine) == (initial, refine)
    assert isinstance(back.initial, InitialAlignment)
    assert isinstance(back.refine, RefinementPreset)


@pytest.mark.parametrize("stage", Stage)
def test_progress_keeps_its_stage_and_steps(tmp_path, stage):
    message = ProgressMade(5, ProgressUpdate(0.25, stage, 3, 50))
    back = decode_message(encode_message(message, tmp_path), tmp_path)
    assert back == message
    assert isinstance(back.update.stage, Stage)


def test_an_unknown_stage_or_kind_of_message_is_an_error(tmp_path):
    line = encode_message(ProgressMade(5, ProgressUpdate(0.25, Stage.NETWORK)), tmp_path)
    for word in ('"network"', '"progress"'):
        with pytest.raises(ValueError, match="is not a valid"):
            decode_message(line.replace(word, '"dreaming"'), tmp_path)


def test_values_are_checked_again_when_they_are_loaded(tmp_path):
    text = save_value([RegistrationSettings(cascades=3)], tmp_path / "v")
    with pytest.raises(InputError, match="1 to 3 cascades, not 9"):
        load_value(text.replace('"cascades": 3', '"cascades": 9'), tmp_path / "v", mapped=False)


def test_nothing_is_pickled(tmp_path):
    with pytest.raises(TypeError, match="cannot be sent"):
        save_value([tmp_path], tmp_path / "a")
    with pytest.raises(ValueError, match="allow_pickle"):
        save_value(np.array([{"an": "object"}]), tmp_path / "b")
