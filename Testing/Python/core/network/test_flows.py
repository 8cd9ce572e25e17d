"""Flow arithmetic against scipy and against fields whose composition and exponential are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from scipy.ndimage import map_coordinates

from LightRegistrationLib.core.network.flows import compose, exponential, resize_flow, sample, voxel_grid, warp

SHAPE = (18, 20, 24)


def linear_flow(matrix: np.ndarray, shape: tuple[int, ...], center: np.ndarray | None = None) -> torch.Tensor:
    """u(x) = matrix @ (x - center), components i, j, k, in voxels."""
    grid = voxel_grid(shape, torch.device("cpu"))
    middle = (np.array(shape[::-1]) - 1) / 2 if center is None else center
    relative = grid - torch.tensor(middle, dtype=torch.float32).view(1, 3, 1, 1, 1)
    return torch.einsum("ab,nbdhw->nadhw", torch.tensor(matrix, dtype=torch.float32), relative)


def smooth_flow(seed: int, shape: tuple[int, ...] = SHAPE, amplitude: float = 2.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 3, 4, 4, 4, generator=generator) * amplitude
    return torch.nn.functional.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)


@pytest.mark.parametrize("threads", [1, 2])
def test_warp_agrees_with_scipy_on_any_number_of_threads(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    image = torch.rand(1, 2, *SHAPE, generator=torch.Generator().manual_seed(1))
    flow = smooth_flow(2)
    result = warp(image, flow)
    torch.set_num_threads(before)
    coordinates = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij")) + flow[0].numpy()[::-1]
    for channel in range(2):
        expected = map_coordinates(image[0, channel].numpy(), coordinates, order=1, mode="nearest")
        np.testing.assert_allclose(result[0, channel], expected, atol=2e-5)


def torch_sampler(image: torch.Tensor, coordinates: torch.Tensor, padding: str) -> torch.Tensor:
    size = torch.tensor(image.shape[:1:-1])
    normalized = (coordinates.movedim(1, -1) + 0.5) * (2 / size) - 1
    return torch.nn.functional.grid_sample(image, normalized, padding_mode=padding, align_corners=False)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("padding", ["border", "zeros"])
@pytest.mark.parametrize("shape", [(10, 12, 14), (40, 44, 48), (1, 5, 6)])
def test_values_and_gradients_equal_those_of_torch_grid_sample(threads, padding, shape):
    """Two images of two channels, sampled also well outside; long enough that the work is shared among threads."""
    generator = torch.Generator().manual_seed(3)
    image = torch.rand(2, 2, *shape, generator=generator)
    size = torch.tensor(shape[::-1], dtype=torch.float32).view(1, 3, 1, 1, 1)
    coordinates = (torch.rand(2, 3, 50, 40, 36, generator=generator) * 1.6 - 0.3) * size
    arriving = torch.rand(2, 2, 50, 40, 36, generator=generator)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    answers = []
    for sampler in (torch_sampler, lambda *a: sample(*a[:2], padding=a[2])):
        inputs = image.clone().requires_grad_(), coordinates.clone().requires_grad_()
        values = sampler(*inputs, padding)
        answers.append((values.detach(), *torch.autograd.grad(values, inputs, arriving)))
    torch.set_num_threads(before)
    expected, found = answers
    torch.testing.assert_close(found[0], expected[0], atol=2e-5, rtol=0)
    torch.testing.assert_close(found[1], expected[1], atol=1e-3, rtol=1e-4)
    # Where a coordinate lies on a voxel, up to rounding, the slope is that of either side.
    differing = (found[2] - expected[2]).abs() > 1e-3
    assert differing.float().mean() < 1e-4


def test_a_nan_coordinate_gives_nan_and_changes_no_other_voxel():
    image, flow = torch.rand(1, 1, *SHAPE), smooth_flow(4)
    expected = warp(image, flow)
    flow[0, 1, 5, 6, 7] = float("nan")
    found = warp(image, flow)
    assert found[0, 0, 5, 6, 7].isnan()
    found[0, 0, 5, 6, 7] = expected[0, 0, 5, 6, 7]
    torch.testing.assert_close(found, expected)


def test_the_gradient_of_a_warp_equals_finite_differences():
    flow = smooth_flow(5, (6, 7, 8)).requires_grad_()
    image = torch.rand(1, 1, 6, 7, 8, generator=torch.Generator().manual_seed(6))
    change = smooth_flow(7, (6, 7, 8), 1e-3)
    (slope,) = torch.autograd.grad(warp(image, flow).square().sum(), flow)
    difference = warp(image, flow + change).square().sum() - warp(image, flow - change).square().sum()
    assert float((slope * change).sum()) == pytest.approx(float(difference.detach()) / 2, rel=0.02)


def test_composed_flows_are_the_composition_of_the_maps():
    first, second = np.diag([0.02, -0.03, 0.01]), np.array([[0, 0.04, 0], [-0.04, 0, 0], [0, 0, 0]])
    total = compose(linear_flow(first, SHAPE), linear_flow(second, SHAPE))
    expected = (np.eye(3) + first) @ (np.eye(3) + second) - np.eye(3)
    inner = (slice(None), slice(None), *[slice(4, -4)] * 3)
    torch.testing.assert_close(total[inner], linear_flow(expected, SHAPE)[inner], atol=2e-4, rtol=0)


def test_exponential_of_a_rotation_velocity_is_the_rotation():
    velocity = np.array([[0, -0.3, 0], [0.3, 0, 0], [0, 0, 0.1]])
    shape = (24, 24, 24)
    flow = exponential(linear_flow(velocity, shape), 8)
    inner = (slice(None), slice(None), *[slice(8, -8)] * 3)
    expected = linear_flow(expm(velocity) - np.eye(3), shape)
    torch.testing.assert_close(flow[inner], expected[inner], atol=2e-3, rtol=0)


def test_resizing_keeps_the_outer_edges_and_scales_the_values():
    """Voxel h of the half grid lies at 2 h + 0.5 of the full one, as a stride-2 convolution has it."""
    matrix = np.array([[0.1, 0.02, 0], [0, -0.1, 0.03], [0.04, 0, 0.05]])
    half = linear_flow(matrix, (9, 10, 12))
    full = resize_flow(half, SHAPE)
    inner = (slice(None), slice(None), *[slice(1, -1)] * 3)
    torch.testing.assert_close(full[inner], linear_flow(matrix, SHAPE)[inner], atol=1e-5, rtol=0)
    back = resize_flow(full, (9, 10, 12))
    torch.testing.assert_close(back[inner], half[inner], atol=1e-5, rtol=0)


def test_a_velocity_and_its_negative_undo_each_other():
    grid = voxel_grid((24, 24, 24), torch.device("cpu"))
    velocity = 1.5 * torch.sin(grid[:, [1, 2, 0]] * (2 * np.pi / 24))
    there, back = exponential(velocity, 7), exponential(-velocity, 7)
    inner = (slice(None), slice(None), *[slice(6, -6)] * 3)
    assert there[inner].abs().max() > 1
    assert compose(there, back)[inner].abs().max() < 0.05
