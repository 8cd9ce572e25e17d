"""The weights of joint label fusion, compared with a plain implementation that goes voxel by voxel."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.label_fusion.joint_weights import compute_joint_weights
from LightRegistrationLib.core.label_fusion.settings import FusionSettings

SHAPE = (7, 6, 8)


def cube(radius: int) -> list[tuple[int, ...]]:
    return list(itertools.product(range(-radius, radius + 1), repeat=3))


def plain_patch(image: np.ndarray, center: tuple[int, ...], radius: int) -> np.ndarray:
    """The standardized patch; beyond the border the outermost voxel is repeated."""
    values = []
    for offset in cube(radius):
        voxel = tuple(min(max(c + o, 0), n - 1) for c, o, n in zip(center, offset, image.shape, strict=True))
        values.append(float(image[voxel]))
    patch = np.array(values) - np.mean(values)
    deviation = patch.std(ddof=1)
    return patch / deviation if deviation > 1e-9 else np.zeros_like(patch)


def plain_match(target: np.ndarray, image: np.ndarray, center: tuple[int, ...], settings: FusionSettings) -> tuple:
    own = plain_patch(target, center, settings.patch_radius)
    best, found = -np.inf, center
    for offset in cube(settings.search_radius):
        place = tuple(min(max(c + o, 0), n - 1) for c, o, n in zip(center, offset, image.shape, strict=True))
        similarity = float(own @ plain_patch(image, place, settings.patch_radius))
        if similarity > best:
            best, found = similarity, place
    return found


def plain_weights(
    target: np.ndarray, images: list[np.ndarray], center: tuple[int, ...], settings: FusionSettings
) -> tuple[np.ndarray, list[tuple]]:
    own = plain_patch(target, center, settings.patch_radius)
    places = [plain_match(target, image, center, settings) for image in images]
    errors = [
        np.abs(own - plain_patch(image, place, settings.patch_radius))
        for image, place in zip(images, places, strict=True)
    ]
    matrix = np.empty((len(images), len(images)))
    for a, b in itertools.product(range(len(images)), repeat=2):
        total = 0.0
        for x, y in zip(errors[a], errors[b], strict=True):
            total += x * y
        matrix[a, b] = (total / (len(own) - 1)) ** settings.exponent + (settings.ridge if a == b else 0)
    weights = np.maximum(np.linalg.inv(matrix).sum(1), 0)
    return weights / weights.sum(), places


@pytest.mark.parametrize(
    "settings", [FusionSettings(), FusionSettings(patch_radius=1, search_radius=1, ridge=0.05, exponent=1.5)]
)
def test_weights_equal_those_of_a_plain_implementation(settings: FusionSettings) -> None:
    generator = np.random.default_rng(3)
    target = generator.normal(size=SHAPE).astype(np.float32)
    images = [target + generator.normal(size=SHAPE).astype(np.float32) * scale for scale in (0.3, 1, 2)]
    images.append(np.roll(target, 1, 2) * 3 + 5)
    centers = [(0, 0, 0), (3, 2, 4), (6, 5, 7), (1, 4, 0), (5, 1, 6)]
    weights, matched = compute_joint_weights(
        torch.from_numpy(target), [*map(torch.from_numpy, images)], torch.tensor(centers), settings
    )
    for number, center in enumerate(centers):
        expected, places = plain_weights(target, images, center, settings)
        np.testing.assert_allclose(weights[:, number], expected, atol=2e-5)
        assert matched[:, number].tolist() == [np.ravel_multi_index(place, SHAPE) for place in places]
    if settings.search_radius:
        assert matched[3, 1] == np.ravel_multi_index((3, 2, 5), SHAPE), "the shift is not found"


def test_atlases_with_the_same_errors_share_one_vote() -> None:
    generator = np.random.default_rng(4)
    target, first, second = (torch.from_numpy(generator.normal(size=SHAPE).astype(np.float32)) for _ in range(3))
    images = [target + 0.7 * first, target + 0.7 * second, target + 0.7 * second]
    weights, _ = compute_joint_weights(target, images, torch.tensor([[3, 3, 3]]), FusionSettings())
    alone, twin, other_twin = weights[:, 0].tolist()
    assert twin == pytest.approx(other_twin, abs=1e-4)
    assert alone > twin + 0.1
    assert weights.sum().item() == pytest.approx(1)


def test_brightness_and_contrast_of_an_atlas_do_not_count_and_flat_patches_weigh_alike() -> None:
    generator = np.random.default_rng(5)
    target = torch.from_numpy(generator.normal(size=SHAPE).astype(np.float32))
    images = [target + torch.from_numpy(generator.normal(size=SHAPE).astype(np.float32)) for _ in range(3)]
    centers = torch.tensor([[2, 2, 2], [4, 3, 5]])
    weights, _ = compute_joint_weights(target, images, centers, FusionSettings())
    changed, _ = compute_joint_weights(target, [images[0] * 40 - 900, *images[1:]], centers, FusionSettings())
    torch.testing.assert_close(changed, weights, atol=1e-3, rtol=0)
    flat = torch.full(SHAPE, 7.0)
    even, _ = compute_joint_weights(flat, [flat, flat + 1, flat * 3], centers, FusionSettings())
    torch.testing.assert_close(even, torch.full((3, 2), 1 / 3))


@pytest.mark.parametrize("radii", [{"patch_radius": 0}, {"patch_radius": 9}, {"search_radius": -1}])
def test_radii_out_of_range_are_refused(radii: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"radius of .* is out of range; use"):
        FusionSettings(**radii)
