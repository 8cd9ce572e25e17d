"""The affine stage and the whole registration on analytic anatomy, so that the truth is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from LightRegistrationLib.core.affine.stage import align_affine
from LightRegistrationLib.core.deformation.jacobian import compute_corner_determinants
from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import apply_affine, homogeneous
from LightRegistrationLib.core.geometry.transforms import AffineTransform
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.models.cards import BUNDLED_MODELS_FOLDER, CARD_FILE
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.network import inference
from LightRegistrationLib.core.network.flow_conversion import compute_flow_geometry, convert_flow_to_field
from LightRegistrationLib.core.network.intensity import IntensityNormalization
from LightRegistrationLib.core.registration import _prepare_pair, _Stages, register
from LightRegistrationLib.core.result.progress import ignore_progress
from LightRegistrationLib.core.result.result import RegistrationResult
from LightRegistrationLib.core.result.settings import NO_GUIDANCE, RegistrationSettings

from .anatomies import anatomy, picture, world
from .body_phantoms import add_model
from .geometries import make_geometry

NOTHING = AffineTransform.identity()


FIXED_GRID = make_geometry((64, 90, 76), (2, 2, 2.2), (4, -6, 9), flips=(-1, -1, 1))


@pytest.fixture(scope="module")
def fixed() -> Volume:
    return picture(FIXED_GRID)


@pytest.mark.parametrize("seed", range(6))
def test_the_affine_stage_finds_20_degrees_and_centimeters(fixed, seed):
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(np.deg2rad(20) * axis / np.linalg.norm(axis)).as_matrix()
    truth = homogeneous(turn @ np.diag(rng.uniform(0.9, 1.1, 3)), rng.uniform(-90, 90, 3))
    grid = make_geometry((70, 60, 110), (2.5, 1.8, 2), (0, 8, -5), order=(1, 0, 2), center_mm=tuple(truth[:3, 3]))
    found = align_affine(fixed, picture(grid, truth), IntensityNormalization()).transform
    points = world(FIXED_GRID)[anatomy(world(FIXED_GRID)) > 250]
    error = np.linalg.norm(found(points) - apply_affine(truth, points), axis=1)
    assert error.mean() < 0.7
    assert error.max() < 2.0


def test_volumes_with_nothing_in_common_are_refused(fixed):
    empty = Volume(np.zeros((30, 30, 30), np.float32), make_geometry((30, 30, 30), (4, 4, 4)).affine, "empty")
    with pytest.raises(InputError, match="nothing in common"):
        align_affine(empty, empty, IntensityNormalization())


@pytest.mark.parametrize("initial", ["none", "affine"])
def test_a_constant_volume_is_refused_by_name(fixed, initial):
    constant = Volume(np.full((30, 30, 30), 7, np.int16), fixed.affine, "blank")
    with pytest.raises(InputError, match="blank: all voxels have the same value"):
        register(fixed, constant, RegistrationSettings(initial=initial))


def test_disjoint_volumes_without_initial_alignment_are_refused_with_advice(fixed):
    far = Volume(fixed.array, homogeneous(np.eye(3), (900, 0, 0)) @ fixed.affine, "far")
    with pytest.raises(InputError, match="do not overlap in space: use initial alignment 'affine'"):
        register(fixed, far, RegistrationSettings(initial="none"))


def test_a_flow_in_voxels_becomes_the_same_map_in_millimeters():
    """Against the maps written out by hand: half-grid voxels, oblique axes, an affine on top."""
    grid = make_geometry((32, 48, 32), (2, 2, 2), (10, 20, -30), center_mm=(50, 60, 70))
    half = compute_flow_geometry(grid, (16, 24, 16))
    np.testing.assert_allclose(half.corners_mm, grid.corners_mm, atol=1e-9)
    flow = torch.zeros(1, 3, 16, 24, 16)
    flow[:, 0], flow[:, 2] = 1.5, -0.5
    initial = AffineTransform(homogeneous(Rotation.from_euler("x", 0.3).as_matrix(), (1, 2, 3)))
    field = convert_flow_to_field(flow, half, initial)
    points = grid.center_mm + np.random.default_rng(0).uniform(-15, 15, (50, 3))
    axes = grid.affine[:3, :3] / 2
    expected = initial(points + 6.0 * axes[:, 0] - 2.0 * axes[:, 2])
    np.testing.assert_allclose(field(points), expected, atol=1e-4)


def inside_points(count: int = 3000) -> np.ndarray:
    points = np.random.default_rng(3).uniform(-60, 60, (count, 3))
    return points[anatomy(points) > 250]


def test_identical_volumes_stay_where_they_are(fixed):
    result = register(fixed, fixed)
    moved = np.linalg.norm(result.field(inside_points()) - inside_points(), axis=1)
    assert moved.max() < 0.2
    assert result.jacobian.percent_nonpositive == 0


@pytest.fixture(scope="module")
def bent() -> tuple[Volume, RegistrationResult]:
    truth = homogeneous(Rotation.from_euler("z", 12, degrees=True).as_matrix(), (30, -40, 20))
    grid = make_geometry((80, 90, 80), (2, 2, 2), center_mm=(30, -40, 20))
    moving = picture(grid, truth, bend_mm=5.0)
    return moving, register(picture(FIXED_GRID), moving)


def test_the_field_covers_the_fixed_volume_and_does_not_fold(bent):
    _, result = bent
    indices = apply_affine(result.field.geometry.inverse_affine, FIXED_GRID.corners_mm)
    assert indices.min() >= 0
    assert (indices <= result.field.geometry.size_ijk - 1).all()
    assert result.jacobian.percent_nonpositive == 0
    assert list(result.seconds) == ["load model", "shrink", "initial alignment", "resample", "network", "field"]


def test_beyond_the_fixed_volume_the_field_is_the_initial_alignment(bent):
    _, result = bent
    far = np.random.default_rng(4).uniform(-400, 400, (2000, 3))
    far = far[~result.field.geometry.contains(far)]
    np.testing.assert_allclose(result.field(far), result.initial(far), atol=1e-9)
    assert compute_corner_determinants(result.field).min() > 0


def test_the_network_corrects_more_than_the_affine_stage(bent):
    """The truth: the moving point q = T(p) shows anatomy(p + bend(p)); fixed shows anatomy(x), so x = p + bend(p)."""
    _, result = bent
    truth = homogeneous(Rotation.from_euler("z", 12, degrees=True).as_matrix(), (30, -40, 20))
    p = inside_points()
    x = p + 5.0 * np.sin(p[..., [1, 2, 0]] / 25)
    q = apply_affine(truth, p)
    affine_error = np.linalg.norm(result.initial(x) - q, axis=1).mean()
    error = np.linalg.norm(result.field(x) - q, axis=1).mean()
    assert error < 0.97 * affine_error


def test_a_card_can_give_the_refinement_a_finer_grid_than_the_network(bent, fixed, tmp_path):
    moving, _ = bent
    card = json.loads((BUNDLED_MODELS_FOLDER / "brain-mri" / CARD_FILE).read_text(encoding="utf-8"))
    spacings = {}
    for spacing_mm in (0.0, 2.2):
        grid = {**card["grid"], "spacing_mm": 3.0, "min_voxels": 1}
        refinement = {**card["refinement"], "spacing_mm": spacing_mm}
        add_model(tmp_path / str(spacing_mm), "mine", grid=grid, refinement=refinement)
        registry, stages = ModelRegistry((tmp_path / str(spacing_mm),)), _Stages(ignore_progress)
        pair = _prepare_pair(fixed, moving, RegistrationSettings(model="mine"), NO_GUIDANCE, registry, stages)
        assert pair.grid.spacing_mm == pytest.approx(3.0, rel=0.1)
        spacings[spacing_mm] = pair.make_refinement(NO_GUIDANCE).images(1).geometry.spacing_mm
    assert spacings[0.0] == pytest.approx(3.0, rel=0.1)
    assert spacings[2.2] == pytest.approx(2.2, rel=0.1)


def stored_otherwise(volume: Volume) -> Volume:
    """The same image with its array transposed and flipped and its affine adapted."""
    array = np.flip(volume.array.transpose(2, 0, 1), axis=(0, 2))
    size = np.array(volume.array.shape[::-1], dtype=float)
    move = np.zeros((4, 4))
    move[3, 3] = 1
    # new axes (i', j', k') are the old (j, k, i); i' and k' run backward
    move[1, 0], move[1, 3] = -1, size[1] - 1
    move[2, 1] = 1
    move[0, 2], move[0, 3] = -1, size[0] - 1
    return Volume(array, volume.affine @ move, volume.name)


def test_the_field_does_not_depend_on_the_storage_order(fixed, bent):
    moving, result = bent
    again = register(stored_otherwise(fixed), stored_otherwise(moving))
    points = inside_points()
    assert np.linalg.norm(again.field(points) - result.field(points), axis=1).max() < 0.01


def test_arithmetic_and_threads_change_nothing_that_a_user_sees(fixed, bent, monkeypatch):
    moving, result = bent
    other_arithmetic = not inference.has_fast_bfloat16()
    monkeypatch.setattr(inference, "has_fast_bfloat16", lambda: other_arithmetic)
    before = torch.get_num_threads()
    other = register(fixed, moving, RegistrationSettings(threads=2 if before == 1 else 1))
    torch.set_num_threads(before)
    points = inside_points()
    difference = np.linalg.norm(other.field(points) - result.field(points), axis=1)
    assert difference.max() < 0.5
    assert difference.mean() < 0.1


def test_volumes_that_do_not_match_get_a_warning(fixed):
    noise = np.random.default_rng(5).normal(size=fixed.array.shape).astype(np.float32)
    *_, warning = register(fixed, Volume(noise, fixed.affine, "noise"), RegistrationSettings(initial="none")).warnings
    assert warning.startswith("The volumes hardly match after registration")
    assert not any("hardly match" in w for w in register(fixed, fixed, RegistrationSettings(initial="none")).warnings)


def test_a_rigid_initial_alignment_turns_and_shifts_but_does_not_scale(fixed):
    """The moving volume is the fixed one, 6 % larger, turned and shifted; its header says so."""
    turn = Rotation.from_euler("z", 7, degrees=True).as_matrix()
    placed = homogeneous(1.06 * turn, (12, -8, 5))
    moving = Volume(fixed.array, placed @ fixed.affine, "moving")
    found = {
        initial: register(fixed, moving, RegistrationSettings(initial=initial)).initial.matrix[:3, :3]
        for initial in ("rigid", "affine")
    }
    assert np.abs(found["rigid"].T @ found["rigid"] - np.eye(3)).max() < 1e-4
    assert np.linalg.det(found["affine"]) > 1.1
    angle = np.degrees(Rotation.from_matrix(found["rigid"]).magnitude())
    assert 4 < angle < 10


@pytest.mark.parametrize("initial", ["centers", "affine"])
def test_a_small_piece_of_the_fixed_volume_is_found_in_it(fixed, initial):
    """The piece covers a fiftieth of the fixed volume, which is no reason to say that they do not overlap."""
    piece = Volume(fixed.array[22:42, 30:58, 24:50], fixed.affine @ homogeneous(np.eye(3), (24, 30, 22)), "piece")
    result = register(fixed, piece, RegistrationSettings(initial=initial))
    assert result.jacobian.percent_nonpositive == 0


def test_a_model_for_mri_warns_of_ct_and_only_of_ct(fixed):
    """Hounsfield units: air outside, water and organs inside."""
    ct = Volume(np.where(fixed.array < 100, -1000, fixed.array / 10), fixed.affine, "thorax")
    warnings = register(fixed, ct, RegistrationSettings(model="brain-mri", initial="none")).warnings
    (warning,) = (w for w in warnings if "CT" in w)
    assert warning.startswith("thorax looks like CT, but the model 'brain-mri' was trained on MRI")


def test_progress_runs_from_0_to_1(fixed):
    seen: list[float] = []
    register(fixed, fixed, RegistrationSettings(initial="none"), progress=lambda update: seen.append(update.fraction))
    assert seen[0] == 0
    assert seen[-1] == 1
    assert seen == sorted(seen)


def texture(points_mm: np.ndarray) -> np.ndarray:
    """Waves of 15 to 40 mm in many directions."""
    rng = np.random.default_rng(11)
    waves = [rng.normal(size=3) for _ in range(12)]
    phases = [2 * np.pi * points_mm @ (w / np.linalg.norm(w)) / rng.uniform(15, 40) for w in waves]
    return 100 + 10 * sum(np.sin(p + n) for n, p in enumerate(phases))


def test_a_crop_of_a_few_centimeters_is_aligned_too():
    """At the usual coarse grid of 8 mm a crop this small would be four voxels wide."""
    truth = homogeneous(Rotation.from_euler("y", 8, degrees=True).as_matrix(), (40, -25, 10))
    fixed_grid = make_geometry((44, 50, 40), (1, 1, 1), center_mm=(12, 8, -5))
    moving_grid = make_geometry((48, 44, 44), (1, 1, 1), center_mm=tuple(apply_affine(truth, (10, 10, -5))))
    moving_points = apply_affine(np.linalg.inv(truth), world(moving_grid))
    found = align_affine(
        Volume(texture(world(fixed_grid)), fixed_grid.affine),
        Volume(texture(moving_points), moving_grid.affine),
        IntensityNormalization(),
    ).transform
    points = fixed_grid.center_mm + np.random.default_rng(0).uniform(-12, 12, (100, 3))
    error = np.linalg.norm(found(points) - apply_affine(truth, points), axis=1)
    assert error.max() < 0.5
