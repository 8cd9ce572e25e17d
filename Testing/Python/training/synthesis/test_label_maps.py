"""Label maps: read in RAS, checked, aligned by their structures, converted to tissue fractions."""

from __future__ import annotations

import os

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import apply_affine, homogeneous
from LightRegistrationLib.training.configuration_file import load_config
from LightRegistrationLib.training.sources import LabelMapSourceConfig
from LightRegistrationLib.training.synthesis.anatomies import ABDOMEN, ANATOMIES, build_anatomy
from LightRegistrationLib.training.synthesis.body import (
    GENERATED_NAMES,
    INNER_FAT,
    LUNGS,
    SKIN_FAT,
    UNKNOWN_CLASS,
    WALL,
    Body,
    fill_body,
)
from LightRegistrationLib.training.synthesis.label_maps import prepare_label_maps, read_label_map
from LightRegistrationLib.training.synthesis.landmarks import (
    fit_affine,
    residuals,
    structure_centers,
    template_centers,
)
from LightRegistrationLib.training.synthesis.tissue_fractions import grid_shape

from ..balls import CENTERS_MM, CLASSES, RADII_MM, balls, oblique, write, write_balls

BALLS = build_anatomy("own", CLASSES, {})
AFFINE = homogeneous(np.array([[0.9, 0.1, 0.0], [-0.1, 1.1, 0.05], [0.02, 0.0, 1.05]]), np.array([12.0, -30.0, 55.0]))


def test_label_maps_are_read_in_ras(tmp_path):
    path = write_balls(tmp_path / "turned.nii.gz", degrees=25)
    labels, affine = read_label_map(path)
    np.testing.assert_allclose(structure_centers(labels, affine, range(1, 6)), CENTERS_MM, atol=0.3)
    corner = np.array(sitk.ReadImage(str(path)).TransformIndexToPhysicalPoint((3, 5, 7))) * (-1, -1, 1)
    np.testing.assert_allclose(apply_affine(affine, (3, 5, 7)), corner, atol=1e-6)


def test_an_image_is_no_label_map(tmp_path):
    path = write(tmp_path / "image.nii.gz", np.full((4, 4, 4), 0.5, dtype=np.float32), np.eye(4))
    with pytest.raises(InputError, match=r"image\.nii\.gz: this is no label map"):
        read_label_map(path)


def test_a_cut_structure_is_no_landmark():
    """A ball that is cut in the middle has another center; one that ends where the volume ends has not."""
    labels = np.zeros((20, 20, 20), dtype=np.int32)
    labels[:6, 5:15, 5:15] = 1
    z, y, x = np.indices(labels.shape)
    labels[(z - 14) ** 2 + (y - 10) ** 2 + (x - 10) ** 2 < 5.5**2] = 2
    centers = structure_centers(labels, np.eye(4), (1, 2, 3))
    np.testing.assert_array_equal(np.isnan(centers[:, 0]), [True, False, True])
    np.testing.assert_allclose(centers[1], (10, 10, 14))


def test_affine_maps_are_fitted_to_the_shared_points():
    target = apply_affine(AFFINE, CENTERS_MM)
    target[3] = np.nan
    np.testing.assert_allclose(fit_affine(CENTERS_MM, target), AFFINE, atol=1e-9)
    np.testing.assert_allclose(fit_affine(CENTERS_MM[:1], target[:1])[:3, :3], np.eye(3))


def test_rigidity_favors_a_rotation_with_scaling():
    angle = np.deg2rad(40)
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    similar = homogeneous(1.3 * rotation, np.array([4.0, 5.0, 6.0]))
    turned = apply_affine(similar, CENTERS_MM)
    np.testing.assert_allclose(fit_affine(CENTERS_MM, turned, 1e4), similar, atol=1e-9)
    np.testing.assert_allclose(fit_affine(CENTERS_MM[:3], turned[:3]), similar, atol=1e-9)
    sheared = apply_affine(AFFINE, CENTERS_MM)
    spread = [np.ptp(np.linalg.svd(fit_affine(CENTERS_MM, sheared, r)[:3, :3])[1]) for r in (0, 1e4, 1e9)]
    assert spread[0] > spread[1] > spread[2]
    assert spread[2] < 1e-3


def test_the_template_is_the_mean_of_the_subjects():
    """Affine copies with missing structures fit it exactly, and it has every structure that any of them has."""
    random = np.random.default_rng(0)
    points = random.uniform(-60, 60, (9, 3))
    subjects = []
    for missing in (0, 1, 2):
        matrix = np.eye(3) + random.uniform(-0.15, 0.15, (3, 3))
        subjects.append(apply_affine(homogeneous(matrix, random.uniform(-50, 50, 3)), points))
        subjects[-1][missing] = np.nan
    template = template_centers(subjects, rounds=20)
    assert not np.isnan(template).any()
    np.testing.assert_allclose(template.mean(0), 0, atol=1e-9)
    assert max(residuals(s, template, fit_affine(s, template)).max() for s in subjects) < 1e-3


def test_the_template_has_the_mean_size_and_orientation_of_the_subjects():
    """Turned by 25 degrees to either side, and 0.8 and 1.2 times as large: the template is as the points themselves."""
    subjects = []
    for degrees, scale in ((25, 0.8), (-25, 1.2)):
        a = np.deg2rad(degrees)
        rotation = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        subjects.append(scale * CENTERS_MM @ rotation.T + 100 * scale)
    template = template_centers(subjects, rigidity_mm2=1e4, rounds=30)
    np.testing.assert_allclose(template, CENTERS_MM - CENTERS_MM.mean(0), atol=0.5)


def test_structures_have_the_positions_of_their_affine(tmp_path):
    """The same balls in a straight and in an oblique volume of another spacing: equal fractions, at their places."""
    paths = [write_balls(tmp_path / "a.nii.gz"), write_balls(tmp_path / "b.nii.gz", degrees=30, spacing_mm=2.5)]
    maps = prepare_label_maps(paths, BALLS, 5, tmp_path / "cache")
    shares = maps.fractions / np.float32(255)
    assert shares.sum(1).max() < 1.02
    assert np.abs(shares[0] - shares[1]).mean() < 0.01
    middle = (np.array(maps.fractions.shape[:1:-1]) - 1) / 2
    for n, radius in enumerate(RADII_MM):
        where = np.argwhere(shares[1, n] > 0)
        center = np.average(where, axis=0, weights=shares[1, n][tuple(where.T)])[::-1]
        np.testing.assert_allclose((center - middle) * 5, CENTERS_MM[n] - CENTERS_MM.mean(0), atol=1)
        assert shares[1, n].sum() * 5**3 == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.06)


def test_fractions_are_cached_until_a_file_or_a_setting_changes(tmp_path):
    paths = [write_balls(tmp_path / f"{n}.nii.gz", degrees=n) for n in range(2)]
    cache = tmp_path / "cache"
    first = prepare_label_maps(paths, BALLS, 6, cache)
    assert prepare_label_maps(paths, BALLS, 6, cache).structures == first.structures
    kept = {p.name for p in cache.glob("*.npy")}
    assert len(kept) == 1
    os.utime(paths[0], (1, 1))
    prepare_label_maps(paths, BALLS, 6, cache)
    prepare_label_maps(paths, build_anatomy("own", CLASSES, {}, (96, 96, 96)), 6, cache)
    assert len({p.name for p in cache.glob("*.npy")} - kept) == 2


def test_unknown_label_values_are_named_unless_they_are_ignored(tmp_path):
    paths = [write_balls(tmp_path / f"{n}.nii.gz") for n in range(2)]
    fewer = build_anatomy("own", {k: v for k, v in CLASSES.items() if v != [3]}, {})
    with pytest.raises(InputError, match=r"0\.nii\.gz: label values \[3\] are unknown"):
        prepare_label_maps(paths, fewer, 6, tmp_path / "cache")
    assert len(prepare_label_maps(paths, fewer, 6, tmp_path / "cache", ignore=(3,)).structures) == 4


def test_mixed_label_sets_are_refused_with_the_file_named(tmp_path):
    """The same positions, but label values of other structures, which have other volumes."""
    radii, order = (8.0, 26.0, 9.0, 18.0, 7.0), [1, 0, 3, 2, 4]
    paths = [write_balls(tmp_path / f"{n}.nii.gz", radii_mm=radii) for n in range(2)]
    changed = {"centers_mm": CENTERS_MM[order], "radii_mm": tuple(radii[n] for n in order)}
    paths.append(write_balls(tmp_path / "other.nii.gz", **changed))
    with pytest.raises(InputError, match=r"other\.nii\.gz: label value \d is \d+ times \w+ than in .*mixed label sets"):
        prepare_label_maps(paths, BALLS, 6, tmp_path / "cache")


def test_label_maps_with_left_and_right_swapped_are_refused(tmp_path):
    paths = [write_balls(tmp_path / f"{n}.nii.gz", degrees=5 * n) for n in range(3)]
    paths.append(write_balls(tmp_path / "mirrored.nii.gz", centers_mm=CENTERS_MM * (-1, 1, 1)))
    with pytest.raises(InputError, match=r"mirrored\.nii\.gz: the positions of its structures do not fit the other"):
        prepare_label_maps(paths, BALLS, 6, tmp_path / "cache")


def test_a_label_map_without_a_whole_structure_is_named(tmp_path):
    paths = [write_balls(tmp_path / "a.nii.gz"), write(tmp_path / "full.nii.gz", np.ones((9, 9, 9)), np.eye(4))]
    with pytest.raises(InputError, match=r"full\.nii\.gz: it has no complete structure"):
        prepare_label_maps(paths, BALLS, 6, tmp_path / "cache")


def test_grids_are_multiples_of_sixteen_near_the_field_of_view():
    assert grid_shape((192, 240, 192), 3) == (64, 80, 64)
    assert grid_shape((192, 240, 192), 2) == (96, 112, 96)
    assert grid_shape((10, 10, 10), 5) == (16, 16, 16)


def test_the_tables_are_consistent():
    """No value belongs to two structures, and every landmark to one."""
    for anatomy in ANATOMIES.values():
        values = [value for structure in anatomy.structures for value in structure.values]
        assert len(values) == len(set(values)) < UNKNOWN_CLASS
        assert set(anatomy.landmarks) <= set(values)
        built = tuple(structure.name for structure in anatomy.structures if not structure.values)
        assert built == (GENERATED_NAMES if anatomy.body else ())


def test_a_body_is_generated_from_the_skin_to_the_organs():
    """Along a ray to an organ: air, fat, wall, inner fat; organs are unchanged, other slices are unknown."""
    organs = np.full((40, 60, 70), UNKNOWN_CLASS, dtype=np.uint8)
    organs[10:30, 20:26, 20:50], organs[10:30, 34:40, 20:50] = 0, 1
    body = Body(wall_mm=8, back_mm=8, fat_mm=(12, 12), filler=0)
    built = fill_body(organs, 2.0, body, first=2, known=(8, 32), seed=0)
    np.testing.assert_array_equal(
        built[10:30][organs[10:30] != UNKNOWN_CLASS], organs[10:30][organs[10:30] != UNKNOWN_CLASS]
    )
    assert (built[:8] == UNKNOWN_CLASS).all()
    assert (built[32:] == UNKNOWN_CLASS).all()
    front = built[20, 40:, 35]
    assert front.tolist()[:12] == [2 + WALL] * 4 + [2 + SKIN_FAT] * 6 + [UNKNOWN_CLASS] * 2
    assert (built[20, 26:34, 35] == 2 + INNER_FAT).all()
    other = fill_body(organs, 2.0, Body(), first=2, known=(8, 32), seed=1)
    assert (other != fill_body(organs, 2.0, Body(), first=2, known=(8, 32), seed=2)).any()


def test_a_whole_body_is_symmetric_and_has_lungs_above_its_organs():
    organs = np.full((50, 80, 90), UNKNOWN_CLASS, dtype=np.uint8)
    organs[5:25, 30:55, 45:70], organs[5:15, 25:35, 25:35] = 0, 1
    built = fill_body(organs, 4.0, Body(whole=True, above_mm=60, filler=0), first=2, known=(0, 40), seed=0)
    solid = built[10] != UNKNOWN_CLASS
    left, right = np.flatnonzero(solid.any(0))[[0, -1]]
    across = solid[:, left : right + 1]
    assert (across != across[:, ::-1]).mean() < 0.02
    lungs = np.argwhere(built == 2 + LUNGS)
    assert len(lungs) > 200
    assert lungs[:, 0].min() >= 15


def test_the_abdomen_ends_where_its_label_map_ends(tmp_path):
    """Organs, spine and pelvis as balls; the second subject lacks the upper half."""
    values = (1, 2, 3, 5, 25)
    centers = np.array([[-80, 0, 20], [60, -10, -20], [-60, -10, -25], [60, 40, 30], [5, -40, -90]], dtype=float)
    shape = (90, 60, 80)
    affine = oblique(0, (4, 4, 4), shape)
    labels = balls(affine, shape, centers, (28, 24, 24, 45, 30))
    labels = np.array([0, *values], dtype=np.int16)[labels]
    paths = [write(tmp_path / "whole.nii.gz", labels, affine), write(tmp_path / "lower.nii.gz", labels[:50], affine)]
    maps = prepare_label_maps(paths, ABDOMEN, 8, tmp_path / "cache")
    (_, end), (_, lower_end) = maps.known
    assert end > lower_end + 10
    assert not maps.fractions[1, :, lower_end + 1 :].any()
    assert maps.fractions[0, :, lower_end + 1].any()
    assert maps.fractions.sum(1, dtype=int).max() <= 255 + 5
    names = [structure.name for structure in maps.structures]
    assert names == ["spleen", "right kidney", "left kidney", "liver", "sacrum", *GENERATED_NAMES]
    liver = np.argwhere(maps.fractions[0, 3] > 127).mean(0)
    spleen = np.argwhere(maps.fractions[0, 0] > 127).mean(0)
    np.testing.assert_allclose((liver - spleen) * 8, (10, 40, 140), atol=8)
    cut_mm = affine[2, 3] + 4 * 49.5
    assert lower_end - 0.5 == pytest.approx(liver[0] + (cut_mm - 30) / 8, abs=1)


def test_a_label_map_of_another_part_of_the_body_is_named(tmp_path):
    """Upper and lower half share a slab of balls, so that they can be aligned, but hardly any slices."""
    values = (5, 1, 2, 3, 25, 77, 78)
    centers = np.array([[50, 0, 90], [-50, 20, 90], [50, -30, 0], [-50, 0, 0], [0, 30, 0], [60, 0, -90], [-60, 0, -90]])
    shape = (70, 50, 60)
    affine = oblique(0, (4, 4, 4), shape)
    labels = np.array([0, *values], dtype=np.int16)[balls(affine, shape, centers.astype(float), (18,) * 7)]
    lower, upper = affine.copy(), affine.copy()
    upper[2, 3] += 4 * 28
    paths = [write(tmp_path / "upper.nii.gz", labels[28:], upper), write(tmp_path / "lower.nii.gz", labels[:41], lower)]
    with pytest.raises(InputError, match=r"upper\.nii\.gz: no other label map shows the same part of the body"):
        prepare_label_maps(paths, ABDOMEN, 8, tmp_path / "cache")


def test_own_classes_keep_the_settings_of_the_anatomy():
    own = build_anatomy("abdomen", {"liver": [7, 8], "tumor": [9]}, {"tumor": 30})
    liver, tumor, *built = own.structures
    assert (liver.values, liver.mean, liver.enhancement) == ((7, 8), 56, (12.0, 52.0, 40.0))
    assert (tumor.values, tumor.mean) == ((9,), 30.0)
    assert [structure.name for structure in built] == list(GENERATED_NAMES)
    assert own.landmarks == (7, 8, 9)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('anatomy = "knee"', "anatomy = 'knee' is unknown; use one of brain, abdomen, upper-abdomen, own"),
        ('anatomy = "own"', r"needs a table \[source.classes\]"),
        ('modality = "ct"', "modality belongs to anatomy = 'own'"),
        ("extent_mm = [10, 20]", "extent_mm has to be three lengths above 0"),
        ("labels = -1", "labels has to be 0 or more"),
        ("[source.classes]\nliver = []", "'liver': a list of label values above 0"),
        ("[source.classes]\na = [1]\nb = [1]", "'b': 1 is in two classes"),
        ("[source.means]\nputamen = 0.7\nliver = 3", "'liver' is none of the classes"),
        ("[source.synthesis]\nlow = 10\nhigh = 10", "low has to be below high"),
    ],
)
def test_an_invalid_table_is_named_with_its_file(tmp_path, lines, message):
    path = tmp_path / "run.toml"
    path.write_text(
        f'name = "x"\nseed = 1\n[[stage]]\nsteps = 1\n[[source]]\nkind = "label-maps"\nfiles = "*"\n{lines}\n'
    )
    with pytest.raises(InputError, match=rf"run\.toml: \[\[source\]\] 1.*{message}"):
        load_config(path)


def test_a_pattern_that_finds_too_few_label_maps_is_named(tmp_path):
    write_balls(tmp_path / "only.nii.gz")
    with pytest.raises(InputError, match=r"1 files match files = 'only\*'"):
        LabelMapSourceConfig(files="only*").open(tmp_path, tmp_path / "cache", 6)
