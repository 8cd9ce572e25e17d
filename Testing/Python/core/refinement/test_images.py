"""The images of the refinement: where they are known, and what several resolutions share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from LightRegistrationLib.core.geometry.transforms import AffineTransform
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.network.grid import compute_network_grid, shrink
from LightRegistrationLib.core.network.intensity import IntensityNormalization
from LightRegistrationLib.core.network.settings import GridSettings
from LightRegistrationLib.core.refinement.images import RefinementImages, ShrunkPair
from LightRegistrationLib.core.result.settings import NO_GUIDANCE
from LightRegistrationLib.core.sampling.trilinear import compute_share_inside, trilinear

from ..geometries import make_geometry

RULE = IntensityNormalization()
PAIR = tuple(
    Volume(np.random.default_rng(seed).random(geometry.shape, dtype=np.float32), geometry.affine)
    for seed, geometry in enumerate(
        (make_geometry((40, 44, 36), (1.0, 1.0, 1.5)), make_geometry((36, 40, 50), (1.2, 1.0, 1.1)))
    )
)


def test_the_share_inside_is_what_sampling_an_image_of_ones_gives():
    generator = torch.Generator().manual_seed(1)
    positions = torch.rand((2, 3, 9, 8, 7), generator=generator) * 9 - 2
    ones = torch.ones((2, 1, 5, 6, 7))
    expected = trilinear(ones, positions, fade_to_zero=True)
    torch.testing.assert_close(compute_share_inside(positions, ones.shape[2:]), expected, atol=1e-6, rtol=1e-5)
    assert 0.1 < float((expected > 0.99).float().mean()) < 0.9


@pytest.mark.parametrize("spacing_mm", [1.6, 3.1])
def test_a_pair_shrunk_before_at_another_spacing_equals_one_shrunk_anew(spacing_mm):
    pair = ShrunkPair(*PAIR, RULE)
    before = pair.shrink_to(1.4)
    after = pair.shrink_to(spacing_mm)
    for volume, image in zip(PAIR, after, strict=True):
        anew = shrink(volume, spacing_mm, RULE)
        torch.testing.assert_close(image.tensor, anew.tensor, atol=0, rtol=0)
        assert image.geometry.matches(anew.geometry)
    assert (after[0] is before[0]) == (spacing_mm == 1.6)  # blocks of one voxel at both spacings


def test_a_voxel_counts_where_both_the_grid_and_the_volume_know_it():
    grid = compute_network_grid(PAIR[0].geometry, GridSettings(1.4))
    away = np.eye(4)
    away[0, 3] = 10.0
    images = RefinementImages(ShrunkPair(*PAIR, RULE), AffineTransform(away), grid, NO_GUIDANCE)(1)
    wide = images.moving_weight[0, 0].numpy() > 0
    offset = np.array(wide.shape[::-1]) - grid.size_ijk
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in wide.shape), indexing="ij")[::-1], -1) - offset / 2
    points = indices @ grid.affine[:3, :3].T + grid.affine[:3, 3] + away[:3, 3]
    moving = PAIR[1].geometry
    voxels = (points - moving.affine[:3, 3]) @ np.linalg.inv(moving.affine[:3, :3]).T
    slack = 0.02
    surely = ((voxels >= slack) & (voxels <= moving.size_ijk - 1 - slack)).all(-1)
    never = ((voxels < -slack) | (voxels > moving.size_ijk - 1 + slack)).any(-1)
    assert wide[surely].all()
    assert not wide[never].any()
    assert surely.sum() > 1000
