"""Where one of the images is not known, both are equal, so that the edge of a field of view drives nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine, homogeneous
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.network.grid import (
    GridImage,
    are_framed_alike,
    compute_network_grid,
    fill_unknown,
    measure_framing,
    resample_to_grid,
    shrink,
)
from LightRegistrationLib.core.network.intensity import IntensityNormalization
from LightRegistrationLib.core.network.settings import GridSettings

from ..anatomies import picture
from ..geometries import AWKWARD, make_geometry

SHAPE = (1, 1, 6, 7, 8)
EDGE_MM = 4.0


@pytest.fixture
def images() -> tuple[GridImage, GridImage]:
    """Two images of noise: the first half of k is known in the fixed one, the first half of i in the moving one."""
    geometry = Geometry(SHAPE[2:], np.eye(4))
    random = torch.Generator().manual_seed(1)
    fixed, moving = (torch.rand(SHAPE, generator=random) + 0.1 for _ in range(2))
    fixed_known, moving_known = torch.zeros(SHAPE, dtype=torch.bool), torch.zeros(SHAPE, dtype=torch.bool)
    fixed_known[:, :, :3], moving_known[..., :4] = True, True
    return (
        GridImage(fixed * fixed_known, geometry, fixed_known),
        GridImage(moving * moving_known, geometry, moving_known),
    )


@pytest.mark.parametrize("is_multimodal", [False, True])
def test_nothing_changes_where_both_images_are_known(images, is_multimodal):
    known = images[0].known & images[1].known
    for before, after in zip(images, fill_unknown(*images, is_multimodal), strict=True):
        assert torch.equal(after.tensor[known], before.tensor[known])
        assert torch.equal(after.known, before.known)


@pytest.mark.parametrize("is_multimodal", [False, True])
def test_the_images_are_equal_where_one_of_them_is_unknown(images, is_multimodal):
    unknown = ~(images[0].known & images[1].known)
    fixed, moving = fill_unknown(*images, is_multimodal)
    assert torch.equal(fixed.tensor[unknown], moving.tensor[unknown])


def test_a_single_contrast_pair_takes_what_the_other_image_shows(images):
    fixed, moving = fill_unknown(*images, is_multimodal=False)
    only_moving, only_fixed = images[1].known & ~images[0].known, images[0].known & ~images[1].known
    assert torch.equal(fixed.tensor[only_moving], images[1].tensor[only_moving])
    assert torch.equal(moving.tensor[only_fixed], images[0].tensor[only_fixed])
    assert fixed.tensor[~(images[0].known | images[1].known)].max() == 0


def test_a_multimodal_pair_is_empty_where_one_image_is_unknown(images):
    unknown = ~(images[0].known & images[1].known)
    for image in fill_unknown(*images, is_multimodal=True):
        assert image.tensor[unknown].max() == 0


def test_images_that_are_known_everywhere_are_unchanged(images):
    whole = [replace(image, known=torch.ones(SHAPE, dtype=torch.bool)) for image in images]
    for before, after in zip(whole, fill_unknown(*whole, is_multimodal=False), strict=True):
        assert torch.equal(before.tensor, after.tensor)


@pytest.mark.parametrize("name", AWKWARD)
def test_a_voxel_of_the_grid_is_known_if_it_lies_in_the_volume(name):
    volume = picture(AWKWARD[name])
    grid = compute_network_grid(volume.geometry, GridSettings(4.0))
    shrunk = shrink(volume, 4.0, IntensityNormalization())
    image = resample_to_grid(shrunk, grid, homogeneous(np.eye(3), (30, 0, 0)))
    indices = apply_affine(volume.geometry.inverse_affine, grid.points_mm + (30, 0, 0))
    depth = np.minimum(indices, volume.geometry.size_ijk - 1 - indices) * volume.geometry.spacing_mm
    depth = torch.from_numpy(depth.min(-1))[None, None]
    assert image.known[depth > EDGE_MM].all()
    assert not image.known[depth < -EDGE_MM].any()
    assert image.known.any()


def test_a_crop_of_the_fixed_image_becomes_the_fixed_image():
    """Only the crop's border, which interpolation mixes with nothing, may differ."""
    grid = make_geometry((32, 32, 32), (4, 4, 4))
    volume = picture(grid)
    half = Volume(volume.array[:16], volume.affine, "half")
    rule = IntensityNormalization()
    fixed = resample_to_grid(shrink(volume, 4.0, rule), grid, np.eye(4))
    moving = resample_to_grid(shrink(half, 4.0, rule), grid, np.eye(4))
    _, filled = fill_unknown(fixed, moving, is_multimodal=False)
    assert torch.equal(filled.tensor[:, :, 17:], fixed.tensor[:, :, 17:])
    assert moving.tensor[:, :, 17:].max() == 0


@pytest.mark.parametrize("name", AWKWARD)
def test_volumes_with_the_same_center_after_the_alignment_are_framed_alike(name):
    fixed = AWKWARD[name]
    matrix = homogeneous(np.eye(3), (30, -20, 10))
    moving = Geometry(fixed.shape, matrix @ fixed.affine)
    assert measure_framing(fixed, moving, matrix) == pytest.approx((0, 1), abs=1e-6)
    assert are_framed_alike(fixed, moving, matrix)
    assert not are_framed_alike(fixed, moving, np.eye(4))


@pytest.mark.parametrize(("first", "last", "offset"), [(0, 16, 0.5), (13, 19, 0.0)])
def test_a_volume_and_its_half_or_a_slab_from_its_middle_are_not_framed_alike(first, last, offset):
    whole = make_geometry((32, 24, 20), (2, 3, 4))
    part = Geometry((last - first, 24, 20), whole.affine @ homogeneous(np.eye(3), (0, 0, first)))
    for pair in ((whole, part), (part, whole)):
        measured, ratio = measure_framing(*pair, np.eye(4))
        assert measured == pytest.approx(offset, abs=0.04)
        assert ratio == pytest.approx((last - first) / 32, abs=0.04)
        assert not are_framed_alike(*pair, np.eye(4))
