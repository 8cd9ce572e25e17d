"""The built-in pair: its true field is right, the task is not trivial, and it is reproducible."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from LightRegistrationLib.commands.phantom.pair import PhantomPair, make_phantom_pair
from LightRegistrationLib.core.geometry.geometry import apply_affine
from LightRegistrationLib.core.geometry.volume import Segmentation

from .pair_files import PairFiles


@pytest.fixture(scope="module")
def pair(pair_files: PairFiles) -> PhantomPair:
    return pair_files.pair


def test_true_field_maps_every_structure(pair: PhantomPair) -> None:
    """The moving labels, looked up at the true moving points of the fixed voxels, are the fixed labels."""
    found = _looked_up(pair, with_truth=True)
    target = pair.fixed_segmentation.layers[0]
    for segment in pair.fixed_segmentation.segments:
        assert _dice(target == segment.value, found == segment.value) > 0.72, segment.name
    assert (found == target).mean() > 0.95


def test_structures_do_not_match_before_registration(pair: PhantomPair) -> None:
    target = pair.fixed_segmentation.layers[0]
    found = _looked_up(pair, with_truth=False)
    dice = [_dice(target == s.value, found == s.value) for s in pair.fixed_segmentation.segments]
    assert np.mean(dice) < 0.5
    assert np.linalg.norm(pair.true_field.array, axis=-1).max() > 10


def test_truth_does_not_fold(pair: PhantomPair) -> None:
    spacing = pair.true_field.geometry.spacing_mm[0]
    gradient = np.stack([np.gradient(pair.true_field.array, spacing, axis=axis) for axis in (2, 1, 0)], -1)
    determinants = np.linalg.det(gradient + np.eye(3))
    assert determinants.min() > 0.2
    assert determinants.max() < 5


def test_both_scans_show_the_same_structures_by_name(pair: PhantomPair) -> None:
    assert pair.fixed_segmentation.segments == pair.moving_segmentation.segments
    names = {s.name for s in pair.fixed_segmentation.segments}
    assert {"Left thalamus", "Right thalamus", "Brain stem", "Left cerebral cortex", "Third ventricle"} <= names


def test_left_is_left(pair: PhantomPair) -> None:
    for segmentation in (pair.fixed_segmentation, pair.moving_segmentation):
        for name in ("thalamus", "putamen", "cerebellum"):
            left, right = (_center(segmentation, f"{side} {name}") for side in ("Left", "Right"))
            assert left[0] < right[0], "RAS: the right side has the larger first coordinate"


def test_scans_differ_in_grid_type_and_noise(pair: PhantomPair) -> None:
    fixed, moving = pair.fixed, pair.moving
    assert fixed.array.dtype != moving.array.dtype
    assert fixed.array.shape != moving.array.shape
    assert np.linalg.det(fixed.affine[:3, :3]) > 0
    assert np.abs(np.triu(fixed.affine[:3, :3], 1)).max() > 0.05, "the fixed scan is not tilted"
    assert moving.affine[0, 0] < 0
    assert moving.affine[1, 1] < 0
    air = fixed.array[:4, :4, :4].astype(float)
    assert 0 < air.std() < 60


def test_same_seed_same_pair_and_other_seed_another() -> None:
    first, again, other = (make_phantom_pair(seed, spacing_mm=6.0) for seed in (3, 3, 4))
    assert np.array_equal(first.moving.array, again.moving.array)
    assert np.array_equal(first.true_field.array, again.true_field.array)
    points = first.fixed.geometry.points_mm
    assert np.abs(first.true_field(points) - other.true_field(points)).max() > 2


def test_tissues_differ_in_brightness(pair: PhantomPair) -> None:
    """Like T1: white matter over gray matter over fluid, in both scans."""
    for volume, segmentation in ((pair.fixed, pair.fixed_segmentation), (pair.moving, pair.moving_segmentation)):
        labels = segmentation.layers[0]
        white, gray, fluid = (np.median(volume.array[np.isin(labels, v)]) for v in ((2, 41), (3, 42), (4, 43)))
        assert white > 1.2 * gray > 1.2 * 1.5 * fluid


def _looked_up(pair: PhantomPair, with_truth: bool) -> np.ndarray:
    grid = pair.fixed.geometry
    points = apply_affine(grid.affine, np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij")[::-1], -1))
    if with_truth:
        points = pair.true_field(points)
    moving = pair.moving_segmentation
    indices = apply_affine(np.linalg.inv(moving.affine), points)
    return ndimage.map_coordinates(moving.layers[0], np.moveaxis(indices, -1, 0)[::-1], order=0)


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max((a.sum() + b.sum()), 1))


def _center(segmentation: Segmentation, name: str) -> np.ndarray:
    segment = next(s for s in segmentation.segments if s.name == name)
    return apply_affine(segmentation.affine, np.argwhere(segmentation.mask(segment)).mean(0)[::-1])
