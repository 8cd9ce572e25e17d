"""The training of a student: it learns, resumes exactly, and failures leave its last state intact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.network.cascade import CascadeConfig
from LightRegistrationLib.training.configuration import StudentStage, StudentTrainingConfig, VariantConfig
from LightRegistrationLib.training.data.pairs import Pair
from LightRegistrationLib.training.export import export_model
from LightRegistrationLib.training.losses import RegistrationLoss, diffusion, folding
from LightRegistrationLib.training.trainers.student import StudentTrainer, build_student

from ..toy import SHAPE, SOURCES, RepeatedPair, drawn, losses_of


def config(**changes: object) -> StudentTrainingConfig:
    stages = (
        StudentStage(steps=3, spacing_mm=6, cascades=1),
        StudentStage(steps=3, spacing_mm=6, cascades=2, rate=5e-4, final_rate=0.0),
    )
    base = {"name": "toy", "seed": 3, "sources": SOURCES, "stages": stages, "bfloat16": False}
    return StudentTrainingConfig(**(base | changes))


def test_the_loss_decreases_towards_the_true_flow():
    """Moving = fixed shifted by two voxels: the loss is lowest for the inverse shift and in between for half of it."""
    pair = drawn()
    shifted = Pair(pair.fixed, pair.fixed, pair.fixed_clean, torch.roll(pair.fixed_clean, 2, dims=4))
    loss = RegistrationLoss(config().stages[0])
    totals = []
    for voxels in (0.0, 1.0, 2.0):
        flow = torch.zeros(1, 3, *SHAPE)
        flow[:, 0] = voxels
        totals.append(float(sum(loss(shifted, flow, [flow]).values())))
    assert totals[0] > totals[1] > totals[2]


def test_diffusion_against_numpy():
    flow = torch.rand(1, 3, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    squares = [np.square(np.diff(flow.numpy(), axis=axis)).mean() for axis in (2, 3, 4)]
    assert float(diffusion(flow)) == pytest.approx(np.mean(squares), rel=1e-5)


def test_the_folding_penalty_is_zero_for_a_stretch_and_positive_for_a_fold():
    grid = torch.arange(8, dtype=torch.float32).expand(8, 8, 8)
    flow = torch.zeros(1, 3, 8, 8, 8)
    flow[0, 0] = 0.5 * grid
    assert float(folding(flow)) == 0
    flow[0, 0] = -1.5 * grid
    assert float(folding(flow)) == pytest.approx(0.6)


def test_a_stage_weighs_the_terms_and_leaves_out_those_of_weight_zero():
    pair, flow = drawn(), torch.zeros(1, 3, *SHAPE)
    only = StudentStage(steps=1, local_correlation=0, tissue=0, dice=2.0, smoothness=0)
    terms = RegistrationLoss(only)(pair, flow, [flow])
    fixed, moving = pair.fixed_labels, pair.moving_labels
    overlap = 2 * float((fixed * moving).sum()) / float(fixed.sum() + moving.sum())
    assert terms.keys() == {"dice"}
    assert float(terms["dice"]) == pytest.approx(2 * (1 - overlap), abs=1e-3)
    everything = StudentStage(steps=1, global_correlation=1.0, dice=1.0, bending=1.0, unfold=1.0)
    names = {"correlation", "global", "tissue", "dice", "folding", "smoothness", "bending"}
    assert RegistrationLoss(everything)(pair, flow, [flow]).keys() == names
    bare = Pair(pair.fixed, pair.moving, pair.fixed_clean[:, :1], pair.moving_clean[:, :1])
    assert RegistrationLoss(everything)(bare, flow, [flow]).keys() == names - {"dice", "tissue"}


def test_the_loss_of_a_velocity_student_is_taken_on_the_grid_of_the_images():
    """A flow on the half grid, against scipy: one voxel there is two of the images."""
    pair, flow = drawn(), torch.zeros(1, 3, 8, 8, 8)
    flow[:, 2] = 1.0
    terms = RegistrationLoss(
        StudentStage(steps=1, local_correlation=0, global_correlation=1.0, tissue=0, smoothness=0)
    )(pair, flow, [flow])
    axes = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in SHAPE], indexing="ij"))
    axes[0] += 2
    warped = map_coordinates(pair.moving_clean[0, 0].numpy(), axes, order=1, mode="nearest")
    expected = 1 - np.corrcoef(warped.ravel(), pair.fixed_clean[0, 0].numpy().ravel())[0, 1]
    assert float(terms["global"]) == pytest.approx(expected, rel=1e-4)


def test_a_resumed_run_has_the_losses_of_an_unbroken_one(tmp_path):
    unbroken = losses_of(StudentTrainer(config(), tmp_path, tmp_path / "whole"))
    first = StudentTrainer(config(stages=config().stages[:1]), tmp_path, tmp_path / "broken")
    assert losses_of(first) == unbroken[:3]
    second = StudentTrainer(config(), tmp_path, tmp_path / "broken")
    assert second.resume()
    assert losses_of(second) == unbroken[3:]


def test_a_few_steps_on_one_pair_lower_its_loss(tmp_path):
    trainer, stage = StudentTrainer(config(), tmp_path, tmp_path / "run"), config().stages[0]
    trainer.start_stage(stage, RepeatedPair())
    terms = [sum(trainer.train_step(RepeatedPair(), stage).values()) for _ in range(12)]
    assert terms[-1] < terms[0] - 0.01


def test_a_student_that_sees_more_starts_with_the_knowledge_of_its_start():
    wider = CascadeConfig(cascades=3, inputs="z-scores")
    student, notes = build_student(config(start="brain-mri-intensity", student=wider))
    start = ModelRegistry().load("brain-mri-intensity")
    assert notes["start_sha256"] == start.card.sha256
    pair, first_layer = drawn(), student.networks[0].encoder[0].weight
    added = first_layer[:, [1, 2, 4, 5]].abs().mean()
    assert 0 < added < 0.3 * first_layer[:, [0, 3]].abs().mean()
    with torch.no_grad():
        first_layer[:, [1, 2, 4, 5]] = 0
        ours, _ = student(pair.fixed, pair.moving, 2)
        before, _ = start.network(pair.fixed, pair.moving, 2)
    torch.testing.assert_close(ours, before)


def test_a_student_with_another_head_cannot_start_from_a_model():
    with pytest.raises(InputError, match="another network than"):
        build_student(config(start="brain-mri-intensity", student=CascadeConfig(head="full", symmetric=False)))


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_state(tmp_path):
    trainer = StudentTrainer(config(), tmp_path, tmp_path / "run")
    trainer.save()
    saved = trainer.state_file.read_bytes()
    next(trainer.student.parameters()).data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="not finite at step 0"):
        trainer.run()
    assert trainer.state_file.read_bytes() == saved


def test_an_exported_student_loads_as_a_model(tmp_path):
    card = {"title": "Toy", "modality": "MRI", "summary": "A toy."}
    plan = config(card=card, grid={"spacing_mm": 3.0}, student=CascadeConfig(cascades=2))
    trainer = StudentTrainer(plan, tmp_path, tmp_path / "run")
    trainer.save()
    export_model(trainer.state_file, plan, tmp_path / "models")
    student = ModelRegistry((tmp_path / "models",)).load("toy")
    assert student.grid.spacing_mm == 3.0
    assert student.card.details["training"]["seed"] == 3
    ours = trainer.student.state_dict()["networks.0.flow.weight"]
    torch.testing.assert_close(student.network.state_dict()["networks.0.flow.weight"], ours, atol=1e-4, rtol=1e-3)


def test_cards_can_run_the_trained_weights_in_other_cascades(tmp_path):
    card = {"title": "Toy", "modality": "MRI", "summary": "A toy."}
    variant = VariantConfig(card=card, network={"cascades": 2, "coarse_factors": [4, 2]})
    student, network = CascadeConfig(cascades=3), {"cascades": 1, "coarse_factors": [2]}
    plan = config(card=card, student=student, network=network, variants={"other": variant})
    trainer = StudentTrainer(plan, tmp_path, tmp_path / "run")
    trainer.save()
    export_model(trainer.state_file, plan, tmp_path / "models")
    registry = ModelRegistry((tmp_path / "models",))
    toy, other = (registry.load(name).network.config for name in ("toy", "other"))
    assert (toy.cascades, toy.coarse_factors) == (1, (2,))
    assert (other.cascades, other.coarse_factors) == (2, (4, 2))


def test_averaged_weights_follow_the_formula_are_resumed_and_exported(tmp_path):
    decay = 0.5
    card = {"title": "toy", "modality": "MRI", "summary": "a toy"}
    averaged = config(average_decay=decay, validate_minutes=0, card=card)
    trainer, stage = StudentTrainer(averaged, tmp_path, tmp_path / "whole"), averaged.stages[0]
    trainer.start_stage(stage, RepeatedPair())
    expected = None
    for _ in range(3):
        trainer.train_step(RepeatedPair(), stage)
        now = trainer.student.networks[0].flow.weight.detach().clone()
        expected = now if expected is None else decay * expected + (1 - decay) * now
    assert trainer.average is not None
    found = trainer.average.module.networks[0].flow.weight
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, now)

    trainer.save()
    resumed = StudentTrainer(averaged, tmp_path, tmp_path / "whole")
    assert resumed.resume()
    for one in (trainer, resumed):
        one.start_stage(stage, RepeatedPair())
        one.train_step(RepeatedPair(), stage)
    torch.testing.assert_close(resumed.average.state_dict(), trainer.average.state_dict(), rtol=0, atol=0)

    folder = export_model(trainer.state_file, averaged, tmp_path / "models")
    exported = ModelRegistry((folder.parent,)).load("toy").network.networks[0].flow.weight
    torch.testing.assert_close(exported.float(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_cannot_be_is_refused(decay):
    with pytest.raises(InputError, match="average_decay has to be 0 or more and below 1"):
        config(average_decay=decay)
