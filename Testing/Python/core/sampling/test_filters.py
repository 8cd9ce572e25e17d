"""Separable filters against torch's pooling, scipy and numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from LightRegistrationLib.core.sampling.filters import box_max, box_mean, gaussian, gradient


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand((2, 3, 9, 12, 10), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_a_box_mean_is_average_pooling_with_zeros_outside(image, radius):
    pooled = F.avg_pool3d(image, 2 * radius + 1, stride=1, padding=radius)
    before = image.clone()
    torch.testing.assert_close(box_mean(image, radius), pooled, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(image, before)


@pytest.mark.parametrize("radius", [1, 2])
def test_a_box_max_is_max_pooling(image, radius):
    expected = F.max_pool3d(image, 2 * radius + 1, stride=1, padding=radius)
    torch.testing.assert_close(box_max(image, radius), expected)


@pytest.mark.parametrize("sigma", [0.7, 1.0, 1.6])
def test_a_gaussian_is_that_of_scipy(image, sigma):
    expected = gaussian_filter(
        image.double().numpy(),
        (0, 0, sigma, sigma, sigma),
        mode="nearest",
        radius=[0, 0] + [int(2.5 * sigma + 0.5)] * 3,
    )
    np.testing.assert_allclose(gaussian(image, sigma), expected, atol=1e-6)


def test_windows_wider_than_an_axis_reach_beyond_both_of_its_ends():
    image = torch.rand((1, 1, 2, 1, 3), generator=torch.Generator().manual_seed(2))
    window = (0, 0, 4, 4, 4)
    expected = gaussian_filter(image.double().numpy(), (0, 0, 1.6, 1.6, 1.6), mode="nearest", radius=window)
    np.testing.assert_allclose(gaussian(image, 1.6), expected, atol=1e-6)
    torch.testing.assert_close(box_mean(image, 4), image.sum().div(9**3).expand_as(image))


def test_a_narrow_gaussian_leaves_the_image_alone(image):
    torch.testing.assert_close(gaussian(image, 0.0), image)


def test_the_gradient_is_numpys_inside_and_ordered_i_j_k(image):
    one = image[:1, :1]
    expected = np.stack(np.gradient(one[0, 0].double().numpy())[::-1])
    inside = (slice(None), *[slice(1, -1)] * 3)
    np.testing.assert_allclose(gradient(one)[0].numpy()[inside], expected[inside], atol=1e-6)
