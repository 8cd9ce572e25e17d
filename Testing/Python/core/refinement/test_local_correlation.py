"""Local correlation compared with autograd of its definition."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from LightRegistrationLib.core.refinement.local_correlation import LocalCorrelation
from LightRegistrationLib.core.sampling.filters import gradient

RADIUS = 2


def windows(image: torch.Tensor) -> torch.Tensor:
    return F.avg_pool3d(image, 2 * RADIUS + 1, stride=1, padding=RADIUS)


def squared_correlation(fixed: torch.Tensor, moving: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The definition, voxels of no weight left out of every sum."""

    def mean(image: torch.Tensor) -> torch.Tensor:
        return windows(weight * image) / windows(weight).clamp(min=1e-6)

    covariance = mean(fixed * moving) - mean(fixed) * mean(moving)
    variances = (mean(image**2) - mean(image) ** 2 + 1e-4 for image in (fixed, moving))
    return weight * (windows(weight) > 0.25) * covariance**2 / math.prod(variances)


@pytest.fixture
def images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    fixed, noise = (torch.rand((1, 1, 11, 13, 12), generator=generator, dtype=torch.float64) for _ in range(2))
    weight = (torch.rand((1, 1, 11, 13, 12), generator=generator) > 0.3).double()
    return [fixed, 0.7 * fixed + 0.5 * noise, weight]


def test_value_and_gradient_are_those_of_the_definition(images):
    fixed, moving, weight = images
    variable = moving.clone().requires_grad_()
    each = squared_correlation(fixed, variable, weight)
    (derivative,) = torch.autograd.grad(each.sum(), variable)
    counted = float((weight * (windows(weight) > 0.25)).sum())
    match = LocalCorrelation(fixed, RADIUS).evaluate(moving, weight)
    assert match.value == pytest.approx(float(each.detach().sum() / counted), rel=1e-9)
    torch.testing.assert_close(match.gradient, derivative * gradient(moving), rtol=1e-6, atol=1e-9)
    assert (match.curvature >= 0).all()


def test_brightness_and_contrast_make_no_difference(images):
    fixed, moving, weight = images
    inside = torch.zeros_like(weight)
    inside[..., RADIUS:-RADIUS, RADIUS:-RADIUS, RADIUS:-RADIUS] = 1
    similarity = LocalCorrelation(fixed, RADIUS)
    plain, changed = similarity.evaluate(moving, inside), similarity.evaluate(3 * moving + 5, inside)
    assert changed.value == pytest.approx(plain.value, abs=0.01)


def test_voxels_without_weight_have_no_gradient_and_no_influence(images):
    fixed, moving, _ = images
    weight = torch.zeros_like(fixed)
    weight[..., :6] = 1
    match = LocalCorrelation(fixed, RADIUS).evaluate(moving, weight)
    changed = moving.clone()
    changed[..., 6:] = 17.0
    other = LocalCorrelation(fixed, RADIUS).evaluate(changed, weight)
    assert match.gradient[..., 6:].abs().max() == 0
    assert match.gradient[..., :5].abs().max() > 0.01
    assert other.value == pytest.approx(match.value, abs=1e-12)
    torch.testing.assert_close(other.gradient[..., :5], match.gradient[..., :5])
