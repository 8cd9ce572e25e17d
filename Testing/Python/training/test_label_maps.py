"""Label maps as material: read in RAS, aligned by their structures, rendered as pairs in nearly one pose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry import apply_affine
from LightRegistrationLib.training import label_maps
from LightRegistrationLib.training.label_maps import affine_between, read_label_map, structure_centers, template_centers
from LightRegistrationLib.training.pairs import Pair
from LightRegistrationLib.training.sources import LabelMapSourceConfig
from LightRegistrationLib.training.synthesis import SynthesisConfig

LANDMARKS = label_maps._LANDMARKS


def toy_head(seed: int) -> sitk.Image:
    """A coarse head of nested ellipsoids with the landmark structures as balls, in another pose for each seed."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.arange(n) * 4.0 - n * 2 for n in (50, 52, 44)), indexing="ij")
    stretch, shift = rng.uniform(0.9, 1.1, 3), rng.uniform(-6, 6, 3)
    x, y, z = ((p - s) / f for p, s, f in zip((x, y, z), shift, stretch, strict=True))
    radius = np.sqrt((x / 68) ** 2 + (y / 84) ** 2 + (z / 72) ** 2)
    labels = np.select([radius < 0.62, radius < 0.82, radius < 0.9, radius < 1.05], [2, 3, 24, 507], 0).astype(np.int16)
    centers = np.random.default_rng(99).uniform(-1, 1, (len(LANDMARKS), 3)) * (38, 48, 40)
    for value, center in zip(LANDMARKS, centers, strict=True):
        labels[sum((p - c) ** 2 for p, c in zip((x, y, z), center, strict=True)) < 9**2] = value
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((4, 4, 4))
    image.SetOrigin((30, -20, 10))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    return image


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("label_maps")
    for seed in range(3):
        sitk.WriteImage(toy_head(seed), str(folder / f"head_{seed}.nii.gz"))
    return folder


@pytest.fixture
def small_window(monkeypatch):
    monkeypatch.setattr(label_maps, "WINDOW_MM", (192, 192, 192))


def test_label_maps_are_read_in_ras_and_their_structures_align(data):
    loaded = [read_label_map(p) for p in sorted(data.glob("*.nii.gz"))]
    image = sitk.ReadImage(str(data / "head_0.nii.gz"))
    corner = np.array(image.TransformIndexToPhysicalPoint((3, 5, 7))) * (-1, -1, 1)
    np.testing.assert_allclose(apply_affine(loaded[0][1], (3, 5, 7)), corner)
    centers = [structure_centers(*item) for item in loaded]
    template = template_centers(centers)
    for center in centers:
        aligned = apply_affine(affine_between(center, template), center)
        assert np.linalg.norm(aligned - template, axis=1).mean() < 2.5
        assert np.linalg.norm(center - template, axis=1).mean() > 10


def test_tissue_fractions_lie_where_the_template_says(data, small_window):
    labels, affine = read_label_map(data / "head_0.nii.gz")
    centers = structure_centers(labels, affine)
    to_subject = affine_between(centers - centers.mean(0), centers)
    fractions = label_maps.tissue_fractions(labels, affine, to_subject, 6) / 255
    assert fractions.sum(0).max() < 1.02
    putamen = list(label_maps.BRAIN_CLASSES).index("putamen")
    place = np.argwhere(fractions[putamen] > 0.5)[:, ::-1].mean(0)
    found_mm = (place - 15.5) * 6 + (0, 0, label_maps.WINDOW_SHIFT_MM)
    both = [LANDMARKS.index(12), LANDMARKS.index(51)]
    np.testing.assert_allclose(found_mm, (centers[both] - centers.mean(0)).mean(0), atol=2.5)


def draw(data: Path, tmp_path: Path, **changes: object) -> Pair:
    source = LabelMapSourceConfig(files="*.nii.gz", synthesis=SynthesisConfig(**changes))
    return source.open(data, tmp_path / "cache", 6).draw(torch.Generator().manual_seed(1))


def test_a_pair_shows_two_people_in_nearly_one_pose(data, tmp_path, small_window):
    pair = draw(data, tmp_path, stripped=0, mixed=0, cut=0)
    for image in (pair.fixed, pair.moving):
        assert image.shape == (1, 1, 32, 32, 32)
        assert 0 <= image.min() < 0.05
        assert image.max() == pytest.approx(1, abs=0.01)
    stacked = torch.stack([pair.fixed.flatten(), pair.moving.flatten()])
    correlation = torch.corrcoef(stacked)[0, 1]
    assert 0.5 < correlation < 0.99


def test_stripping_takes_away_what_lies_outside_the_brain(data, tmp_path, small_window):
    whole = draw(data, tmp_path, stripped=0, mixed=0, cut=0, noise=0)
    brain = draw(data, tmp_path, stripped=1, mixed=0, cut=0, noise=0)
    assert (brain.fixed > 0.02).float().mean() < 0.8 * (whole.fixed > 0.02).float().mean()


def test_a_pattern_that_finds_too_few_label_maps_is_named(data, tmp_path):
    with pytest.raises(InputError, match=r"1 files match files = 'head_0\*'"):
        LabelMapSourceConfig(files="head_0*").open(data, tmp_path / "cache", 6)
