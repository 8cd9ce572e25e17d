from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from LightRegistrationLib.training.distillation.aldk import (
    KnowledgeConfig,
    adversarial_loss,
    discriminator_loss,
    gradient_penalty,
)
from LightRegistrationLib.training.distillation.discriminator import Discriminator, DiscriminatorConfig


def fields(seed: int, count: int = 4, size: int = 16) -> Tensor:
    """Smooth deformations of about a voxel that do not fold."""
    control = torch.randn(count, 3, 4, 4, 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(control, size=(size,) * 3, mode="trilinear")


def build_discriminator(seed: int = 0, *channels: int) -> Discriminator:
    torch.manual_seed(seed)
    return Discriminator(DiscriminatorConfig(channels=channels or (4, 8, 8)))


def test_at_full_width_it_is_the_published_net():
    with torch.device("meta"):
        network = Discriminator(DiscriminatorConfig())
        x, shapes = torch.zeros(1, 3, 128, 128, 128), []
        for layer in network.layers:
            x = layer(x)
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [(16, *[64] * 3), (32, *[32] * 3), (64, *[16] * 3), (128, *[8] * 3), (256, *[4] * 3)]
    assert {tuple(layer.kernel_size) for layer in network.layers} == {(4, 4, 4)}


def test_its_output_is_the_mean_feature_of_each_deformation():
    network, deformations = build_discriminator(), fields(0)
    together = network(deformations)
    alone = torch.cat([network(d[None]) for d in deformations])
    assert together.shape == (4,)
    torch.testing.assert_close(together, alone)
    first, second, last = network.layers
    by_hand = 1 / (1 + torch.exp(-last(second(first(deformations).clamp(min=0)).clamp(min=0))))
    torch.testing.assert_close(together, by_hand.mean((1, 2, 3, 4)))
    torch.testing.assert_close(network.features(deformations), by_hand.mean((2, 3, 4)))


def test_the_penalty_of_a_linear_discriminator_has_a_closed_form():
    weights = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    penalty = gradient_penalty(lambda phi: (phi * weights).flatten(1).sum(1), fields(1, 2, 4), fields(2, 2, 4), 0.1)
    slope = float(weights.norm()) * 192**0.5  # for 1 voxel root mean square over 3 * 4 * 4 * 4 numbers
    assert float(penalty.detach()) == pytest.approx((slope - 1) ** 2, rel=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.7])
def test_the_penalty_is_taken_at_the_mixed_deformation(beta):
    """The gradient of |phi|^2 / 2 is phi, so the penalty shows at which deformation it was computed."""
    student, teacher = fields(1, 2, 4), fields(2, 2, 4)
    penalty = gradient_penalty(lambda phi: phi.square().flatten(1).sum(1) / 2, student, teacher, beta)
    norms = (beta * teacher + (1 - beta) * student).flatten(1).norm(dim=1) * 192**0.5
    assert float(penalty.detach()) == pytest.approx(float((norms - 1).square().mean()), rel=1e-5)


def test_the_gradient_of_the_penalty_agrees_with_finite_differences():
    network = build_discriminator(3, 2, 3).double()
    student, teacher = fields(1, 2, 8).double(), fields(2, 2, 8).double()
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(3)  # an untrained discriminator is nearly flat, and its biases would have no gradient to compare
    gradient_penalty(network, student, teacher, 0.1).backward()
    step, checked = 1e-6, 0
    for parameter in network.parameters():
        flat, slope = parameter.data.view(-1), parameter.grad
        for index in range(0, flat.numel(), max(1, flat.numel() // 8)):
            values = []
            for sign in (1, -1):
                flat[index] += sign * step
                values.append(float(gradient_penalty(network, student, teacher, 0.1).detach()))
                flat[index] -= sign * step
            difference = (values[0] - values[1]) / (2 * step)
            found = 0.0 if slope is None else float(slope.view(-1)[index])
            assert found == pytest.approx(difference, rel=1e-4, abs=1e-8)
            checked += abs(difference) > 1e-5
    assert checked > 10


def folded(deformations: Tensor) -> Tensor:
    """Invert a part of each deformation: x + u(x) decreases along the first axis there."""
    result = deformations.clone()
    result[:, 0, 4:12, 4:12, 4:12] -= 2.0 * (torch.arange(8) - 3.5)
    return result


def shifted(deformations: Tensor) -> Tensor:
    return deformations + torch.tensor([2.0, -2.0, 2.0]).view(1, 3, 1, 1, 1)


def train_discriminator(spoil, steps: int = 30, rate: float = 3e-3) -> Discriminator:
    network = build_discriminator()
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for step in range(steps):
        terms = discriminator_loss(network, spoil(fields(100 + step)), fields(500 + step), KnowledgeConfig())
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    return network


@pytest.mark.parametrize("spoil", [folded, shifted])
def test_after_a_few_steps_the_discriminator_distinguishes_a_spoiled_field(spoil):
    before, after = build_discriminator(), train_discriminator(spoil)
    with torch.no_grad():
        teachers, others = fields(1, 16), spoil(fields(2, 16))
        assert abs(float(before(teachers).mean() - before(others).mean())) < 0.02
        assert float(after(teachers).min() - after(others).max()) > 0.1


def test_without_a_difference_the_discriminator_finds_none():
    network = train_discriminator(lambda deformations: deformations)
    with torch.no_grad():
        assert abs(float(network(fields(1, 16)).mean() - network(fields(2, 16)).mean())) < 0.02


def test_the_penalty_moves_the_slope_of_the_discriminator_towards_one():
    network = build_discriminator()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    config = KnowledgeConfig(penalty=10.0)

    def slope() -> float:
        mixed = (0.1 * fields(2) + 0.9 * fields(1)).requires_grad_()
        (gradient,) = torch.autograd.grad(network(mixed).sum(), mixed)
        return float(gradient.flatten(1).norm(dim=1).mean()) * mixed[0].numel() ** 0.5

    before = slope()
    for step in range(40):
        optimizer.zero_grad()
        discriminator_loss(network, fields(10 + step), fields(50 + step), config)["penalty"].backward()
        optimizer.step()
    assert before < 0.5
    assert 0.7 < slope() < 1.3


def test_the_adversarial_loss_moves_a_field_to_the_teachers_value():
    network, teacher = train_discriminator(folded), fields(1)
    field = folded(fields(2)).requires_grad_()
    optimizer = torch.optim.Adam([field], lr=0.05)
    gaps = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = adversarial_loss(network, field, teacher)
        loss.backward()
        optimizer.step()
        gaps.append(float(loss.detach()))
    assert gaps[0] > 0.01
    assert gaps[-1] < 0.2 * gaps[0]


def test_each_loss_has_a_gradient_for_its_own_network_only():
    network = build_discriminator()
    student, teacher = fields(1).requires_grad_(), fields(2).requires_grad_()
    adversarial_loss(network, student, teacher).backward()
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert student.grad is not None
    assert teacher.grad is None
    student.grad = None
    sum(discriminator_loss(network, student, teacher, KnowledgeConfig()).values()).backward()
    assert student.grad is None
    assert teacher.grad is None
    assert all(p.grad is not None for p in network.parameters())


def test_the_penalty_of_a_flat_discriminator_has_a_finite_gradient():
    network = build_discriminator()
    torch.nn.init.zeros_(network.layers[-1].weight)
    gradient_penalty(network, fields(1), fields(2), 0.1).backward()
    slopes = [p.grad for p in network.parameters() if p.grad is not None]
    assert slopes
    assert all(torch.isfinite(s).all() for s in slopes)
