"""Label fusion: votes, ties, probabilities, and heads whose true labels are known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from LightRegistrationLib.commands.phantom.anatomy import evaluate_anatomy
from LightRegistrationLib.core.label_fusion.fusion import FusedLabels, fuse, make_image
from LightRegistrationLib.core.label_fusion.settings import FusionMethod, FusionSettings
from LightRegistrationLib.core.label_fusion.voting import elect, find_disputed_voxels
from LightRegistrationLib.core.threads import limit_threads

MAJORITY, JOINT = FusionSettings(FusionMethod.MAJORITY), FusionSettings()


@dataclass(frozen=True)
class Case:
    """A target with its true labels, and atlases that lie on it up to known errors of their registration."""

    target: np.ndarray
    truth: np.ndarray
    images: list[np.ndarray]
    labels: list[np.ndarray]

    def fuse(self, settings: FusionSettings, folder: Path) -> FusedLabels:
        return fuse(self.target, self.images, self.labels, settings, folder)

    def dice(self, labels: np.ndarray) -> float:
        values = [
            2 * np.sum((labels == v) & (self.truth == v)) / (np.sum(labels == v) + np.sum(self.truth == v))
            for v in np.unique(self.truth)
            if v
        ]
        return float(np.mean(values))


@pytest.fixture(scope="module")
def heads() -> Case:
    """Four heads at 3 mm: a target, and three atlases displaced by smooth errors of some millimeters."""
    generator = np.random.default_rng(8)
    axes = [np.arange(-n, n, 3, dtype=np.float32) for n in (54, 75, 63)]
    points = np.stack(np.meshgrid(*axes, indexing="ij")[::-1], -1)[..., [1, 0, 2]]

    def scan(shifted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        anatomy = evaluate_anatomy(shifted)
        noise = generator.normal(scale=0.02, size=anatomy.brightness.shape)
        return (anatomy.brightness + noise).astype(np.float32), anatomy.labels.astype(np.uint16)

    target, truth = scan(points)
    images, labels = [], []
    for _ in range(3):
        field = np.stack([gaussian_filter(generator.normal(size=truth.shape), 4) for _ in range(3)], -1)
        image, own = scan(points + (field / field.std() * 1.6).astype(np.float32))
        images.append(image)
        labels.append(own)
    return Case(target, truth, images, labels)


def test_joint_is_better_than_majority_and_majority_than_one_atlas(heads: Case, tmp_path: Path) -> None:
    single = [heads.dice(own) for own in heads.labels]
    majority = heads.dice(heads.fuse(MAJORITY, tmp_path).labels)
    joint = heads.dice(heads.fuse(JOINT, tmp_path).labels)
    assert majority > np.mean(single) + 0.01
    assert joint > majority + 0.01
    assert joint > max(single)


def test_the_size_of_the_parts_and_the_number_of_threads_change_nothing(heads: Case, tmp_path: Path) -> None:
    whole = heads.fuse(JOINT, tmp_path).labels
    with limit_threads(2):
        parts = heads.fuse(replace(JOINT, chunk_values=1 << 16), tmp_path).labels
    np.testing.assert_array_equal(parts, whole)


def test_a_search_finds_atlases_that_are_shifted(heads: Case, tmp_path: Path) -> None:
    box = (slice(12, 24), slice(16, 32), slice(12, 26))
    shifts = ((0, 1), (1, 1), (2, -1))
    images, labels = ([np.roll(a, n, axis)[box] for axis, n in shifts] for a in (heads.target, heads.truth))
    small = Case(heads.target[box], heads.truth[box], images, labels)
    without = small.dice(small.fuse(JOINT, tmp_path).labels)
    found = small.dice(small.fuse(replace(JOINT, search_radius=1), tmp_path).labels)
    assert found > without + 0.02
    assert found > 0.95


def test_probabilities_are_the_shares_of_the_votes(heads: Case, tmp_path: Path) -> None:
    for settings in (MAJORITY, JOINT):
        fused = heads.fuse(settings, tmp_path)
        values = np.unique(np.concatenate([own.ravel() for own in heads.labels]))
        maps = np.stack([fused.compute_probability(value) for value in values])
        np.testing.assert_allclose(maps.sum(0), 1, atol=1e-5)
        assert maps.min() >= 0
        chosen = np.take_along_axis(maps, np.searchsorted(values, fused.labels)[None], 0)[0]
        np.testing.assert_allclose(chosen, maps.max(0), atol=1e-5)
        assert fused.mean_weights.sum() == pytest.approx(1, abs=1e-5)
    votes = np.mean([own == 2 for own in heads.labels], 0)
    np.testing.assert_allclose(heads.fuse(MAJORITY, tmp_path).compute_probability(2), votes, atol=1e-6)


def test_unknown_intensities_do_not_decide() -> None:
    image = make_image(np.array([[[3.0, np.nan], [np.inf, -2.0]]]))
    assert (image.dtype, image.tolist()) == (np.float32, [[[3.0, -2.0], [-2.0, -2.0]]])


def test_ties_go_to_the_smallest_label_and_weights_decide() -> None:
    votes = np.array([[9, 5, 1, 0], [2, 5, 7, 3], [2, 4, 7, 3], [9, 4, 7, 0]], np.uint16)
    even = np.full((4, 1), 0.25, np.float32)
    assert elect(votes, even).tolist() == [2, 4, 7, 0]
    weights = np.array([[0.1, 0.4, 0.7, 0.3], [0.5, 0.2, 0.1, 0.2], [0.2, 0.3, 0.1, 0.2], [0.2, 0.1, 0.1, 0.3]])
    assert elect(votes, weights.astype(np.float32)).tolist() == [2, 5, 1, 0]


def test_only_voxels_where_atlases_disagree_are_voted_on(tmp_path: Path) -> None:
    first = np.zeros((5, 5, 5), np.uint16)
    second = first.copy()
    second[2, 3, 1] = 6
    assert find_disputed_voxels([first, second, first]).tolist() == [np.ravel_multi_index((2, 3, 1), first.shape)]
    assert len(find_disputed_voxels([first, second], 1)) == 27
    image = np.random.default_rng(0).normal(size=first.shape).astype(np.float32)
    for settings in (MAJORITY, JOINT):
        alike = fuse(image, [image, image], [second, second], settings, tmp_path)
        np.testing.assert_array_equal(alike.labels, second)
        assert alike.mean_weights.tolist() == [0.5, 0.5]
        assert alike.compute_probability(6).sum() == 1
