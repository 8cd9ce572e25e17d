"""Refinement against deformations that are known: smooth random images, moved by an analytic field."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from LightRegistrationLib.core.deformation.folding import repair_folding
from LightRegistrationLib.core.deformation.jacobian import compute_corner_determinants
from LightRegistrationLib.core.geometry.geometry import Geometry, homogeneous
from LightRegistrationLib.core.geometry.transforms import AffineTransform, DisplacementField
from LightRegistrationLib.core.geometry.volume import Segmentation, Volume
from LightRegistrationLib.core.network.flow_conversion import Deformation, convert_flow_to_field, resample_flow
from LightRegistrationLib.core.network.intensity import IntensityNormalization
from LightRegistrationLib.core.refinement.images import RefinementImages, ShrunkPair, compute_finer_grid
from LightRegistrationLib.core.refinement.local_correlation import LocalCorrelation
from LightRegistrationLib.core.refinement.optimizer import Start, list_levels, refine
from LightRegistrationLib.core.refinement.settings import OptimizerSettings, RefinementSettings
from LightRegistrationLib.core.result.progress import ProgressUpdate, Stage, ignore_progress
from LightRegistrationLib.core.result.settings import NO_GUIDANCE, Guidance
from LightRegistrationLib.core.sampling.filters import gaussian

SPACING_MM = 2.0
SHAPE = (48, 64, 48)
WINDOW = IntensityNormalization("window", -2.5, 2.5)
SETTINGS = RefinementSettings()


def grid() -> Geometry:
    turn = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]])
    return Geometry(SHAPE, homogeneous(SPACING_MM * turn, (-40, 25, 300)))


def known_displacement_voxels(points: np.ndarray) -> np.ndarray:
    """Analytic, (..., 3) along i, j, k; at most 3.3 voxels long, 0 at the edges of the grid."""
    i, j, k = np.moveaxis(points, -1, 0)
    size = np.array(SHAPE[::-1])
    hill = np.prod(np.sin(np.pi * np.clip(points / (size - 1), 0, 1)), axis=-1)
    return hill[..., None] * np.stack([2.5 * np.sin(j / 9), 2.0 * np.cos(k / 8), 1.5 * np.sin(i / 7 + 1)], axis=-1)


def voxels() -> np.ndarray:
    k, j, i = np.meshgrid(*(np.arange(n, dtype=float) for n in SHAPE), indexing="ij")
    return np.stack([i, j, k], axis=-1)


@pytest.fixture(scope="module")
def pair() -> tuple[Volume, Volume]:
    """The fixed volume is the moving one, sampled where the known displacement says."""
    moving = gaussian_filter(np.random.default_rng(5).normal(size=SHAPE), 2.0, mode="wrap")
    moving /= moving.std()
    positions = np.moveaxis((voxels() + known_displacement_voxels(voxels()))[..., ::-1], -1, 0)
    fixed = map_coordinates(moving, positions, order=3, mode="nearest")
    return Volume(fixed.astype(np.float32), grid().affine), Volume(moving.astype(np.float32), grid().affine)


def refined(
    pair, start=None, preset="fast", settings=SETTINGS, guidance=NO_GUIDANCE, progress=ignore_progress, initial=None
) -> Deformation:
    start = Deformation(torch.zeros(1, 3, *SHAPE), grid()) if start is None else start
    initial = initial or AffineTransform.identity()
    images = RefinementImages(ShrunkPair(*pair, WINDOW), initial, grid(), guidance)
    with torch.inference_mode():
        return refine(
            [Start(start, images)], lambda f: LocalCorrelation(f, settings.window_voxels), preset, settings, progress
        )[0]


def error_voxels(found: Deformation) -> np.ndarray:
    """How far off the flow is at each voxel inside, voxels: the motion along structures without any is not seen."""
    flow = resample_flow(found.flow, found.geometry, grid())[0].movedim(0, -1).numpy()
    error = np.linalg.norm(flow - known_displacement_voxels(voxels()), axis=-1)
    return error[6:-6, 6:-6, 6:-6]


def true_error() -> float:
    return float(np.linalg.norm(known_displacement_voxels(voxels()), axis=-1)[6:-6, 6:-6, 6:-6].mean())


@pytest.mark.parametrize("preset", ["fast", "best"])
def test_a_known_deformation_is_found_on_an_oblique_grid(pair, preset):
    found = refined(pair, preset=preset, settings=RefinementSettings(coarsest=4))
    assert error_voxels(found).mean() < 0.2 * true_error()
    assert found.summary.similarity_after > 0.9 > found.summary.similarity_before
    assert found.summary.metric == "correlation"


@pytest.mark.parametrize("preset", ["fast", "best"])
def test_nothing_folds_even_between_two_images_of_noise(preset):
    noise = [Volume(np.random.default_rng(n).normal(size=SHAPE).astype(np.float32), grid().affine) for n in (1, 2)]
    found = refined(noise, preset=preset, settings=RefinementSettings(update_voxels=0.7, elastic_voxels=0.3))
    field, _ = repair_folding(convert_flow_to_field(found.flow, found.geometry, AffineTransform.identity()))
    assert compute_corner_determinants(field).min() > 0
    assert found.summary.similarity_after > found.summary.similarity_before


@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.0])
def test_the_longest_update_never_folds(sigma):
    """The worst that a step can be: full length everywhere, the direction turning over from voxel to voxel."""
    signs = torch.randint(0, 2, (1, 3, 24, 24, 24), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    longest = OptimizerSettings().longest_step_voxels
    update = gaussian(signs * longest / 3**0.5, sigma)[0].movedim(0, -1).double().numpy()
    assert compute_corner_determinants(DisplacementField(update, np.eye(4))).min() > 0


def test_a_pair_that_matches_is_not_changed(pair):
    found = refined((pair[1], pair[1]))
    assert float(found.flow.abs().max()) < 0.05
    assert found.summary.ended == "no gain"
    assert found.summary.steps < sum(level.steps for level in list_levels("fast", SETTINGS))


def test_a_worse_match_is_not_returned(pair):
    """With the truth to begin with and settings that smooth it away, the truth comes back, on its own grid."""
    truth = torch.from_numpy(known_displacement_voxels(voxels())).float().movedim(-1, 0)[None]
    found = refined(
        pair, Deformation(truth, grid()), settings=RefinementSettings(elastic_voxels=4.0, update_voxels=4.0)
    )
    torch.testing.assert_close(found.flow, truth)
    assert found.summary.similarity_after == found.summary.similarity_before


def test_regions_outside_the_moving_field_of_view_have_no_influence(pair):
    """Half of the moving volume cut away: in the other half, the answer is that of the whole volume."""
    half = Volume(pair[1].array[: SHAPE[0] // 2 + 8], pair[1].affine)
    cut, whole = refined((pair[0], half)), refined(pair)
    difference = torch.linalg.vector_norm(cut.flow - whole.flow, dim=1)[0]
    assert float(difference[: SHAPE[0] // 2 - 4].mean()) < 0.1
    beyond = torch.linalg.vector_norm(cut.flow, dim=1)[0, SHAPE[0] // 2 + 20 :]
    assert float(beyond.max()) < 0.3


@pytest.mark.parametrize("side", ["fixed_mask", "moving_mask"])
def test_a_masked_region_has_no_influence(pair, side):
    """A bright ball that only the fixed volume has: masked, the deformation is as if it were not there."""
    ball = np.linalg.norm(voxels() - np.array([24, 32, 24]), axis=-1) < 7
    array = np.where(ball, 2.4, pair[0].array).astype(np.float32)
    mask = Segmentation.from_labels((~ball).astype(np.uint8), grid().affine)
    with_ball = (Volume(array, grid().affine), pair[1])
    around = np.linalg.norm(voxels() - np.array([24, 32, 24]), axis=-1)
    shell = torch.from_numpy((around > 7) & (around < 11))
    clean = refined(pair).flow
    free, masked = refined(with_ball).flow, refined(with_ball, guidance=Guidance(**{side: mask})).flow

    def off(flow):
        return float(torch.linalg.vector_norm(flow - clean, dim=1)[0][shell].mean())

    assert off(masked) < 0.7 * off(free)


def test_an_exception_from_progress_ends_the_refinement(pair):
    class Canceled(Exception):
        pass

    seen = []

    def cancel(update):
        seen.append(update)
        if len(seen) == 3:
            raise Canceled

    with pytest.raises(Canceled):
        refined(pair, progress=cancel)
    assert seen[2] == ProgressUpdate(3 / 50, Stage.REFINEMENT, 3, 50)


def test_the_initial_alignment_is_included(pair):
    """The moving volume shifted in the world, and the shift given as initial alignment: the same flow."""
    shift = homogeneous(np.eye(3), (7, -11, 300))
    moved = Volume(pair[1].array, shift @ pair[1].affine)
    found = refined((pair[0], moved), initial=AffineTransform(shift))
    torch.testing.assert_close(found.flow, refined(pair).flow, atol=2e-2, rtol=0)


def test_a_finer_grid_is_not_finer_than_the_volume():
    volume = Geometry((30, 40, 50), np.diag([1.8, 1.8, 3.0, 1]))
    network = Geometry((48, 48, 48), np.diag([2.0, 2.0, 2.0, 1]))
    assert compute_finer_grid(network, 0.5, volume).spacing_mm[0] == pytest.approx(1.8, rel=0.07)
    assert compute_finer_grid(network, 0.95, Geometry((90, 90, 90), np.diag([2.0, 2.0, 2.0, 1]))) is network
