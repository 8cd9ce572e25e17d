"""A deformation is kept if it improves the match, and only then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from LightRegistrationLib.core.geometry.geometry import Geometry
from LightRegistrationLib.core.network.flow_conversion import Deformation
from LightRegistrationLib.core.network.grid import GridImage
from LightRegistrationLib.core.refinement.acceptance import MatchMeasure, accept_deformation

from ..anatomies import anatomy, world
from ..geometries import make_geometry

GRID = make_geometry((32, 48, 40), (4, 4, 4))


def bend(points: np.ndarray, bend_mm: float) -> np.ndarray:
    return points + bend_mm * np.sin(points[..., [1, 2, 0]] / 25)


def make_image(points: np.ndarray, noise: float = 0.0, seed: int = 0, known: torch.Tensor | None = None) -> GridImage:
    values = anatomy(points) / 1000 + np.random.default_rng(seed).normal(0, noise, points.shape[:-1])
    tensor = torch.from_numpy(values.clip(0, 1)).float()[None, None]
    is_known = torch.ones(tensor.shape, dtype=torch.bool) if known is None else known
    return GridImage(tensor * is_known, GRID, is_known)


def make_flow(move_mm: np.ndarray, geometry: Geometry = GRID) -> Deformation:
    """The grid's axes are those of RAS."""
    return Deformation(torch.from_numpy(move_mm / geometry.spacing_mm).float().movedim(-1, 0)[None], geometry)


POINTS = world(GRID)
TRUE_MM = bend(POINTS, 6.0) - POINTS
"""Of a fixed image that shows anatomy(bend(x)) and a moving one that shows anatomy(x)."""
IMAGINED_MM = 6.0 * np.cos(POINTS[..., [2, 0, 1]] / 18)


def bent_pair(noise: float = 0.02) -> MatchMeasure:
    return MatchMeasure(make_image(bend(POINTS, 6.0), noise, 1), make_image(POINTS, noise, 2))


def test_a_real_deformation_is_kept_whole():
    deformation = make_flow(TRUE_MM)
    kept, fraction = accept_deformation(bent_pair(), deformation)
    assert fraction == 1
    assert kept is deformation


def test_a_deformation_twice_too_large_is_halved():
    measure, twice = bent_pair(), make_flow(2.2 * TRUE_MM)
    assert not measure.is_better(measure.measure(twice), measure.measure(make_flow(0 * TRUE_MM)))
    kept, fraction = accept_deformation(measure, twice)
    assert fraction == 0.5
    assert torch.equal(kept.flow, twice.flow * 0.5)


@pytest.mark.parametrize("move_mm", [IMAGINED_MM, -TRUE_MM], ids=["imagined", "the wrong way"])
def test_a_deformation_that_does_not_match_is_dropped(move_mm):
    kept, fraction = accept_deformation(bent_pair(), make_flow(move_mm))
    assert fraction == 0
    assert kept.flow.abs().max() == 0


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_two_scans_of_one_body_stay_where_they_are(noise):
    measure = MatchMeasure(make_image(POINTS, noise, 1), make_image(POINTS, noise, 2))
    for size in (0.05, 0.2, 1.0):
        kept, _ = accept_deformation(measure, make_flow(size * IMAGINED_MM))
        assert kept.flow.abs().max() == 0


def test_what_only_one_image_knows_is_no_gain():
    """The true deformation of the unknown half does not count; an imagined one of the known half does."""
    known = torch.ones(1, 1, *GRID.shape, dtype=torch.bool)
    known[:, :, :16] = False
    measure = MatchMeasure(make_image(bend(POINTS, 6.0), 0.02, 1), make_image(POINTS, 0.02, 2, known))
    unmoved = measure.measure(make_flow(0 * TRUE_MM))
    in_unknown = np.where(np.arange(GRID.shape[0])[:, None, None, None] < 13, TRUE_MM, 0)
    moved = measure.measure(make_flow(in_unknown))
    assert abs(moved.correlation - unmoved.correlation) < 0.005
    assert abs(moved.local_correlation - unmoved.local_correlation) < 0.005
    assert measure.is_better(measure.measure(make_flow(TRUE_MM)), unmoved)


def test_the_match_of_an_image_with_itself_is_perfect_and_does_not_depend_on_the_flow_grid():
    image = make_image(POINTS)
    measure = MatchMeasure(image, image)
    half = make_geometry((16, 24, 20), (8, 8, 8))
    for grid in (GRID, half):
        match = measure.measure(make_flow(np.zeros((*grid.shape, 3)), grid))
        assert match.correlation == pytest.approx(1, abs=1e-5)
        # Uniform windows, where any two images correlate by nothing, lower the mean.
        assert match.local_correlation > 0.5


def test_brightness_alone_is_no_gain():
    """Both measures have to rise: a change of overall brightness is no better match."""
    measure = bent_pair()
    better = measure.measure(make_flow(TRUE_MM))
    assert not measure.is_better(replace(better, local_correlation=0.0), better)
    only_one = replace(better, correlation=better.correlation + 0.1)
    assert not measure.is_better(only_one, better)
    assert measure.is_better(replace(only_one, local_correlation=better.local_correlation + 0.1), better)


def test_a_gain_as_small_as_that_of_interpolation_moves_nothing():
    """A shift of a twelfth of a voxel matches better, by less than second scans of one body that were resampled."""
    shift_mm = np.zeros_like(POINTS)
    shift_mm[..., 0] = 0.3
    measure, shift = (
        MatchMeasure(make_image(POINTS, 0.01, 1), make_image(POINTS + shift_mm, 0.01, 2)),
        make_flow(-shift_mm),
    )
    assert measure.is_better(measure.measure(shift), measure.measure_unmoved(shift))
    kept, fraction = accept_deformation(measure, shift)
    assert fraction == 0
    assert kept.flow.abs().max() == 0
