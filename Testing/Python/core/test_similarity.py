"""Local correlation against torch's own differentiation of the definition."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from LightRegistrationLib.core.filters import gradient
from LightRegistrationLib.core.similarity import LocalCorrelation

RADIUS = 2


def windows(image: torch.Tensor) -> torch.Tensor:
    return F.avg_pool3d(image, 2 * RADIUS + 1, stride=1, padding=RADIUS)


def squared_correlation(fixed: torch.Tensor, moving: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    means = windows(fixed), windows(moving)
    covariance = windows(fixed * moving) - means[0] * means[1]
    variances = windows(fixed**2) - means[0] ** 2 + 1e-4, windows(moving**2) - means[1] ** 2 + 1e-4
    return weight * covariance**2 / (variances[0] * variances[1])


@pytest.fixture
def images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    fixed, noise = (torch.rand((1, 1, 11, 13, 12), generator=generator, dtype=torch.float64) for _ in range(2))
    weight = (torch.rand((1, 1, 11, 13, 12), generator=generator) > 0.3).double()
    return [fixed, 0.7 * fixed + 0.5 * noise, weight]


def test_value_and_pull_are_those_of_the_definition(images):
    fixed, moving, weight = images
    variable = moving.clone().requires_grad_()
    each = squared_correlation(fixed, variable, weight)
    (derivative,) = torch.autograd.grad(each.sum(), variable)
    match = LocalCorrelation(fixed, RADIUS).match(moving, weight)
    assert match.value == pytest.approx(float(each.detach().sum() / weight.sum()), rel=1e-9)
    torch.testing.assert_close(match.pull, derivative * gradient(moving), rtol=1e-6, atol=1e-9)
    assert (match.stiffness >= 0).all()


def test_brightness_and_contrast_make_no_difference(images):
    fixed, moving, weight = images
    inside = torch.zeros_like(weight)
    inside[..., RADIUS:-RADIUS, RADIUS:-RADIUS, RADIUS:-RADIUS] = 1
    similarity = LocalCorrelation(fixed, RADIUS)
    plain, changed = similarity.match(moving, inside), similarity.match(3 * moving + 5, inside)
    assert changed.value == pytest.approx(plain.value, abs=0.01)


def test_what_counts_for_nothing_does_not_pull(images):
    fixed, moving, weight = images
    weight = torch.zeros_like(weight)
    weight[..., :4] = 1
    pull = LocalCorrelation(fixed, RADIUS).match(moving, weight).pull
    assert pull[..., :4].abs().max() > 0.01
    assert pull[..., 4 + RADIUS :].abs().max() < 1e-12
