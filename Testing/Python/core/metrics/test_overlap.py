"""Scores compared with brute force, on structures whose overlap is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import Geometry
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation, match_segments
from LightRegistrationLib.core.metrics import label_counts
from LightRegistrationLib.core.metrics.overlap import compare_segmentations, measure_surface_distances
from LightRegistrationLib.core.result.scores import Overlap, mean_overlap

from ..geometries import AWKWARD, make_geometry

GEOMETRY = make_geometry((20, 24, 28), (1, 2, 3), (10, 5, -20))


def box(start: int, stop: int, value: int = 1) -> np.ndarray:
    labels = np.zeros(GEOMETRY.shape, np.uint8)
    labels[5:15, 5:15, start:stop] = value
    return labels


def segmentation(labels: np.ndarray, geometry=GEOMETRY) -> Segmentation:
    return Segmentation.from_labels(labels, geometry.affine)


def test_dice_jaccard_and_volume_change_of_shifted_boxes():
    fixed, moving, warped = segmentation(box(4, 14)), segmentation(box(9, 19)), segmentation(box(5, 14))
    (score,) = compare_segmentations(fixed, moving, warped, GEOMETRY)
    assert score.before.dice == pytest.approx(0.5)
    assert score.before.jaccard == pytest.approx(1 / 3)
    assert score.after.dice == pytest.approx(2 * 9 / 19)
    assert score.after.volume_change_percent == pytest.approx(-10)
    assert score.before.volume_change_percent == 0
    assert score.fixed_voxels == 1000
    assert score.before.hd95_mm == pytest.approx(5.0, abs=0.01)  # five voxels of 1 mm along i


def test_hd95_against_all_pairs_of_surface_points_on_an_oblique_anisotropic_grid():
    rng = np.random.default_rng(0)
    first, second = (rng.random(GEOMETRY.shape) > 0.97 for _ in range(2))
    points = []
    for mask in (first, second):
        padded = np.pad(mask, 1)
        points.append(np.argwhere(padded & ~binary_erosion(padded))[:, ::-1] @ GEOMETRY.affine[:3, :3].T)
    distances = cdist(*points)
    expected = np.percentile(np.r_[distances.min(1), distances.min(0)], 95)
    assert measure_surface_distances(first, second, GEOMETRY).hd95_mm == pytest.approx(expected)


def ball(center: tuple[float, float, float], radius: float, geometry=GEOMETRY) -> np.ndarray:
    k, j, i = np.indices(geometry.shape)
    inside = (k - center[0]) ** 2 + (j - center[1]) ** 2 + (i - center[2]) ** 2 <= radius**2
    return np.asarray(inside)


def measure(first: np.ndarray, second: np.ndarray, geometry) -> tuple[float, float]:
    found = measure_surface_distances(first, second, geometry)
    return found.mean_mm, found.hd95_mm


def check_distances(first: np.ndarray, second: np.ndarray, geometry) -> None:
    """The percentile is exact, the mean to the precision of the sample of distances beyond the neighborhood."""
    (mean, percentile), (true_mean, true_percentile) = (f(first, second, geometry) for f in (measure, brute_force))
    assert percentile == pytest.approx(true_percentile)
    assert mean == pytest.approx(true_mean, rel=0.05)


def brute_force(first: np.ndarray, second: np.ndarray, geometry) -> tuple[float, float]:
    """Mean and 95th percentile of the distances between all surface voxels."""
    points = []
    for mask in (first, second):
        padded = np.pad(mask, 1)
        points.append(np.argwhere(padded & ~binary_erosion(padded))[:, ::-1] @ geometry.affine[:3, :3].T)
    distances = cdist(*points)
    both = np.r_[distances.min(1), distances.min(0)]
    return float(both.mean()), float(np.percentile(both, 95))


@pytest.mark.parametrize("shift", [0, 1, 3, 9, 20])
@pytest.mark.parametrize("name", ["plain", "oblique", "sheared"])
def test_hd95_of_structures_that_touch_and_that_are_far_apart(shift, name):
    """Near surfaces are found by looking up neighbors, distant ones by a search, and one with specks by both."""
    geometry = AWKWARD["plain" if name == "sheared" else name]
    if name == "sheared":
        shear = np.array([[1, 0.3, 0, 0], [0, 1, 0.2, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        geometry = Geometry(geometry.shape, shear @ geometry.affine)
    first, second = ball((15, 18, 12), 7, geometry), ball((16, 19, 12 + shift), 6, geometry)
    check_distances(first, second, geometry)
    specks = np.random.default_rng(shift).random(geometry.shape) > 0.999
    check_distances(first, second | specks, geometry)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32"])
@pytest.mark.parametrize("threads", [1, 3])
def test_many_structures_are_counted_as_one_by_one(dtype, threads, monkeypatch):
    """Unordered values, some negative or huge, some in one segmentation only; several slabs for several threads."""
    monkeypatch.setattr(label_counts, "METRICS", replace(label_counts.METRICS, slab_voxels=5000))
    values = np.array({"uint8": (3, 200, 7, 90), "int16": (-4, 900, 3, 55), "int32": (9, 10**9, 2, -7)}[dtype])
    rng = np.random.default_rng(2)
    fixed, moving, warped = (
        np.kron(rng.choice([0, *values], (5, 6, 7)), np.ones((4, 4, 4), int)).astype(dtype) for _ in range(3)
    )
    moving[moving == values[1]] = 0
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    scores = compare_segmentations(segmentation(fixed), segmentation(moving), segmentation(warped), GEOMETRY)
    torch.set_num_threads(before)
    assert {s.value for s in scores} == set(values.tolist()) - {int(values[1])}
    for score in scores:
        a, b, c = (labels == score.value for labels in (fixed, moving, warped))
        assert score.fixed_voxels == a.sum()
        assert score.before.dice == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
        assert score.after.jaccard == pytest.approx((a & c).sum() / (a | c).sum())
        assert score.after.volume_change_percent == pytest.approx(100 * (c.sum() / b.sum() - 1))
        mean, percentile = brute_force(a, c, GEOMETRY)
        assert score.after.hd95_mm == pytest.approx(percentile)
        assert score.after.mean_distance_mm == pytest.approx(mean, rel=0.05)


def test_structures_in_several_layers_are_compared_with_their_own():
    layers = box(4, 14, 2), box(9, 19, 2)
    segments = Segment("liver", 2, 0), Segment("lesion", 2, 1)
    layered = Segmentation(layers, GEOMETRY.affine, segments)
    swapped = Segmentation(layers[::-1], GEOMETRY.affine, (Segment("lesion", 2, 0), Segment("liver", 2, 1)))
    scores = compare_segmentations(layered, swapped, swapped, GEOMETRY)
    assert [(s.name, s.after.dice) for s in scores] == [("liver", 1), ("lesion", 1)]


def test_structures_are_paired_by_name_and_else_by_value():
    def named(*names: str) -> Segmentation:
        segments = tuple(Segment(n, v + 1) for v, n in enumerate(names))
        return Segmentation((box(0, 1),), GEOMETRY.affine, segments)

    by_name = match_segments(named("liver", "spleen"), named("spleen", "kidney"))
    assert [(a.name, b.name) for a, b in by_name] == [("spleen", "spleen")]
    by_value = match_segments(named("liver", "spleen"), named("Label_1", "Label_2"))
    assert [(a.value, b.value) for a, b in by_value] == [(1, 1), (2, 2)]


def test_names_and_values_that_occur_twice_pair_nothing():
    def layered(*segments: tuple[str, int, int]) -> Segmentation:
        layers = (box(0, 1), box(1, 2))
        return Segmentation(layers, GEOMETRY.affine, tuple(Segment(*s) for s in segments))

    doubled = layered(("node", 1, 0), ("node", 1, 1), ("liver", 2, 0))
    assert [a.name for a, _ in match_segments(doubled, doubled)] == ["liver"]
    overlapping = layered(("A", 1, 0), ("F", 1, 1), ("B", 2, 0))
    labels = layered(("Label_1", 1, 0), ("Label_2", 2, 0))
    assert [(a.name, b.name) for a, b in match_segments(overlapping, labels)] == [("B", "Label_2")]


def test_segmentations_on_grids_of_their_own_are_compared_on_the_fixed_grid():
    fine = AWKWARD["plain"]
    coarse = make_geometry((20, 22, 24), (4, 4, 4))
    labels = np.zeros(fine.shape, np.uint8)
    labels[8:32, 8:36, 8:40] = 3
    small = np.zeros(coarse.shape, np.uint8)
    small[4:16, 4:18, 4:20] = 3
    (score,) = compare_segmentations(
        segmentation(labels, fine), segmentation(small, coarse), segmentation(labels, fine), fine
    )
    assert score.before.dice == 1
    assert score.after.dice == 1


def test_a_structure_that_vanished_scores_zero_and_has_no_distance():
    gone = Segmentation((np.zeros(GEOMETRY.shape, np.uint8),), GEOMETRY.affine, (Segment("Label_1", 1),))
    (score,) = compare_segmentations(segmentation(box(4, 14)), segmentation(box(4, 14)), gone, GEOMETRY)
    assert score.after.dice == 0
    assert np.isnan(score.after.hd95_mm)
    assert score.after.volume_change_percent == -100


def test_means_leave_out_undefined_values_and_an_empty_list_is_refused():
    mean = mean_overlap([Overlap(0.5, 0.4, 1.0, 2.0, 1.0), Overlap(0.7, 0.6, float("nan"), float("nan"), 3.0)])
    assert (mean.dice, mean.mean_distance_mm, mean.hd95_mm) == (pytest.approx(0.6), 1.0, 2.0)
    with pytest.raises(InputError, match="no structure in common"):
        mean_overlap([])


def test_segmentations_without_a_labeled_voxel_can_be_compared():
    """A structure that is listed but has no voxel: no overlap, no distance, and no error."""
    fixed = Segmentation((np.ones((4, 5, 6), np.uint8),), np.eye(4), (Segment("a", 1),))
    empty = Segmentation((np.zeros((4, 5, 6), np.uint8),), np.eye(4), (Segment("a", 1),))
    (score,) = compare_segmentations(fixed, empty, empty, fixed.geometry)
    assert score.after.dice == 0
    assert np.isnan(score.after.hd95_mm)
