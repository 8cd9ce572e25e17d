"""The network has the published size; its variant is diffeomorphic and symmetric; both can be trained."""

from __future__ import annotations

import pytest
import torch

from LightRegistrationLib.core.network.cascade import CascadeConfig, RecursiveCascade
from LightRegistrationLib.core.network.flows import compose, exponential, resize_flow, warp
from LightRegistrationLib.core.network.inputs import compute_inputs
from LightRegistrationLib.core.network.light_network import LightNetwork

IMAGES = torch.rand(2, 1, 1, 32, 48, 32, generator=torch.Generator().manual_seed(3))


def smooth_images() -> tuple[torch.Tensor, torch.Tensor]:
    pooled = torch.nn.functional.avg_pool3d(IMAGES.flatten(0, 1), 5, 1, 2).unflatten(0, (2, 1))
    return pooled[0], pooled[1]


def strong(config: CascadeConfig) -> RecursiveCascade:
    """A random student whose deformations are a voxel or so, not nearly zero."""
    torch.manual_seed(5)
    student = RecursiveCascade(config).eval()
    with torch.no_grad():
        for network in student.networks:
            network.flow.weight.mul_(60)
    return student


@pytest.mark.parametrize(("head", "parameters", "divisor"), [("full", 1_548_643, 1), ("half", 1_545_091, 2)])
def test_size_and_output_of_the_published_net_and_its_variant(head, parameters, divisor):
    network = LightNetwork(head)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert [(c.in_channels, c.out_channels) for c in network.encoder] == [(2, 16), (16, 32), (32, 64), (64, 128)]
    flow = network(IMAGES[0], IMAGES[1])
    assert flow.shape == (1, 3, 32 // divisor, 48 // divisor, 32 // divisor)


@pytest.mark.parametrize(
    "config",
    [
        CascadeConfig(cascades=3, head="full", symmetric=False, shared=False),
        CascadeConfig(cascades=2),
        CascadeConfig(cascades=3, symmetric=False, shared=False),
        CascadeConfig(cascades=2, inputs="z-scores"),
        CascadeConfig(cascades=1, coarse_factors=(2, 2)),
        CascadeConfig(cascades=2, inputs="z-scores", widths=(8, 12, 16, 20)),
        CascadeConfig(cascades=1, head="full", symmetric=False, widths=(8, 12, 16, 20)),
    ],
)
def test_every_cascade_learns(config):
    student = strong(config).train()
    fixed, moving = smooth_images()
    flow, predictions = student(fixed, moving)
    assert len(predictions) == config.cascades + len(config.coarse_factors)
    flow.square().mean().backward()
    # A symmetric student's last bias cancels: N(m, f) and N(f, m) have the same.
    weights = [p for name, p in student.named_parameters() if name.endswith("weight")]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in weights)


@pytest.mark.parametrize("inputs", ["intensity", "z-scores"])
def test_swapping_the_images_negates_the_velocity_of_a_symmetric_student(inputs):
    student = strong(CascadeConfig(cascades=1, symmetric=True, inputs=inputs))
    fixed, moving = smooth_images()
    with torch.inference_mode():
        _, (forward,) = student(fixed, moving)
        _, (backward,) = student(moving, fixed)
    assert forward.abs().max() > 0.1
    assert torch.equal(forward, -backward)


@pytest.mark.parametrize("inputs", ["intensity", "z-scores"])
def test_a_symmetric_student_predicts_half_the_difference_of_both_orders(inputs):
    config = CascadeConfig(cascades=1, symmetric=True, inputs=inputs)
    student = strong(config)
    fixed, moving = (compute_inputs(image, inputs) for image in smooth_images())
    (network,) = student.networks
    with torch.inference_mode():
        _, (found,) = student(*smooth_images())
        difference = (network(moving, fixed) - network(fixed, moving)) / 2
    torch.testing.assert_close(found, config.bound_voxels * torch.tanh(difference / config.bound_voxels))


def test_pairs_of_a_batch_do_not_mix():
    student = strong(CascadeConfig(cascades=2, inputs="z-scores"))
    fixed, moving = smooth_images()
    images = torch.cat([fixed, moving.flip(2)]), torch.cat([moving, fixed])
    together, _ = student(*images)
    alone = [student(a[None], b[None])[0] for a, b in zip(*images, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-3)
    assert float((alone[0] - alone[1]).detach().abs().max()) > 0.1


def test_a_later_cascade_gets_the_warped_moving_image():
    student = strong(CascadeConfig(cascades=2, symmetric=False))
    fixed, moving = smooth_images()
    with torch.inference_mode():
        total, predictions = student(fixed, moving)
        first, _ = student(fixed, moving, cascades=1)
        second, _ = student(fixed, warp(moving, resize_flow(first, (32, 48, 32))), cascades=1)
    torch.testing.assert_close(total, compose(first, second))
    torch.testing.assert_close(first, exponential(predictions[0], student.config.squarings))


def test_impossible_configurations_are_refused():
    with pytest.raises(ValueError, match="1 to 3 cascades"):
        CascadeConfig(cascades=4)
    with pytest.raises(ValueError, match="velocity head"):
        CascadeConfig(head="full", symmetric=True)
    with pytest.raises(ValueError, match="'intensity' or 'z-scores'"):
        CascadeConfig(inputs="mind")
    for widths in ((16, 32, 64), (0, 32, 64, 128), (16, 32, 64, 10**9)):
        with pytest.raises(ValueError, match="widths have to be 4 numbers from 1 to 1024"):
            CascadeConfig(widths=widths)
