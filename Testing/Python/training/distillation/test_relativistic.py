"""The relativistic form of the discriminator: what it sees, its penalties, and that it teaches."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from LightRegistrationLib.training.data.pairs import Pair
from LightRegistrationLib.training.distillation.aldk import KnowledgeConfig
from LightRegistrationLib.training.distillation.critic import make_critic
from LightRegistrationLib.training.distillation.discriminator import Discriminator, DiscriminatorConfig
from LightRegistrationLib.training.distillation.relativistic import (
    RelativisticDiscriminator,
    relativistic_critic_loss,
    relativistic_student_loss,
)

CONFIG = DiscriminatorConfig(channels=(4, 8), form="relativistic", images=False)


def fields(seed: int, count: int = 4, size: int = 16) -> Tensor:
    """Smooth deformations of about a voxel."""
    control = torch.randn(count, 3, 4, 4, 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(control, size=(size,) * 3, mode="trilinear")


def pair(count: int = 4, size: int = 16) -> Pair:
    images = torch.rand(2, count, 1, size, size, size, generator=torch.Generator().manual_seed(9))
    return Pair(images[0], images[1], images[0], images[1])


def build(config: DiscriminatorConfig = CONFIG) -> RelativisticDiscriminator:
    torch.manual_seed(0)
    return RelativisticDiscriminator(config)


def test_it_sees_both_deformations_on_one_grid_with_one_smoothness_in_the_teachers_unit():
    critic = build(replace(CONFIG, images=True))
    student, teacher = 3 * fields(1), 5 * fields(2)
    own, taught, images = critic.prepare(pair(), student, teacher)
    assert own.shape == taught.shape == (4, 3, 8, 8, 8)
    assert images.shape == (4, 2, 8, 8, 8)
    torch.testing.assert_close(taught.square().mean((1, 2, 3, 4)), torch.ones(4))
    same, taught_too, _ = critic.prepare(pair(), teacher, teacher)
    torch.testing.assert_close(same, taught_too)
    # Noise from voxel to voxel, which a student on the half grid cannot have, is not visible.
    noisy = teacher + torch.randn(teacher.shape, generator=torch.Generator().manual_seed(3))
    _, seen, _ = critic.prepare(pair(), student, noisy)
    assert float((seen - taught).square().mean()) < 0.02


def test_equal_deformations_give_no_preference():
    critic, teacher = build(), fields(2)
    assert float(relativistic_student_loss(critic, pair(), teacher, teacher).detach()) == pytest.approx(math.log(2))
    terms = relativistic_critic_loss(critic, pair(), teacher, teacher)
    assert float(terms["critic"].detach()) == pytest.approx(math.log(2))


def test_both_penalties_are_centered_at_zero():
    """C = <w, phi> has the slope |w| sqrt(n) everywhere; it counts for the student's and for the teacher's field."""

    class Linear(RelativisticDiscriminator):
        weights = torch.randn(3, 8, 8, 8, generator=torch.Generator().manual_seed(4))

        def forward(self, deformation: Tensor, images: Tensor) -> Tensor:
            return (deformation * self.weights).flatten(1).sum(1)

    terms = relativistic_critic_loss(Linear(CONFIG), pair(), fields(1), fields(2))
    slope = float(Linear.weights.norm()) * math.sqrt(3 * 8**3)
    assert float(terms["penalty"].detach()) == pytest.approx(CONFIG.zero_penalty * slope**2, rel=1e-4)


def test_each_loss_has_a_gradient_for_its_own_network_only():
    critic, student, teacher = build(), fields(1).requires_grad_(), fields(2).requires_grad_()
    relativistic_student_loss(critic, pair(), student, teacher).backward()
    assert all(p.grad is None and p.requires_grad for p in critic.parameters())
    assert student.grad is not None
    assert teacher.grad is None
    student.grad = None
    sum(relativistic_critic_loss(critic, pair(), student, teacher).values()).backward()
    assert student.grad is None
    assert teacher.grad is None
    assert all(p.grad is not None for p in critic.parameters())


def test_it_moves_a_student_to_the_teacher():
    """The student is one number: its fields are the teacher's, made smaller or larger."""
    for begin in (0.3, 2.0):
        critic = build()
        size = torch.tensor(begin, requires_grad=True)
        of_critic = torch.optim.Adam(critic.parameters(), lr=3e-3)
        of_student = torch.optim.Adam([size], lr=0.03)
        for step in range(80):
            teacher = fields(1000 + step)
            of_critic.zero_grad()
            sum(relativistic_critic_loss(critic, pair(), size * teacher, teacher).values()).backward()
            of_critic.step()
            of_student.zero_grad()
            relativistic_student_loss(critic, pair(), size * teacher, teacher).backward()
            of_student.step()
        assert abs(float(size.detach()) - 1) < 0.4 * abs(begin - 1)


def test_the_form_is_chosen_by_the_configuration():
    assert isinstance(make_critic(CONFIG, KnowledgeConfig()).network, RelativisticDiscriminator)
    assert isinstance(make_critic(replace(CONFIG, form="published"), KnowledgeConfig()).network, Discriminator)
    with pytest.raises(ValueError, match="form has to be one of published, relativistic"):
        DiscriminatorConfig(form="wasserstein")
    with pytest.raises(ValueError, match="updates has to be 1 or more"):
        DiscriminatorConfig(updates=0)
