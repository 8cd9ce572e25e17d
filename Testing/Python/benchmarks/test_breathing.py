"""Made-up breathing: the known points correspond, the diaphragm rises as far as asked for, the chest wall stays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from LightRegistrationLib.core.files.landmark_table import read_landmarks
from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine, homogeneous
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.training.evaluation.files import to_sitk_image

from .conftest import RunBenchmark

RISE_MM = 16.0


def make_chest() -> Volume:
    """A chest of 160 x 120 x 150 mm: a wall, two lungs whose densities differ from place to place, and a belly."""
    geometry = Geometry((50, 40, 54), homogeneous(np.eye(3) * 3.0, (-80, -60, 10)))
    x, y, z = np.moveaxis(geometry.points_mm - geometry.center_mm, -1, 0)
    array = np.where((x / 76) ** 2 + (y / 55) ** 2 < 1, 40.0, -1000.0)
    texture = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=array.shape), 1.5)
    for side in (-1, 1):
        # The bottom of a lung is 45 mm above that of the scan.
        lung = (
            (((x - side * 36) / 26) ** 2 + (y / 38) ** 2 + (np.minimum(z - 60, 0) / 90) ** 2 < 1) & (z > -30) & (z < 60)
        )
        array[lung] = -850 + 1500 * texture[lung]
    return Volume(np.round(np.clip(array, -1000, 300)).astype(np.int16), geometry.affine, "chest")


def sample(volume: Volume, points: np.ndarray) -> np.ndarray:
    i, j, k = apply_affine(np.linalg.inv(volume.affine), points).T
    return ndimage.map_coordinates(volume.array.astype(float), [k, j, i], order=1)


@pytest.fixture
def pairs(benchmark: RunBenchmark):
    import breathing_pairs

    return breathing_pairs


def test_the_points_correspond_and_the_diaphragm_rises_as_far_as_asked_for(pairs):
    chest = make_chest()
    pair = pairs.make_breathing_pair(chest, RISE_MM, seed=1)
    values = sample(pair.inhaled, pair.inhaled_mm), sample(pair.exhaled, pair.exhaled_mm)
    assert np.corrcoef(*values)[0, 1] > 0.8
    assert np.corrcoef(values[0], sample(pair.exhaled, pair.inhaled_mm))[0, 1] < 0.5
    assert values[1].mean() > values[0].mean() + 20, "a lung that gets smaller gets denser"

    up = (pair.exhaled_mm - pair.inhaled_mm)[:, 2]
    order = np.argsort(pair.exhaled_mm[:, 2])
    assert up[order[:30]].mean() == pytest.approx(RISE_MM, rel=0.2)
    assert up[order[-30:]].mean() < 0.2 * RISE_MM

    bottoms = []
    for volume in (pair.inhaled, pair.exhaled):
        lungs = pairs.find_lungs(volume)
        bottoms.append(np.percentile(volume.geometry.points_mm[lungs][:, 2], 1))
    assert bottoms[1] - bottoms[0] == pytest.approx(RISE_MM, abs=5)


def test_the_wall_of_the_chest_stays_and_what_comes_from_below_is_cut_off(pairs):
    chest = make_chest()
    pair = pairs.make_breathing_pair(chest, RISE_MM, seed=1)
    assert pair.exhaled.geometry.corners_mm[:, 2].min() >= chest.geometry.corners_mm[:, 2].min() + RISE_MM
    cut = chest.array.shape[0] - pair.exhaled.array.shape[0]
    content = ndimage.binary_dilation(pairs.find_lungs(chest).any(0), iterations=8)
    wall = ~content & (chest.array[cut:] > -500).all(0)
    assert wall.sum() > 50
    difference = pair.exhaled.array.astype(float) - chest.array[cut:]
    assert np.abs(difference[:, wall]).mean() < 1.5 * pairs.NOISE_HU


def test_a_scan_without_lungs_is_named(pairs):
    empty = Volume(np.full((20, 20, 20), 40, np.int16), np.eye(4), "water")
    with pytest.raises(ValueError, match="no lungs"):
        pairs.make_breathing_pair(empty, 10.0, seed=1)


@pytest.mark.usefixtures("forked_rows")
def test_each_breath_is_registered_in_both_directions(benchmark: RunBenchmark, tmp_path: Path):
    data = tmp_path / "data"
    data.mkdir()
    sitk.WriteImage(to_sitk_image(make_chest()), str(data / "chest.nii.gz"))
    records = [{"id": "chest_T00", "anatomy": "lung_ct", "image": "chest.nii.gz"}]
    (data / "manifest.json").write_text(json.dumps({"records": records, "pairs": []}))
    folders = ("--data", data, "--work", tmp_path / "work", "--output", tmp_path / "results", "--threads", "1")
    done = benchmark("breathing", *folders, "--methods", "affine", "--rises", "16")
    assert done.status == 0, done.stderr
    rows = json.loads((tmp_path / "results" / "breathing.json").read_text(encoding="utf-8"))
    assert [row["direction"] for row in rows] == ["inhaled to exhaled", "exhaled to inhaled"]
    for row, pair in zip(rows, ("chest_T00_16_inhaled", "chest_T00_16_exhaled"), strict=True):
        points = read_landmarks(tmp_path / "work" / "pairs" / pair / "landmarks.csv")
        before = np.linalg.norm(points[:, 0] - points[:, 1], axis=-1).mean()
        assert 4 < before < RISE_MM
        assert row["tre_mm"] < 0.8 * before
    assert "| affine only" in (tmp_path / "results" / "breathing.md").read_text(encoding="utf-8")
