from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import Tensor

from LightRegistrationLib.core.affine.stage import align_affine
from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine, homogeneous
from LightRegistrationLib.core.network.grid import compute_network_grid
from LightRegistrationLib.core.network.intensity import IntensityNormalization
from LightRegistrationLib.core.network.settings import GridSettings
from LightRegistrationLib.training.data.image_files import read_image
from LightRegistrationLib.training.data.pairs import Pair
from LightRegistrationLib.training.images.preparation import PreparedScan
from LightRegistrationLib.training.images.settings import ImageVariation
from LightRegistrationLib.training.images.source import ImageSource

from ..scan_files import (
    CENTERS_MM,
    LPS,
    NO_VARIATION,
    WINDOW,
    anatomy,
    config_of,
    header,
    make_generator,
    pairs_of,
    to_itk,
    write,
    write_scan,
)

SPACING_MM = 3.0
HEADERS = {
    "plain": header(),
    "oblique": header((14, -9, 11), (2.6, 3.0, 3.4), middle_mm=(25, -12, 60)),
    "flipped": header((0, 4, -6), (3.2, 2.5, 3.0), middle_mm=(-18, 9, -30), axes=(-1, -2, 3)),
    "permuted": header((-8, 3, 5), (3.0, 3.3, 2.8), middle_mm=(6, 20, 4), axes=(2, 3, -1)),
}
SUBJECTS = {
    "plain": np.eye(4),
    "oblique": homogeneous([[1.08, 0.05, -0.04], [0.03, 0.93, 0.06], [-0.05, 0.02, 1.04]], [26, -13, 57]),
    "flipped": homogeneous([[0.96, -0.12, 0.03], [0.1, 1.05, 0.0], [0.02, -0.05, 0.94]], [-17, 10, -28]),
    "permuted": homogeneous([[1.0, 0.0, 0.1], [0.0, 1.0, -0.08], [-0.1, 0.08, 1.02]], [4, 22, 2]),
}


def _centroids(labels: Tensor) -> np.ndarray:
    """(L, 3), voxels i, j, k, of memberships (1, L, D, H, W)."""
    weights = labels[0].double().numpy()
    grids = np.stack(np.meshgrid(*(np.arange(n) for n in weights.shape[1:]), indexing="ij")[::-1])
    return np.einsum("ldhw,adhw->la", weights, grids) / weights.sum((1, 2, 3))[:, None]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Four scans of one anatomy, each through an affine map and a header of its own."""
    folder = tmp_path_factory.mktemp("cohort")
    for name, affine in HEADERS.items():
        write_scan(folder, name, affine, subject=SUBJECTS[name])
    return folder


@pytest.fixture(scope="module", params=["plain", "oblique", "flipped"])
def opened(request, cohort):
    """The reference's name, and the source in which the others are aligned to it."""
    config = config_of(reference=request.param)
    return request.param, config.open(cohort, cohort / "cache", SPACING_MM)


def _grid(folder: Path, name: str, spacing_mm: float = SPACING_MM) -> Geometry:
    return compute_network_grid(read_image(folder / f"{name}.nii.gz").geometry, GridSettings(spacing_mm, min_voxels=1))


def test_affinely_related_images_of_one_anatomy_are_aligned(opened, cohort):
    reference, source = opened
    grid = _grid(cohort, reference)
    expected_mm = apply_affine(SUBJECTS[reference], CENTERS_MM)
    drawn = pairs_of(source, 12)
    assert len({float(pair.fixed.sum()) for pair in drawn}) == len(HEADERS)
    for pair in drawn:
        fixed, moving = _centroids(pair.fixed_labels), _centroids(pair.moving_labels)
        assert np.linalg.norm(fixed - moving, axis=1).max() < 0.3
        assert np.linalg.norm(apply_affine(grid.affine, fixed) - expected_mm, axis=1).max() < 0.3 * SPACING_MM
        assert float((pair.fixed - pair.moving).abs().mean()) < 0.01


def _resampled(image: sitk.Image, grid: Geometry, matrix: np.ndarray, background: float = 0.0) -> np.ndarray:
    """Resample an image with SimpleITK to a grid, with a matrix grid RAS mm -> image RAS mm."""
    in_lps = LPS @ matrix @ LPS
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(in_lps[:3, :3].ravel().tolist())
    transform.SetTranslation(in_lps[:3, 3].tolist())
    like = to_itk(np.zeros(grid.shape, np.float32), grid.affine)
    return sitk.GetArrayFromImage(sitk.Resample(image, like, transform, sitk.sitkLinear, background, sitk.sitkFloat32))


def _without_border(image: sitk.Image) -> sitk.Image:
    """1 at the voxels of an image, 0 at its outermost ones, around which programs differ in how they fade out."""
    inner = np.zeros(image.GetSize()[::-1], np.float32)
    inner[1:-1, 1:-1, 1:-1] = 1
    mask = sitk.GetImageFromArray(inner)
    mask.CopyInformation(image)
    return mask


def test_a_drawn_pair_is_what_simpleitk_resamples(opened, cohort):
    reference, source = opened
    others = [name for name in HEADERS if name != reference]
    grid = _grid(cohort, reference)
    volumes = {name: read_image(cohort / f"{name}.nii.gz") for name in HEADERS}
    expected = {}
    for name in [reference, *others]:
        rule = IntensityNormalization(**WINDOW)
        found = align_affine(volumes[reference], volumes[name], rule).transform
        matrix = np.eye(4) if name == reference else found.matrix
        image = sitk.ReadImage(str(cohort / f"{name}.nii.gz"), sitk.sitkFloat32)
        labels = sitk.ReadImage(str(cohort / f"{name}_seg.nii.gz"))
        inside = _resampled(_without_border(image), grid, matrix) > 0.999
        shown = [_resampled(sitk.Cast(labels == n, sitk.sitkFloat32), grid, matrix) for n in (1, 2, 3)]
        expected[name] = (_resampled(image, grid, matrix), np.stack(shown), inside)
    for pair in pairs_of(source, 8):
        for seen, labels in ((pair.fixed, pair.fixed_labels), (pair.moving, pair.moving_labels)):
            array = seen[0, 0].numpy()
            image, structures, inside = min(expected.values(), key=lambda e: np.abs(e[0] - array)[e[2]].mean())
            assert inside.mean() > 0.2
            np.testing.assert_allclose(array[inside], image[inside], atol=2e-3)
            np.testing.assert_allclose(labels[0].numpy()[:, inside], structures[:, inside], atol=2e-3)
        torch.testing.assert_close(pair.fixed, pair.fixed_clean)


def test_a_coarser_grid_than_requested_has_its_true_spacing(tmp_path):
    write_scan(tmp_path, "a", header(spacing_mm=(4.1, 3.9, 4.0)))
    source = config_of(pairs="self").open(tmp_path, tmp_path / "cache", 4.0)
    grid = _grid(tmp_path, "a", 4.0)
    assert grid.spacing_mm[0] > 4.01
    assert source.spacing_mm == pytest.approx(grid.spacing_mm[0])
    assert source.shape == grid.shape


def test_labels_move_together_with_the_image(tmp_path):
    affine = header((10, -6, 8), (3.0, 2.7, 3.2), axes=(-1, 3, 2))
    _, labels = anatomy(affine)
    write(tmp_path / "a.nii.gz", (labels == 1).astype(np.float32), affine)
    write(tmp_path / "a_seg.nii.gz", (labels == 1).astype(np.uint8), affine)
    variation = ImageVariation(elastic_mm=4.0, shift_mm=6.0, rotation=15.0, noise=0, bias=0, gamma=0, cut=0, flip=0.5)
    source = config_of(pairs="self", variation=variation).open(tmp_path, tmp_path / "cache", SPACING_MM)
    pairs = pairs_of(source, 6)
    for pair in pairs:
        torch.testing.assert_close(pair.fixed, pair.fixed_labels, atol=1e-3, rtol=0)
        torch.testing.assert_close(pair.moving, pair.moving_labels, atol=1e-3, rtol=0)
        assert float(pair.fixed.sum()) > 20
        assert not torch.allclose(pair.fixed, pair.moving, atol=0.05)


def test_the_input_differs_from_the_clean_image_only_in_appearance(cohort):
    variation = replace(NO_VARIATION, noise=0.05, bias=0.2, gamma=0.3, cut=0.5)
    source = config_of(variation=variation).open(cohort, cohort / "cache", SPACING_MM)
    plain = config_of().open(cohort, cohort / "cache", SPACING_MM)
    known = [scan.image.float().max() for scan in plain.scans]
    for pair in pairs_of(source, 6):
        assert float(pair.fixed.min()) >= 0
        assert float(pair.fixed.max()) <= 1
        assert not torch.allclose(pair.fixed, pair.fixed_clean, atol=0.02)
        assert float(pair.fixed_clean.max()) <= max(known) + 1e-3
        both = torch.stack([pair.fixed_clean.flatten(), pair.moving_clean.flatten()])
        assert float(torch.corrcoef(both)[0, 1]) > 0.97


@pytest.mark.parametrize("spacing_mm", [2.0, 3.0])
def test_what_is_left_of_the_alignment_has_its_size_in_mm(cohort, spacing_mm):
    variation = replace(NO_VARIATION, residual_shift_mm=6.0)
    source = config_of(pairs="self", variation=variation).open(cohort, cohort / "cache", spacing_mm)
    grid = _grid(cohort, "flipped", spacing_mm)
    offsets = []
    for pair in pairs_of(source, 16):
        offset = _centroids(pair.moving_labels) - _centroids(pair.fixed_labels)
        offsets.append(offset.mean(0) * grid.spacing_mm[0])
        assert np.abs(offset - offset.mean(0)).max() < 0.2
    assert 5 < np.abs(offsets).max() < 6.3


def test_a_residual_rotation_applies_to_the_moving_image_only(cohort):
    still = config_of(pairs="self").open(cohort, cohort / "cache", SPACING_MM).draw(make_generator(2))
    variation = replace(NO_VARIATION, residual_rotation=10.0)
    turned = config_of(pairs="self", variation=variation).open(cohort, cohort / "cache", SPACING_MM)
    pair = turned.draw(make_generator(2))
    assert torch.equal(pair.fixed, still.fixed)
    before, after = _centroids(still.moving_labels), _centroids(pair.moving_labels)
    middle = (np.array(turned.shape[::-1]) - 1) / 2
    assert np.linalg.norm(after - before, axis=1).max() > 0.3
    np.testing.assert_allclose(
        np.linalg.norm(after - middle, axis=1), np.linalg.norm(before - middle, axis=1), atol=0.1
    )


def test_flip_mirrors_both_images_left_to_right(cohort):
    plain = config_of().open(cohort, cohort / "cache", SPACING_MM).draw(make_generator(3))
    mirrored = (
        config_of(variation=replace(NO_VARIATION, flip=1.0))
        .open(cohort, cohort / "cache", SPACING_MM)
        .draw(make_generator(3))
    )
    for name in ("fixed", "moving", "fixed_clean", "moving_clean", "fixed_labels", "moving_labels"):
        torch.testing.assert_close(getattr(mirrored, name), getattr(plain, name).flip(-1), atol=1e-4, rtol=0)


def test_draws_repeat_from_the_generator(cohort):
    source = config_of(variation=ImageVariation(flip=0.5)).open(cohort, cohort / "cache", SPACING_MM)
    generator = make_generator(5)
    first = source.draw(generator)
    state = generator.get_state()
    torch.rand(7)
    second, again = source.draw(generator), source.draw(make_generator(5))
    resumed = torch.Generator()
    resumed.set_state(state)
    third = source.draw(resumed)
    for f in fields(Pair):
        assert torch.equal(getattr(first, f.name), getattr(again, f.name))
        assert torch.equal(getattr(second, f.name), getattr(third, f.name))
    assert not torch.equal(first.fixed, second.fixed)


def _known(subjects: Sequence[str], pairs: str) -> ImageSource:
    """Scans whose intensity gives their number: scan n is (n + 1) / 10 everywhere."""
    identity = torch.eye(4)
    scans = [
        PreparedScan(s, torch.full((1, 1, 16, 16, 16), (n + 1) / 10).half(), None, identity, identity)
        for n, s in enumerate(subjects)
    ]
    return ImageSource(scans, (), (16, 16, 16), 2.0, pairs, NO_VARIATION)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ("between", {(a, b) for a in range(4) for b in range(4) if "xxyz"[a] != "xxyz"[b]}),
        ("within", {(0, 1), (1, 0)}),
        ("self", {(n, n) for n in range(4)}),
    ],
)
def test_pairs_are_drawn_as_they_are_named(pairs, expected):
    drawn = [
        tuple(round(10 * float(image[0, 0, 8, 8, 8])) - 1 for image in (pair.fixed, pair.moving))
        for pair in pairs_of(_known("xxyz", pairs), 120)
    ]
    assert set(drawn) == expected
    assert all(pair.fixed_labels is None for pair in pairs_of(_known("xxyz", pairs), 2))
