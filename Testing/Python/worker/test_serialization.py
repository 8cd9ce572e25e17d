"""Values that pass through the files between the panel and the worker are unchanged."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import Geometry
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
from LightRegistrationLib.worker.array_files import ArrayReader, ArrayWriter
from LightRegistrationLib.worker.protocol import (
    FieldFound,
    Finished,
    IncomingMessage,
    Message,
    PreviewField,
    ProgressMade,
    RegistrationRequest,
    decode_request,
    encode_message,
    list_request_folders,
    prepare_request,
)
from LightRegistrationLib.worker.serialization import build_value, load_value, save_value

OBLIQUE = np.array([[1.2, 0.3, 0, 5], [-0.3, 1.2, 0, -7], [0, 0, -2.5, 11], [0, 0, 0, 1.0]])
TYPES = ["uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64", "bool"]


def read_value(text: str, folder: Path):
    """The value, its arrays in memory."""
    reader = ArrayReader(folder)
    while not reader.read_next():
        pass
    return build_value(text, reader.arrays.__getitem__)


def receive(line: str, session: Path) -> Message:
    incoming = IncomingMessage(line, session)
    while not incoming.read_next():
        pass
    return incoming.decode()


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(TYPES), st.tuples(*[st.integers(1, 7)] * 3), st.booleans(), st.integers(0, 2**31))
def test_a_volume_of_any_type_and_size_is_bit_identical(tmp_path_factory, dtype, shape, mapped, seed):
    array = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
    folder = tmp_path_factory.mktemp("values") / "v"
    volume = Volume(array, OBLIQUE, "Ünïcode (moving)")

    back = (load_value if mapped else read_value)(save_value(volume, folder), folder)

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

    line, arrays = prepare_request(7, request, tmp_path)
    while not arrays.write_next():
        pass
    back = decode_request(line, tmp_path)

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

    found, finished = (receive(line, tmp_path) for line in lines)
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


def test_a_field_comes_with_what_the_transform_node_needs_of_it(tmp_path):
    turned = np.array([[0.9, 0.1, 0, 5], [-0.1, 0.9, 0, -7], [0, 0, 1.1, 11], [0, 0, 0, 1.0]])
    outside = AffineTransform(turned)
    grid = Geometry((5, 6, 7), np.diag([4, 4, 4, 1.0]))
    displacements = np.zeros((*grid.shape, 3))
    displacements[2:-2, 2:-2, 2:-2] = (0.5, -1.0, 0.25)
    field = DisplacementField(outside.displace(grid, displacements), grid.affine, outside)
    back = receive(encode_message(PreviewField(1, field), tmp_path), tmp_path).field
    assert np.array_equal(back.array, field.array)
    assert back.compute_residual() is back.residual
    assert np.abs(back.residual - displacements).max() < 1e-5
    assert np.array_equal(back.residual, field.compute_residual().astype(np.float32))


@pytest.mark.parametrize("initial", InitialAlignment)
@pytest.mark.parametrize("refine", RefinementPreset)
def test_choices_stay_members_of_their_enumerations(tmp_path, initial, refine):
    text = save_value([RegistrationSettings(initial=initial, refine=refine)], tmp_path / "v")
    (back,) = load_value(text, tmp_path / "v")
    assert (back.initial, back.refine) == (initial, refine)
    assert isinstance(back.initial, InitialAlignment)
    assert isinstance(back.refine, RefinementPreset)


@pytest.mark.parametrize("stage", Stage)
def test_progress_keeps_its_stage_and_steps(tmp_path, stage):
    message = ProgressMade(5, ProgressUpdate(0.25, stage, 3, 50))
    back = receive(encode_message(message, tmp_path), tmp_path)
    assert back == message
    assert isinstance(back.update.stage, Stage)


def test_an_unknown_stage_or_kind_of_message_is_an_error(tmp_path):
    line = encode_message(ProgressMade(5, ProgressUpdate(0.25, Stage.NETWORK)), tmp_path)
    for word in ('"network"', '"progress"'):
        with pytest.raises(ValueError, match="is not a valid"):
            receive(line.replace(word, '"dreaming"'), tmp_path)


def test_values_are_checked_again_when_they_are_loaded(tmp_path):
    text = save_value([RegistrationSettings(cascades=3)], tmp_path / "v")
    with pytest.raises(InputError, match="1 to 3 cascades, not 9"):
        load_value(text.replace('"cascades": 3', '"cascades": 9'), tmp_path / "v")


def test_nothing_is_pickled(tmp_path):
    with pytest.raises(TypeError, match="cannot be sent"):
        save_value([tmp_path], tmp_path / "a")
    with pytest.raises(TypeError, match="array of objects"):
        save_value(np.array([{"an": "object"}]), tmp_path / "b")


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=">i2").reshape(2, 3, 4),
        np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
        np.arange(24, dtype=np.float16).reshape(2, 3, 4)[:, ::2],
        np.zeros((0, 3), np.int16),
        np.float32(2.5).reshape(()),
    ],
)
def test_an_array_is_written_and_read_a_bounded_number_of_bytes_at_a_time(tmp_path, array):
    writer = ArrayWriter(tmp_path)
    names = [writer.add(array), writer.add(np.arange(5))]
    sizes = [0]
    while not writer.write_next(7):
        sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
        assert sizes[-1] - sizes[-2] == 7
    assert np.array_equal(np.load(tmp_path / names[0]), array), "an ordinary .npy file"

    reader = ArrayReader(tmp_path)
    turns = 1
    while not reader.read_next(7):
        turns += 1
    assert turns == max(-(-(array.nbytes + 40) // 7), 1)
    for name, expected in zip(names, (array, np.arange(5)), strict=True):
        assert reader.arrays[name].dtype == expected.dtype
        assert np.array_equal(reader.arrays[name], expected)


def test_a_file_that_ends_too_early_is_an_error(tmp_path):
    writer = ArrayWriter(tmp_path)
    name = writer.add(np.arange(1000))
    writer.write_next(2000)
    reader = ArrayReader(tmp_path)
    with pytest.raises(ValueError, match=f"{name} is too short"):
        reader.read_next()
