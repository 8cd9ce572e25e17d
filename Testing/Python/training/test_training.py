"""The training of a student: its material is placed right, it learns, and it resumes exactly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from LightRegistrationLib.core.cascade import CascadeConfig
from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry import apply_affine
from LightRegistrationLib.core.models import ModelRegistry
from LightRegistrationLib.training import label_maps
from LightRegistrationLib.training.export import export_model
from LightRegistrationLib.training.label_maps import affine_between, read_label_map, structure_centers, template_centers
from LightRegistrationLib.training.losses import RegistrationLoss, diffusion, folding
from LightRegistrationLib.training.synthesis import PairSynthesizer, SynthesisConfig
from LightRegistrationLib.training.train_student import Stage, StudentTrainer, TrainingConfig, load_config

CONFIGS = Path(label_maps.__file__).parent / "configs"
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


def toy_config(**changes: object) -> TrainingConfig:
    stages = (
        Stage(steps=3, spacing_mm=6, cascades=1),
        Stage(steps=3, spacing_mm=6, cascades=2, rate=5e-4, final_rate=0.0),
    )
    base = {"name": "toy", "seed": 3, "label_maps": "*.nii.gz", "stages": stages, "bfloat16": False}
    return TrainingConfig(**(base | changes))


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


def draw(data: Path, tmp_path: Path, **changes: object):
    trainer = StudentTrainer(toy_config(), data, tmp_path / "run")
    fractions = label_maps.prepare(trainer.label_maps, 6, tmp_path / "cache")
    generator = torch.Generator().manual_seed(1)
    return PairSynthesizer(fractions, 6, SynthesisConfig(**changes), generator).draw()


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


def test_the_loss_falls_where_the_truth_lies(data, tmp_path, small_window):
    """Moving = fixed shifted by two voxels: the flow that undoes it beats none, and half of it lies between."""
    pair = draw(data, tmp_path, mixed=0)
    shifted = type(pair)(pair.fixed, pair.fixed, pair.fixed_clean, torch.roll(pair.fixed_clean, 2, dims=4))
    loss = RegistrationLoss()
    totals = []
    for voxels in (0.0, 1.0, 2.0):
        flow = torch.zeros(1, 3, 32, 32, 32)
        flow[:, 0] = voxels
        totals.append(float(sum(loss(shifted, flow, [flow]).values())))
    assert totals[0] > totals[1] > totals[2]


def test_diffusion_against_numpy():
    flow = torch.rand(1, 3, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    squares = [np.square(np.diff(flow.numpy(), axis=axis)).mean() for axis in (2, 3, 4)]
    assert float(diffusion(flow)) == pytest.approx(np.mean(squares), rel=1e-5)


def logged(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def losses_of(trainer: StudentTrainer) -> list[dict[str, float]]:
    seen = []
    original = trainer._step
    trainer._step = lambda *a: seen.append(original(*a)) or seen[-1]  # type: ignore[method-assign]
    trainer.run()
    return seen


def test_a_resumed_run_has_the_losses_of_an_unbroken_one(data, tmp_path, small_window):
    unbroken = losses_of(StudentTrainer(toy_config(), data, tmp_path / "whole"))
    first = StudentTrainer(toy_config(stages=toy_config().stages[:1]), data, tmp_path / "broken")
    assert losses_of(first) == unbroken[:3]
    second = StudentTrainer(toy_config(), data, tmp_path / "broken")
    assert second.resume()
    assert losses_of(second) == unbroken[3:]


def test_a_few_steps_on_one_pair_lower_its_loss(data, tmp_path, small_window):
    trainer = StudentTrainer(toy_config(), data, tmp_path / "run")
    pair = draw(data, tmp_path, mixed=0)

    class Same:
        def draw(self):
            return pair

    terms = [sum(trainer._step(Same(), RegistrationLoss(), 1).values()) for _ in range(12)]
    assert terms[-1] < terms[0] - 0.01


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_state(data, tmp_path, small_window):
    trainer = StudentTrainer(toy_config(), data, tmp_path / "run")
    trainer.save()
    saved = trainer.state_file.read_bytes()
    next(trainer.student.parameters()).data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="not finite at step 0"):
        trainer.run()
    assert trainer.state_file.read_bytes() == saved


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.toml")), ids=lambda f: f.stem)
def test_the_configurations_in_the_repository_are_valid(file):
    assert load_config(file).name == file.stem


def test_an_unknown_key_in_a_configuration_is_named_with_its_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('name = "x"\nseed = 1\nlabel_maps = "*"\nwidgets = 3\n[[stage]]\nsteps = 1\n')
    with pytest.raises(InputError, match=r"mine\.toml: .*widgets"):
        load_config(file)


def test_an_exported_student_loads_as_a_model(data, tmp_path, small_window):
    card = {"title": "Toy", "modality": "MRI", "summary": "A toy."}
    config = toy_config(card=card, grid={"spacing_mm": 3.0}, student=CascadeConfig(cascades=2))
    trainer = StudentTrainer(config, data, tmp_path / "run")
    trainer.save()
    export_model(trainer.state_file, config, tmp_path / "models")
    student = ModelRegistry((tmp_path / "models",)).load("toy")
    assert student.grid.spacing_mm == 3.0
    assert student.card.details["training"]["seed"] == 3
    ours = trainer.student.state_dict()["networks.0.flow.weight"]
    torch.testing.assert_close(student.network.state_dict()["networks.0.flow.weight"], ours, atol=1e-4, rtol=1e-3)


def test_the_folding_penalty_knows_a_fold_from_a_stretch():
    grid = torch.arange(8, dtype=torch.float32).expand(8, 8, 8)
    flow = torch.zeros(1, 3, 8, 8, 8)
    flow[0, 0] = 0.5 * grid
    assert float(folding(flow)) == 0
    flow[0, 0] = -1.5 * grid
    assert float(folding(flow)) == pytest.approx(0.6)
