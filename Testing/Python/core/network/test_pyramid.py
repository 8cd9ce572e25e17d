"""Coarse cascades see averaged images, and their flows lie where they should on every finer grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from LightRegistrationLib.core.network.cascade import CascadeConfig
from LightRegistrationLib.core.network.flows import compose, exponential, resize_flow, voxel_grid, warp
from LightRegistrationLib.core.network.inputs import compute_inputs
from LightRegistrationLib.core.network.pyramid import average_image, move_flow

from .test_light_network import strong

SHAPE = (48, 80, 112)
MATRIX = torch.tensor([[0.02, -0.01, 0.03], [0.01, 0.03, -0.02], [-0.03, 0.02, 0.01]])
OFFSET = torch.tensor([1.5, -2.0, 0.75])


def analytic_flow(factor: int, shape: tuple[int, ...]) -> torch.Tensor:
    """A linear displacement, known at every point, on the half grid of a level; shape: of that half grid."""
    scale = 2 * factor
    positions = scale * voxel_grid(shape, torch.device("cpu")) + (scale - 1) / 2  # in voxels of the finest grid
    flow = torch.einsum("ab,nbdhw->nadhw", MATRIX, positions) + OFFSET.view(1, 3, 1, 1, 1)
    return flow / scale


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_images_are_averaged_and_padded_behind_their_last_voxels(factor):
    image = torch.rand(1, 1, *SHAPE, generator=torch.Generator().manual_seed(1))
    d, h, w = (n // factor for n in SHAPE)
    expected = image.numpy().reshape(d, factor, h, factor, w, factor).mean((1, 3, 5))
    averaged = average_image(image, factor)[0, 0].numpy()
    assert all(n % 16 == 0 for n in averaged.shape)
    np.testing.assert_allclose(averaged[:d, :h, :w], expected, atol=1e-6)
    assert averaged.sum() == pytest.approx(expected.sum(), rel=1e-5)


@pytest.mark.parametrize(("factor", "new_factor"), [(8, 4), (4, 2), (2, 1), (8, 1), (2, 4)])
def test_a_flow_is_the_same_displacement_on_another_grid(factor, new_factor):
    padded = tuple(-(-n // (16 * factor)) * 8 for n in SHAPE)
    moved = move_flow(analytic_flow(factor, padded), factor, SHAPE, new_factor)
    assert tuple(moved.shape[2:]) == tuple(-(-n // (16 * new_factor)) * 8 for n in SHAPE)
    expected = analytic_flow(new_factor, tuple(moved.shape[2:]))
    # Within half a coarse voxel of the edge nothing lies beyond, so that the outermost flow is repeated.
    edge = factor // new_factor + 1
    inner = (..., *(slice(edge, n // (2 * new_factor) - edge) for n in SHAPE))
    torch.testing.assert_close(moved[inner], expected[inner], atol=1e-4, rtol=1e-4)


def test_a_coarse_cascade_is_the_student_on_averaged_images():
    config = CascadeConfig(cascades=1, inputs="z-scores", coarse_factors=(2,))
    student, plain = strong(config), strong(CascadeConfig(cascades=1, inputs="z-scores"))
    noise = torch.rand(2, 1, 64, 96, 64, generator=torch.Generator().manual_seed(2))
    fixed, moving = (torch.nn.functional.avg_pool3d(n[None], 5, 1, 2) for n in noise)
    with torch.inference_mode():
        total, predictions = student(fixed, moving)
        halves = (torch.nn.functional.avg_pool3d(image, 2) for image in (fixed, moving))
        coarse = resize_flow(plain(*halves)[0], (32, 48, 32))
        # Channels are computed before they are warped, as for all cascades.
        channels = [compute_inputs(image, "z-scores") for image in (fixed, moving)]
        warped = warp(channels[1], resize_flow(coarse, (64, 96, 64)))
        both = plain.networks[0](torch.cat([warped, channels[0]]), torch.cat([channels[0], warped]))
        velocity = (both[:1] - both[1:]) / 2
    torch.testing.assert_close(predictions[1], 12 * torch.tanh(velocity / 12), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(total, compose(coarse, exponential(predictions[1], 6)), atol=1e-4, rtol=1e-3)


def test_swapping_the_images_negates_the_first_velocity_also_on_a_padded_grid():
    student = strong(CascadeConfig(cascades=1, coarse_factors=(4, 2)))
    fixed, moving = torch.rand(2, 1, 1, *SHAPE, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        flow, forward = student(fixed, moving)
        _, backward = student(moving, fixed)
    assert flow.shape == (1, 3, 24, 40, 56)
    torch.testing.assert_close(forward[0], -backward[0])


def test_impossible_coarse_cascades_are_refused():
    with pytest.raises(ValueError, match="2, 4 or 8, got \\[3\\]"):
        CascadeConfig(coarse_factors=(3,))
    with pytest.raises(ValueError, match="shared weights"):
        CascadeConfig(coarse_factors=(2,), shared=False)
