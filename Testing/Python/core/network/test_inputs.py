"""What the network sees of an image: local z-scores, against averages of torch and under changes of the scanner."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from LightRegistrationLib.core.network.inputs import compute_inputs, compute_z_scores, count_channels
from LightRegistrationLib.core.network.settings import NETWORK

IMAGE = torch.rand(2, 1, 12, 14, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("radius", [1, 3])
def test_z_scores_equal_those_of_pooling_without_padding(radius):
    def average(image: torch.Tensor) -> torch.Tensor:
        return F.avg_pool3d(image.double(), 2 * radius + 1, 1, radius, count_include_pad=False)

    mean = average(IMAGE)
    deviation = (average(IMAGE.double().square()) - mean.square() + NETWORK.z_score_min_variance).sqrt()
    torch.testing.assert_close(
        compute_z_scores(IMAGE, radius).double(), (IMAGE - mean) / deviation, rtol=1e-4, atol=1e-4
    )


def test_z_scores_hardly_see_a_smooth_bias_field():
    bias = torch.linspace(0.8, 1.2, IMAGE.shape[-1])
    changed = compute_z_scores(IMAGE * bias, 1) - compute_z_scores(IMAGE, 1)
    assert changed.abs().mean() < 0.1 * compute_z_scores(IMAGE, 1).abs().mean()


def test_an_empty_image_has_z_scores_of_zero():
    assert compute_z_scores(torch.zeros(1, 1, 8, 8, 8), 3).abs().max() == 0


def test_the_image_itself_is_the_first_channel():
    assert torch.equal(compute_inputs(IMAGE, "z-scores")[:, :1], IMAGE)
    assert compute_inputs(IMAGE, "z-scores").shape[1] == count_channels("z-scores") == 3
    assert compute_inputs(IMAGE, "intensity") is IMAGE
    assert count_channels("intensity") == 1
