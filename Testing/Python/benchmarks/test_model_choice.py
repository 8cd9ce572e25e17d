"""The benchmark of the model choice: what regret is, and its variations leave the body where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from LightRegistrationLib.core.geometry.geometry import apply_affine, homogeneous
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair

from .conftest import FOLDER

PAIR = EvaluationPair("a__b", Path("a"), Path("b"), group="lung_ct")


@pytest.fixture
def choice(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import model_choice

    return model_choice


def smooth_ct() -> Volume:
    """A round body of soft tissue in air, brighter toward one side."""
    affine = homogeneous(np.diag([3.0, 3.0, 5.0]), (-60, -70, 40))
    k, j, i = np.meshgrid(np.arange(12), np.arange(48), np.arange(40), indexing="ij")
    radius = np.hypot((i - 20) / 14, (j - 24) / 12)
    return Volume(np.clip(900 * (1 - radius) * 4, -1000, 60) + 2.0 * i + k, affine, "ct")


def read_at(volume: Volume, points: np.ndarray) -> np.ndarray:
    indices = apply_affine(volume.geometry.inverse_affine, points)
    return map_coordinates(volume.array.astype(float), indices[:, ::-1].T, order=1)


def points_in_body() -> np.ndarray:
    return np.array([0, 2, 66]) + np.random.default_rng(1).uniform(-14, 14, (300, 3))


@pytest.mark.parametrize(
    ("measure", "auto", "scores", "best", "percent"),
    [
        ("Dice", 0.72, {"a": 0.8, "b": 0.72}, "a", 10.0),
        ("Dice", 0.8, {"a": 0.8, "b": 0.72}, "a", 0.0),
        ("mm", 3.0, {"a": 2.0, "b": 3.0, "c": None}, "a", 50.0),
        ("mm", 1.9, {"a": 2.0, "b": 3.0}, "a", -5.0),
    ],
)
def test_regret_is_how_much_worse_auto_is_than_the_best_model(choice, measure, auto, scores, best, percent):
    row = choice.describe(PAIR, "as loaded", measure, "b", auto, scores)
    assert row["best_model"] == best
    assert row["regret_percent"] == pytest.approx(percent)


@pytest.mark.parametrize("name", ["cropped", "canvas of 40 voxels", "table and arms"])
def test_a_variation_leaves_the_body_where_it_is(choice, name):
    ct, points = smooth_ct(), points_in_body()
    for varied in choice.list_variations("lung_ct")[name](ct, ct):
        np.testing.assert_allclose(read_at(varied, points), read_at(ct, points), atol=1e-3)
        assert not varied.geometry.matches(ct.geometry)


def test_another_spacing_shows_the_same(choice):
    ct, points = smooth_ct(), points_in_body()
    for varied in choice.list_variations("lung_ct")["other spacings"](ct, ct):
        assert np.abs(read_at(varied, points) - read_at(ct, points)).mean() < 5


def test_table_and_arms_lie_beside_the_body(choice):
    ct = smooth_ct()
    varied = choice.add_table_and_arms(ct)
    added = varied.geometry.points_mm[(varied.array > -300) & ~ct.geometry.contains(varied.geometry.points_mm)]
    body = ct.geometry.points_mm[ct.array > -300]
    assert added[:, 0].min() < body[:, 0].min() - choice.ARM_GAP_MM
    assert added[:, 0].max() > body[:, 0].max() + choice.ARM_GAP_MM
    assert varied.array[varied.geometry.points_mm[..., 1] < body[:, 1].min() - 1].max() == choice.TABLE_HU
