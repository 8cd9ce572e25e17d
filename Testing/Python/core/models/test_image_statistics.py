"""Image statistics hardly depend on how a volume is stored, cropped, windowed or how noisy it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from LightRegistrationLib.commands.phantom.pair import make_head
from LightRegistrationLib.core.geometry.geometry import homogeneous
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.models.image_statistics import measure_image_statistics

from ..body_phantoms import head_and_neck, trunk

HEAD, _ = make_head(3, 3.0)


def changed(volume: Volume, values: np.ndarray) -> Volume:
    return Volume(values, volume.affine, volume.name)


def unlike_t1(volume: Volume) -> Volume:
    """The same head with bright fluid and darker white matter, as in T2."""
    values = volume.array.astype(np.float32) / np.percentile(volume.array, 99)
    return changed(volume, np.where(values > 0.1, 1.15 - values, values))


@pytest.mark.parametrize(
    ("name", "window"),
    {
        "as it is": lambda hu: hu,
        "clipped as 4D-CT often is": lambda hu: np.clip(hu, -1000, 200),
        "windowed": lambda hu: np.clip(hu, -200, 300),
        "narrowly windowed": lambda hu: np.clip(hu, -160, 240),
        "with a value of its own outside the scanner's circle": lambda hu: np.where(hu < -990, -3024, hu),
        "as floating-point numbers with gaps": lambda hu: np.where(hu > 2000, np.nan, hu.astype(np.float32)),
        "noisy": lambda hu: hu + np.random.default_rng(0).normal(scale=60, size=hu.shape),
    }.items(),
)
@pytest.mark.parametrize("body", [trunk(350, 0.7), head_and_neck()], ids=["chest", "head and neck"])
def test_ct_is_recognized_and_measured_alike_for_any_window(body, name, window):
    expected, found = measure_image_statistics(body), measure_image_statistics(changed(body, window(body.array)))
    assert (expected.modality, found.modality) == ("CT", "CT")
    assert found.values["air_percent"] == pytest.approx(expected.values["air_percent"], abs=6)
    assert found.values["narrow_mm"] == pytest.approx(expected.values["narrow_mm"], rel=0.1)
    assert found.values["narrowing_percent"] == pytest.approx(expected.values["narrowing_percent"], abs=6)


def test_a_trunk_is_measured_in_millimeters_and_percent():
    """Against the ellipses that it is made of: 350 x 240 mm over 300 mm, lungs of 2 x 116 x 156 mm in 60 % of it."""
    facts = measure_image_statistics(trunk(300, 0.6)).values
    assert facts["narrow_mm"] == pytest.approx((350 * 240) ** 0.5, rel=0.05)
    assert facts["narrowing_percent"] < 5
    lungs = 0.6 * 2 * 116 * 156 / (350 * 240)
    bowel = 60 / 300 * 28 * 28 / (350 * 240)
    assert facts["air_percent"] == pytest.approx(100 * (lungs + bowel), abs=3)
    assert facts["median_air_percent"] == pytest.approx(100 * 2 * 116 * 156 / (350 * 240), abs=4)  # and the couch
    assert facts["longest_mm"] == pytest.approx(350, abs=55)  # and the couch, 400 mm


@pytest.mark.parametrize("offset", [1000, 1024])
def test_ct_without_its_offset_gets_a_warning(offset):
    stored = np.maximum(trunk(350, 0.3).array.astype(int) + offset, 0).astype(np.uint16)
    statistics = measure_image_statistics(changed(trunk(350, 0.3), stored))
    assert statistics.modality == "unclear"
    assert "Hounsfield" in statistics.intensity_warning
    assert "-1024" in statistics.intensity_warning


def test_ct_scaled_to_fractions_is_not_taken_for_hounsfield_units():
    body = trunk(350, 0.3)
    assert measure_image_statistics(changed(body, np.clip((body.array + 1000) / 2000, 0, 1))).modality == "MRI"


@pytest.mark.parametrize("gain", [0.001, 1.0, 1.02, 60.0])
def test_mri_is_not_taken_for_ct_whatever_its_gain(gain):
    """White matter of about 1000 to 1100 lies where the soft tissue of a CT without its offset does."""
    white = np.percentile(HEAD.array, 95)
    values = HEAD.array.astype(np.float32) / white * 1060 * gain
    statistics = measure_image_statistics(changed(HEAD, values))
    assert (statistics.modality, statistics.intensity_warning) == ("MRI", "")
    assert statistics.values["calm_rank_percent"] == pytest.approx(
        measure_image_statistics(HEAD).values["calm_rank_percent"], abs=2
    )


def test_a_crop_of_homogeneous_tissue_is_not_taken_for_ct_without_its_offset():
    """There is no air in it, which every CT of a body shows."""
    values = np.random.default_rng(0).normal(1030, 60, (40, 40, 40))
    values[::9, ::9] = 1700
    assert measure_image_statistics(Volume(values, np.eye(4))).modality == "MRI"


def test_mri_with_negative_values_is_not_taken_for_ct():
    values = HEAD.array.astype(np.float32)
    assert measure_image_statistics(changed(HEAD, (values - values.mean()) / values.std())).modality == "MRI"
    phase = np.random.default_rng(0).uniform(-4096, 4095, HEAD.array.shape)
    assert measure_image_statistics(changed(HEAD, phase)).modality == "MRI"


def test_white_matter_is_bright_in_t1_and_not_otherwise():
    stripped = changed(HEAD, HEAD.array * (make_head(3, 3.0)[1].layers[0] > 0))
    for volume in (HEAD, stripped):
        assert measure_image_statistics(volume).values["calm_rank_percent"] > 70
        assert measure_image_statistics(unlike_t1(volume)).values["calm_rank_percent"] < 60


def test_noise_and_shading_leave_t1_recognizable():
    rng = np.random.default_rng(1)
    values = HEAD.array.astype(np.float32)
    shading = np.linspace(0.8, 1.2, values.shape[0])[:, None, None]
    noise = 0.05 * np.percentile(values, 95) * rng.normal(size=values.shape)
    assert measure_image_statistics(changed(HEAD, np.abs(values * shading + noise))).values["calm_rank_percent"] > 67


def test_the_field_of_view_cuts_a_crop_and_not_a_head():
    whole = measure_image_statistics(HEAD)
    assert whole.values["cut_percent"] < 20
    assert 170 < whole.values["longest_mm"] < 230
    middle = tuple(slice(n // 2 - 6, n // 2 + 6) for n in HEAD.array.shape)
    crop = measure_image_statistics(changed(HEAD, HEAD.array[middle]))
    assert crop.values["cut_percent"] > 80
    assert crop.values["longest_mm"] == pytest.approx(36)
    assert "calm_rank_percent" not in crop.values


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("body", [head_and_neck(), HEAD], ids=["ct", "mri"])
def test_statistics_do_not_depend_on_the_storage_order(body, order):
    array = np.flip(body.array.transpose(order), 1)
    affine = body.affine @ np.eye(4)[:, [*(2 - order[2 - axis] for axis in range(3)), 3]]
    last = np.eye(4)
    last[1, 1], last[1, 3] = -1, array.shape[1] - 1
    tilt = homogeneous(np.array([[0.98, -0.2, 0], [0.2, 0.98, 0], [0, 0, 1]]), (500, -300, 100))
    expected, found = (
        measure_image_statistics(body),
        measure_image_statistics(Volume(array, tilt @ affine @ last, body.name)),
    )
    assert found.modality == expected.modality
    assert found.values == pytest.approx(expected.values, rel=0.05, abs=1.5)


@pytest.mark.parametrize("values", [np.zeros((4, 5, 6)), np.full((1, 1, 1), -1000), np.eye(9)[None] * 1000 - 1000])
def test_degenerate_volumes_are_measured_without_error(values):
    measure_image_statistics(Volume(values, np.eye(4)))


class Count:
    voxels = 0


class CountingArray(np.ndarray):
    """An array that counts the elements that are read from it or from views of it."""

    count: Count

    @classmethod
    def of(cls, array: np.ndarray) -> CountingArray:
        counting = array.view(cls)
        counting.count = Count()
        return counting

    def __array_finalize__(self, origin: Any) -> None:
        self.count = getattr(origin, "count", Count())

    def read(self) -> np.ndarray:
        self.count.voxels += self.size
        return self.view(np.ndarray)

    def astype(self, *arguments: Any, **options: Any) -> Any:
        return self.read().astype(*arguments, **options)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return getattr(ufunc, method)(*(x.read() if isinstance(x, CountingArray) else x for x in inputs), **options)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        if function is np.moveaxis:  # gives a view
            return super().__array_function__(function, types, arguments, options)
        read = [x.read() if isinstance(x, CountingArray) else x for x in arguments]
        return function(*read, **options)


@pytest.mark.parametrize("shape", [(256, 256, 256), (200, 512, 512)])
def test_few_voxels_of_a_large_volume_are_read(shape):
    zoom = [np.linspace(0, n - 1, m).astype(int) for n, m in zip(HEAD.array.shape, shape, strict=True)]
    head = Volume(HEAD.array[np.ix_(*zoom)], np.diag([200 / n for n in shape[::-1]] + [1.0]))
    counting = CountingArray.of(head.array)
    object.__setattr__(head, "array", counting)
    assert measure_image_statistics(head).modality == "MRI"
    # Each of the samples, at most 48 along an axis, is the mean of 2x2x2 voxels.
    assert 8 * 50_000 < counting.count.voxels < 8 * 150_000
