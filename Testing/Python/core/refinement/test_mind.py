"""MIND descriptors and their similarity gradient, compared with the definition and with autograd."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter, uniform_filter

from LightRegistrationLib.core.geometry.geometry import Geometry, homogeneous
from LightRegistrationLib.core.network.flow_conversion import Deformation
from LightRegistrationLib.core.network.flows import warp
from LightRegistrationLib.core.refinement.images import LevelImages
from LightRegistrationLib.core.refinement.mind import NEIGHBOR_PAIRS, MindSimilarity, compute_descriptors
from LightRegistrationLib.core.refinement.optimizer import Start, refine
from LightRegistrationLib.core.refinement.settings import MindSettings, RefinementSettings
from LightRegistrationLib.core.result.progress import ignore_progress
from LightRegistrationLib.core.sampling.filters import gradient

SHAPE = (24, 28, 26)
INSIDE = (..., slice(4, -4), slice(4, -4), slice(4, -4))


def image(seed: int = 1, smoothness: float = 1.0) -> torch.Tensor:
    values = gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), smoothness)
    values = (values - values.min()) / (values.max() - values.min())
    return torch.from_numpy(values)[None, None]


@pytest.mark.parametrize(("radius", "distance"), [(1, 1), (1, 2), (2, 1)])
def test_descriptors_are_those_of_the_definition(radius, distance):
    values = image()[0, 0].numpy()
    expected = []
    for first, second in NEIGHBOR_PAIRS:
        moved = [np.roll(values, [-distance * step for step in steps], (0, 1, 2)) for steps in (first, second)]
        expected.append(uniform_filter((moved[0] - moved[1]) ** 2, 2 * radius + 1))
    distances = np.stack(expected)
    noise = distances.mean(0)
    expected = np.exp(-(distances - distances.min(0)) / noise)
    found = compute_descriptors(torch.from_numpy(values)[None, None], MindSettings(radius, distance))[0].numpy()
    np.testing.assert_allclose(found[INSIDE], expected[INSIDE], rtol=1e-6)


def test_the_pairs_are_the_twelve_that_are_not_opposite():
    assert len({frozenset(pair) for pair in NEIGHBOR_PAIRS}) == 12
    assert {int(np.square(np.subtract(*pair)).sum()) for pair in NEIGHBOR_PAIRS} == {2}


def test_inversion_and_gain_change_no_descriptor():
    torch.testing.assert_close(compute_descriptors(2.5 - 1.7 * image()), compute_descriptors(image()))


def test_empty_space_matches_empty_space():
    nothing = torch.zeros(1, 1, *SHAPE)
    match = MindSimilarity(nothing).evaluate(compute_descriptors(nothing), torch.ones_like(nothing))
    assert match.value == 1
    assert (match.gradient == 0).all()


def test_the_gradient_is_the_derivative_of_the_value():
    fixed, moving = image(1), image(2)
    weight = torch.ones_like(fixed)
    similarity = MindSimilarity(fixed)
    warped = similarity.compute_channels(moving).requires_grad_()
    counts = torch.zeros_like(fixed)
    counts[..., 2:-2, 2:-2, 2:-2] = 1
    own = compute_descriptors(fixed)
    spread = torch.var(own[..., 2:-2, 2:-2, 2:-2], dim=(2, 3, 4), correction=0).sum()
    value = 1 - ((own - warped).square() * counts).sum() / counts.sum() / spread
    (derivative,) = torch.autograd.grad(value * counts.sum(), warped)
    with torch.no_grad():
        match = similarity.evaluate(warped, weight)
        expected = sum(derivative[:, c : c + 1] * gradient(warped[:, c : c + 1]) for c in range(len(NEIGHBOR_PAIRS)))
    assert match.value == pytest.approx(float(value.detach()), rel=1e-9)
    torch.testing.assert_close(match.gradient, expected, rtol=1e-6, atol=1e-9)


def test_the_gradient_agrees_with_autograd_through_the_sampler():
    """Of the warp itself, not of central differences: alike, as far as the descriptors are smooth."""
    fixed, moving = image(1, 3.0).float(), image(2, 3.0).float()
    flow = torch.full((1, 3, *SHAPE), 0.5, requires_grad=True)
    similarity = MindSimilarity(fixed)
    prepared = similarity.compute_channels(moving)
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in SHAPE), indexing="ij")
    size = torch.tensor(SHAPE[::-1])
    positions = torch.stack([axis.flatten() for axis in axes[::-1]], -1).reshape(1, *SHAPE, 3) + flow.movedim(1, -1)
    warped = F.grid_sample(prepared, (positions + 0.5) * (2 / size) - 1, align_corners=False, padding_mode="border")
    loss = (compute_descriptors(fixed) - warped).square().sum(1, keepdim=True)
    (expected,) = torch.autograd.grad(-loss[INSIDE].sum(), flow)
    pull = similarity.evaluate(warped.detach(), torch.ones_like(fixed)).gradient
    inner = torch.stack([expected[INSIDE].flatten(), pull[INSIDE].flatten()])
    assert torch.corrcoef(inner)[0, 1] > 0.95


def test_the_edge_of_the_field_of_view_has_no_gradient():
    """The moving volume ends in the middle of the fixed one: no voxel feels its edge, from either side."""
    fixed, moving = image(1).float(), image(2).float()
    known = torch.ones_like(fixed)
    known[..., 14:] = 0
    match = MindSimilarity(fixed).evaluate(compute_descriptors(moving * known), known)
    assert (match.gradient[..., 12:] == 0).all()
    assert (match.curvature[..., 12:] == 0).all()
    assert match.gradient[INSIDE][..., :8].abs().max() > 0
    undisturbed = MindSimilarity(fixed).evaluate(compute_descriptors(moving), known)
    assert match.value == pytest.approx(undisturbed.value, rel=0.02)


def spheres(center: float, levels: tuple[float, float, float]) -> torch.Tensor:
    """A ball in a ball; `levels`: outside, shell and core, smoothed over a voxel."""
    k, j, i = np.meshgrid(*(np.arange(n, dtype=float) for n in (36, 36, 36)), indexing="ij")
    distance = np.sqrt((i - 17.5 - center) ** 2 + (j - 17.5) ** 2 + (k - 17.5 + center) ** 2)
    shell, core = (1 / (1 + np.exp(2 * (distance - radius))) for radius in (12, 6))
    values = levels[0] + (levels[1] - levels[0]) * shell + (levels[2] - levels[1]) * core
    return torch.from_numpy(values.astype(np.float32))[None, None]


def test_a_moved_body_of_other_contrast_is_found():
    """2.5 voxels along i and against k; what is bright in one image is dark in the other."""
    margin = 4
    fixed, moving = spheres(0.0, (0.0, 0.9, 0.3)), spheres(2.5, (0.1, 0.4, 1.0))
    geometry = Geometry((36, 36, 36), homogeneous(np.eye(3), np.zeros(3)))
    wide = F.pad(moving, [margin] * 6, mode="replicate")
    images = LevelImages(geometry, fixed, torch.ones_like(fixed), wide, torch.ones_like(wide), margin)
    start = Start(Deformation(torch.zeros(1, 3, 36, 36, 36), geometry), lambda factor: images)
    rule = RefinementSettings(update_voxels=2.5, elastic_voxels=1.0, coarsest=2)
    found, _ = refine([start], MindSimilarity, "fast", rule, ignore_progress)
    surface = (fixed - 0.45).abs() < 0.3
    moved = torch.stack([found.flow[0, axis][surface[0, 0]].mean() for axis in (0, 1, 2)])
    np.testing.assert_allclose(moved.numpy(), [2.5, 0.0, -2.5], atol=0.2)
    before, after = (
        (w - moving_truth).abs().mean()
        for moving_truth in [spheres(0.0, (0.1, 0.4, 1.0))]
        for w in (moving, warp(moving, found.flow))
    )
    assert after < before / 4


@pytest.mark.parametrize("axes", list(product([False, True], repeat=3))[1:4])
def test_flipped_images_have_flipped_gradients(axes):
    """No direction is preferred: the descriptor's channels change places, the sum over them does not."""
    dims = [2 + n for n, flip in enumerate(axes) if flip]
    fixed, moving = image(1).float(), image(2).float()
    one = torch.ones_like(fixed)
    plain = MindSimilarity(fixed).evaluate(compute_descriptors(moving), one)
    flipped = MindSimilarity(fixed.flip(dims)).evaluate(compute_descriptors(moving.flip(dims)), one)
    signs = torch.tensor([-1.0 if axes[2 - n] else 1.0 for n in range(3)]).view(1, 3, 1, 1, 1)
    torch.testing.assert_close(flipped.gradient.flip(dims) * signs, plain.gradient, rtol=1e-4, atol=1e-5)
