from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.network.cascade import CascadeConfig
from LightRegistrationLib.core.network.flows import warp
from LightRegistrationLib.training.configuration import (
    DistillationConfig,
    DistillationStage,
    StudentStage,
    StudentTrainingConfig,
    TeacherStage,
    TeacherTrainingConfig,
)
from LightRegistrationLib.training.configuration_file import load_config_as
from LightRegistrationLib.training.distillation.aldk import KnowledgeConfig, adversarial_loss, reconstruction_loss
from LightRegistrationLib.training.distillation.discriminator import DiscriminatorConfig
from LightRegistrationLib.training.distillation.store import StoreConfig
from LightRegistrationLib.training.distillation.teacher import NetworkTeacher, Teacher, TeacherConfig
from LightRegistrationLib.training.export import export_model
from LightRegistrationLib.training.losses import RegistrationLoss
from LightRegistrationLib.training.state import load_state
from LightRegistrationLib.training.trainers.distillation import DistillationTrainer
from LightRegistrationLib.training.trainers.student import StudentTrainer
from LightRegistrationLib.training.trainers.teacher import TeacherTrainer
from LightRegistrationLib.training.trainers.teachers import load_teacher

from ..toy import SOURCES, RepeatedPair, drawn, losses_of, mixture

STAGE = DistillationStage(steps=6, spacing_mm=6)
ALWAYS = KnowledgeConfig(every=1, critic_every=2)


def config(**changes: object) -> DistillationConfig:
    base = {
        "name": "toy",
        "seed": 3,
        "sources": SOURCES,
        "stages": (
            STAGE,
            DistillationStage(steps=6, spacing_mm=6, cascades=2, rate=5e-4, final_rate=0, smoothness=0.1),
        ),
        "knowledge": ALWAYS,
        "critic": DiscriminatorConfig(channels=(4, 8, 8), form="published"),
        "bfloat16": False,
    }
    return DistillationConfig(**(base | changes))


@pytest.fixture
def teacher() -> NetworkTeacher:
    """A teacher whose deformations are smooth, a voxel in size, and far from those of an untrained student."""
    torch.manual_seed(11)
    network = Teacher(TeacherConfig(cascades=1, channels=2))
    network.stem.offset.bias.data = torch.tensor([1.0, -0.5, 0.3])
    network.stem.matrix.bias.data = 0.05 * torch.randn(9)
    return NetworkTeacher(network)


@pytest.fixture
def trainer(tmp_path, teacher) -> DistillationTrainer:
    return DistillationTrainer(config(), teacher, tmp_path, tmp_path / "run")


def test_the_reconstruction_loss_against_numpy():
    rng = np.random.default_rng(0)
    a = rng.random((2, 1, 5, 6, 7))
    b = 0.3 * a + rng.random((2, 1, 5, 6, 7))
    expected = np.mean([1 - np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)])
    assert float(reconstruction_loss(torch.from_numpy(a), torch.from_numpy(b))) == pytest.approx(expected, rel=1e-6)
    assert float(reconstruction_loss(torch.from_numpy(a), torch.from_numpy(2 * a + 1))) == pytest.approx(0, abs=1e-6)


def test_an_empty_image_has_a_finite_loss_and_gradient():
    image = torch.zeros(1, 1, 4, 4, 4, requires_grad=True)
    loss = reconstruction_loss(image, torch.rand(1, 1, 4, 4, 4))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1)
    assert torch.isfinite(image.grad).all()


STUDENTS = {
    "velocity": CascadeConfig(cascades=2),
    "published": CascadeConfig(cascades=2, head="full", symmetric=False, shared=False),
}


@pytest.mark.parametrize("student", STUDENTS.values(), ids=STUDENTS)
def test_the_adversarial_term_reaches_the_first_layer_of_every_student_network(student, tmp_path, teacher):
    trainer = DistillationTrainer(config(student=student), teacher, tmp_path, tmp_path / "run")
    pair = drawn()
    flow, *_ = trainer.predict_student_flow(pair, 2)
    adversarial_loss(trainer.discriminator, flow, trainer.teacher.teach(pair).flow).backward()
    for network in trainer.student.networks:
        slope = network.encoder[0].weight.grad
        assert torch.isfinite(slope).all()
        assert float(slope.abs().max()) > 0
    assert len(trainer.student.networks) == (1 if student.shared else 2)


def test_the_loss_of_a_velocity_student_is_on_the_grid_of_its_images(tmp_path, teacher):
    """One voxel of the half grid is two of the image grid, for the discriminator and for the warp."""
    student = CascadeConfig(cascades=1, symmetric=False)
    trainer = DistillationTrainer(config(student=student), teacher, tmp_path, tmp_path / "run")
    head = trainer.student.networks[0].flow
    torch.nn.init.zeros_(head.weight)
    head.bias.data = torch.tensor([1.0, 0.0, 0.0])
    pair = drawn()
    flow, *_ = trainer.predict_student_flow(pair, 1)
    bounded = 12 * np.tanh(1 / 12)
    assert flow.shape == trainer.teacher.teach(pair).flow.shape == (1, 3, 16, 16, 16)
    torch.testing.assert_close(flow[:, 0], torch.full((1, 16, 16, 16), float(2 * bounded)), atol=1e-4, rtol=0)


def test_the_students_loss_has_the_terms_of_the_article(trainer):
    """With gamma = 0.3, against direct calls of the networks; the discriminator is not due at step 1."""
    trainer.step = 1
    pair = RepeatedPair().pair
    with torch.no_grad():
        flow, *_ = trainer.predict_student_flow(pair, 1)
        gap = trainer.discriminator.features(flow) - trainer.discriminator.features(trainer.teacher.teach(pair).flow)
        warped = warp(pair.moving, flow)
    correlation = np.corrcoef(warped.flatten().numpy(), pair.fixed.flatten().numpy())[0, 1]
    terms = trainer.train_step(RepeatedPair(), STAGE)
    assert terms.keys() == {"reconstruction", "knowledge"}
    assert terms["reconstruction"] == pytest.approx(0.3 * (1 - correlation), rel=1e-4)
    assert terms["knowledge"] == pytest.approx(0.7 * float(gap.square().mean()), rel=1e-3)


@pytest.mark.parametrize("kind", ["none", "distance", "adversarial"])
def test_the_three_kinds_differ_only_in_the_knowledge_term(kind, tmp_path, teacher):
    knowledge = replace(ALWAYS, kind=kind)
    trainer = DistillationTrainer(config(knowledge=knowledge), teacher, tmp_path, tmp_path / "run")
    pair = RepeatedPair().pair
    with torch.no_grad():
        flow, taught = trainer.predict_student_flow(pair, 1)[0], trainer.teacher.teach(pair).flow
    terms = trainer.train_step(RepeatedPair(), STAGE)
    expected = {"none": set(), "distance": {"knowledge"}, "adversarial": {"knowledge", "critic", "penalty"}}[kind]
    assert terms.keys() == {"reconstruction"} | expected
    if kind == "distance":
        assert terms["knowledge"] == pytest.approx(0.7 * float((flow - taught).square().mean()), rel=1e-4)


def test_a_student_can_be_taught_beside_the_losses_of_a_student_without_a_teacher(tmp_path, teacher):
    """The terms are those of `RegistrationLoss`, with the similarity weighted by gamma; here by hand from the store."""
    stage = DistillationStage(steps=1, spacing_mm=6, window=7, tissue=0.5, dice=0.5, smoothness=0.35, unfold=20.0)
    settings = config(stages=(stage,), clean=True, store=StoreConfig(pairs=1), knowledge=replace(ALWAYS, gamma=0.7))
    trainer = DistillationTrainer(settings, teacher, tmp_path, tmp_path / "run", store=tmp_path / "store")
    pairs = mixture()
    trainer.start_stage(stage, pairs)
    pair, _ = trainer.store.read(0)
    with torch.no_grad():
        _, flow, predictions = trainer.predict_student_flow(pair, 1)
    own = StudentStage(steps=1, window=7, tissue=0.5, dice=0.5, smoothness=0.35, unfold=20.0)
    expected = {name: float(term) for name, term in RegistrationLoss(own)(pair, flow, predictions).items()}
    assert expected.keys() == {"correlation", "tissue", "dice", "smoothness", "folding"}
    terms = trainer.train_step(pairs, stage)
    similarity = sum(expected[name] for name in ("correlation", "tissue", "dice"))
    assert terms["reconstruction"] == pytest.approx(0.7 * similarity, rel=1e-4)
    assert terms["smoothness"] == pytest.approx(expected["smoothness"], rel=1e-4, abs=1e-9)
    assert terms["folding"] == pytest.approx(expected["folding"], rel=1e-4, abs=1e-9)


def test_structures_in_the_loss_need_the_images_without_noise():
    stage = DistillationStage(steps=1, tissue=0.5)
    with pytest.raises(InputError, match=r"tissue and dice in .* need clean = true"):
        config(stages=(stage,))


def adam_steps(optimizer: torch.optim.Optimizer) -> int:
    return max((int(state["step"]) for state in optimizer.state.values()), default=0)


@pytest.mark.parametrize(("critic_every", "expected"), [(1, 12), (2, 6), (5, 3)])
def test_the_student_is_updated_more_often_than_the_discriminator(critic_every, expected, tmp_path, teacher):
    knowledge = replace(ALWAYS, critic_every=critic_every)
    trainer = DistillationTrainer(config(knowledge=knowledge), teacher, tmp_path, tmp_path / "run")
    terms = losses_of(trainer)
    assert adam_steps(trainer.optimizer) == 12
    assert adam_steps(trainer.discriminator_optimizer) == expected == sum("critic" in t for t in terms)
    assert sum("knowledge" in t for t in terms) == 12


def test_the_knowledge_is_on_at_every_third_step_until_its_end(tmp_path, teacher):
    knowledge = KnowledgeConfig(every=3, until=8, critic_every=2)
    trainer = DistillationTrainer(config(knowledge=knowledge), teacher, tmp_path, tmp_path / "run")
    terms = losses_of(trainer)
    assert [n for n, t in enumerate(terms) if "knowledge" in t] == [0, 3, 6]
    assert [n for n, t in enumerate(terms) if "critic" in t] == [0, 6]


def test_each_network_changes_only_in_its_own_update(trainer, teacher):
    def weights(network):
        return [p.detach().clone() for p in network.parameters()]

    def moved(before, network):
        return any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))

    for step, discriminator_moves in ((0, True), (1, False), (2, True)):
        trainer.step = step
        student, discriminator, teacher_weights = (
            weights(n) for n in (trainer.student, trainer.discriminator, teacher.network)
        )
        trainer.train_step(mixture(), STAGE)
        assert moved(student, trainer.student)
        assert moved(discriminator, trainer.discriminator) == discriminator_moves
        assert not moved(teacher_weights, teacher.network)


def test_the_discriminator_learns_to_distinguish_student_and_teacher(tmp_path, teacher):
    """The student does not learn (rate 0), the discriminator does: the teacher's value exceeds the student's."""
    knowledge, critic = KnowledgeConfig(every=1, critic_every=1), DiscriminatorConfig((4, 8, 8), 3e-3, "published")
    trainer = DistillationTrainer(config(knowledge=knowledge, critic=critic), teacher, tmp_path, tmp_path / "run")
    trainer.set_rate(0.0)
    gaps = [-trainer.train_step(mixture(), STAGE)["critic"] for _ in range(30)]
    assert abs(gaps[0]) < 0.02
    assert gaps[-1] > 0.1


def test_a_few_steps_on_one_pair_lower_its_reconstruction_loss(trainer):
    trainer.set_rate(1e-3)
    terms = [trainer.train_step(RepeatedPair(), STAGE)["reconstruction"] for _ in range(12)]
    assert terms[-1] < 0.9 * terms[0]


def test_plain_distillation_brings_the_student_to_the_teachers_deformation(tmp_path, teacher):
    knowledge = replace(ALWAYS, kind="distance", gamma=0.0)
    student = CascadeConfig(cascades=1, symmetric=False)
    trainer = DistillationTrainer(config(knowledge=knowledge, student=student), teacher, tmp_path, tmp_path / "run")
    trainer.set_rate(3e-3)
    terms = [trainer.train_step(RepeatedPair(), STAGE)["knowledge"] for _ in range(25)]
    assert terms[-1] < 0.5 * terms[0]


def test_a_resumed_distillation_has_the_losses_of_an_unbroken_one(tmp_path, teacher):
    unbroken = losses_of(DistillationTrainer(config(), teacher, tmp_path, tmp_path / "whole"))
    short = replace(config(), stages=(replace(STAGE, steps=5, final_rate=1e-3),))
    begun = DistillationTrainer(short, teacher, tmp_path, tmp_path / "broken")
    assert losses_of(begun) == unbroken[:5]
    resumed = DistillationTrainer(config(), teacher, tmp_path, tmp_path / "broken")
    assert resumed.resume()
    assert losses_of(resumed) == unbroken[5:]


def test_a_run_does_not_resume_with_another_teacher(trainer, tmp_path, teacher):
    trainer.save()
    other = NetworkTeacher(Teacher(TeacherConfig(cascades=1, channels=2)))
    with pytest.raises(InputError, match=r"state\.pt: .*started with another teacher"):
        DistillationTrainer(config(), other, tmp_path, tmp_path / "run").resume()


def test_a_student_that_is_not_finite_stops_the_run_and_keeps_the_last_state(trainer):
    trainer.save()
    saved = trainer.state_file.read_bytes()
    next(trainer.student.parameters()).data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="student's deformation is not finite at step 0"):
        trainer.run()
    assert trainer.state_file.read_bytes() == saved


def test_a_discriminator_that_is_not_finite_does_not_reach_the_student(trainer):
    next(trainer.discriminator.parameters()).data.fill_(float("nan"))
    before = [p.detach().clone() for p in trainer.student.parameters()]
    with pytest.raises(FloatingPointError, match="loss is not finite at step 0: critic nan"):
        trainer.run()
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.student.parameters(), strict=True))


def test_a_discriminator_too_deep_for_the_grid_is_refused_before_the_first_step(tmp_path, teacher):
    deep = DistillationTrainer(
        config(critic=DiscriminatorConfig(form="published")), teacher, tmp_path, tmp_path / "run"
    )
    with pytest.raises(InputError, match=r"at least 32 voxels .* grid at 6 mm is \(16, 16, 16\)"):
        deep.run()
    none = replace(ALWAYS, kind="none")
    DistillationTrainer(
        config(critic=DiscriminatorConfig(form="published"), knowledge=none), teacher, tmp_path, tmp_path / "other"
    ).run()


def test_a_state_without_a_teacher_is_refused(tmp_path):
    student = StudentTrainingConfig(name="x", seed=1, sources=SOURCES, stages=())
    StudentTrainer(student, tmp_path, tmp_path / "student").save()
    with pytest.raises(InputError, match="holds no teacher"):
        load_teacher(tmp_path / "student" / "state.pt")
    with pytest.raises(InputError, match="no such file"):
        load_teacher(tmp_path / "nowhere.pt")


TOML = """kind = "distillation"
name = "mine"
seed = 3
bfloat16 = false
[student]
cascades = 1
[knowledge]
every = 1
critic_every = 2
[critic]
channels = [4, 8]
[[source]]
kind = "toy"
[[stage]]
steps = 4
spacing_mm = 6
[card]
title = "Mine"
modality = "MRI"
summary = "A toy."
[grid]
spacing_mm = 6.0
"""


def test_the_whole_chain_teacher_distillation_model(tmp_path):
    settings = TeacherConfig(cascades=1, channels=2)
    stages = (TeacherStage(steps=2, spacing_mm=6),)
    plan = TeacherTrainingConfig(name="t", seed=1, sources=SOURCES, stages=stages, teacher=settings)
    TeacherTrainer(plan, tmp_path, tmp_path / "teacher").run()
    (tmp_path / "mine.toml").write_text(TOML)
    mine = load_config_as(tmp_path / "mine.toml", DistillationConfig)
    taught_by = NetworkTeacher(load_teacher(tmp_path / "teacher" / "state.pt"))
    DistillationTrainer(mine, taught_by, tmp_path, tmp_path / "run").run()
    state = tmp_path / "run" / "state.pt"
    assert load_state(state)["step"] == 4
    log = json.loads((tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8"))
    assert log.keys() >= {"step", "seconds", "rate", "reconstruction", "knowledge", "critic", "penalty"}
    export_model(state, mine, tmp_path / "models")
    assert ModelRegistry((tmp_path / "models",)).load("mine").grid.spacing_mm == 6.0
