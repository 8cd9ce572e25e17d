"""Two scans of one person on analytic anatomy: lesions that change between them keep their volumes and are listed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from LightRegistrationLib.core.geometry.geometry import apply_affine, homogeneous
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.registration import register
from LightRegistrationLib.core.result.result import ChangedPlace, ChangeKind, RegistrationResult
from LightRegistrationLib.core.result.settings import InitialAlignment, RegistrationSettings
from LightRegistrationLib.core.result_warnings import FOLLOW_UP_PROPOSAL, NOT_ONE_PERSON_WARNING

from ..anatomies import anatomy, world
from ..geometries import make_geometry

FIXED_GRID = make_geometry((56, 84, 68), (2, 2, 2.2), (4, -6, 9))
MOVING_GRID = make_geometry((60, 80, 70), (2, 2.1, 2), (0, 8, -5))
MOTION = homogeneous(Rotation.from_rotvec([4, -3, 5], degrees=True).as_matrix(), (5.0, -3.0, 4.0))
FOLLOW_UP = RegistrationSettings(model="general", follow_up=True)


@dataclass(frozen=True)
class Ball:
    """A lesion in the first scan's coordinates: its radius in both scans, 0 where there is none."""

    center_mm: tuple[float, float, float]
    first_mm: float
    second_mm: float
    height: float = 350.0

    def share(self, points: np.ndarray, is_second: bool) -> np.ndarray:
        """Its share of points, 0 to 1; the edge is 2 mm wide."""
        radius = self.second_mm if is_second else self.first_mm
        if not radius:
            return np.zeros(points.shape[:-1])
        return np.clip(0.5 + (radius - np.linalg.norm(points - self.center_mm, axis=-1)) / 2, 0, 1)


NEW = Ball((20.0, -28.0, 5.0), 0.0, 9.0)
GONE = Ball((-26.0, 30.0, 4.0), 9.0, 0.0)
GROWING = Ball((24.0, 30.0, -4.0), 6.0, 9.5)
SHRINKING = Ball((-24.0, -26.0, -6.0), 9.5, 6.0)
BALLS = {"new": NEW, "gone": GONE, "growing": GROWING, "shrinking": SHRINKING}


def back(points: np.ndarray) -> np.ndarray:
    """The true map from the second scan to the first: the motion, and a bend of up to 1 mm along each axis."""
    points = apply_affine(np.linalg.inv(MOTION), points)
    return points + np.sin(points[..., [1, 2, 0]] / 25)


def tissue(points: np.ndarray) -> np.ndarray:
    """The anatomy, with the fine structure that real tissue has."""
    values = anatomy(points)
    return values + 0.15 * np.minimum(values, 400) * np.sin(points / (3.1, 3.7, 3.4)).prod(-1)


def scan(*balls: Ball, is_second: bool) -> Volume:
    grid = MOVING_GRID if is_second else FIXED_GRID
    points = back(world(grid)) if is_second else world(grid)
    values = tissue(points) + np.random.default_rng(int(is_second)).normal(scale=8, size=grid.shape)
    for ball in balls:
        values += ball.height * ball.share(points, is_second)
    return Volume(values.astype(np.float32), grid.affine, "second" if is_second else "first")


def warped_ratio(ball: Ball, result: RegistrationResult) -> float:
    """The second scan's lesion on a fine grid of the first scan, relative to its true volume."""
    reach = np.arange(-24, 24, 1.0)
    points = np.array(ball.center_mm) + np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), -1)
    return float(ball.share(back(result.field(points)), True).sum() / ball.share(points, True).sum())


def place_ratio(ball: Ball, result: RegistrationResult) -> float:
    """The volume that the place of the first scan's lesion has in the second scan, relative to the truth."""
    points = world(FIXED_GRID)
    weights = ball.share(points, False)
    points, weights = points[weights > 0], weights[weights > 0]
    found = [result.field(points + s) - result.field(points - s) for s in 0.5 * np.eye(3)]
    # The inverse of the bend, to first order: its determinant is 1 up to 0.002.
    return float((np.linalg.det(np.stack(found, -1)) * weights).sum() / weights.sum())


def unmatched(result: RegistrationResult) -> Iterator[ChangedPlace]:
    assert result.changes is not None
    return (c for c in result.changes if c.kind in (ChangeKind.BRIGHTER, ChangeKind.DARKER))


def distance_mm(place: ChangedPlace, ball: Ball) -> float:
    return float(np.linalg.norm(np.array(place.position_mm) - ball.center_mm))


@pytest.fixture(scope="module")
def found() -> RegistrationResult:
    return register(scan(*BALLS.values(), is_second=False), scan(*BALLS.values(), is_second=True), FOLLOW_UP)


@pytest.fixture(scope="module")
def without() -> RegistrationResult:
    fixed, moving = (scan(*BALLS.values(), is_second=n) for n in (False, True))
    return register(fixed, moving, RegistrationSettings(refine="fast"))


@pytest.mark.parametrize("ball", [NEW, GROWING, SHRINKING], ids=["new", "growing", "shrinking"])
def test_a_lesion_of_the_second_scan_keeps_its_volume(found, without, ball):
    assert warped_ratio(ball, found) == pytest.approx(1, abs=0.05)
    assert abs(warped_ratio(ball, without) - 1) > 0.07


def test_a_lesion_that_is_gone_gives_its_place_no_volume(found):
    assert place_ratio(GONE, found) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("ball", BALLS.values(), ids=list(BALLS))
def test_each_lesion_is_listed_with_its_place(found, ball):
    places = [p for p in unmatched(found) if distance_mm(p, ball) < 12]
    assert places
    assert places[0].kind == (ChangeKind.BRIGHTER if ball.second_mm > ball.first_mm else ChangeKind.DARKER)


def test_the_list_has_the_volume_of_a_new_lesion_and_nothing_else(found):
    (place,) = (p for p in unmatched(found) if distance_mm(p, NEW) < 3)
    assert place.volume_mm3 == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.3)
    assert all(min(distance_mm(p, ball) for ball in BALLS.values()) < 12 for p in unmatched(found))


def test_tissue_beside_the_lesions_is_aligned_better_than_by_the_rigid_motion(found):
    points = world(FIXED_GRID)[anatomy(world(FIXED_GRID)) > 250]
    for ball in BALLS.values():
        points = points[np.linalg.norm(points - ball.center_mm, axis=1) > 17]
    errors = [
        np.linalg.norm(back(moved) - points, axis=1).mean() for moved in (found.field(points), found.initial(points))
    ]
    assert errors[0] < 0.6 * errors[1]


def test_the_initial_alignment_is_rigid(found):
    assert np.linalg.svd(found.initial.matrix[:3, :3])[1] == pytest.approx(1, abs=1e-6)


def test_follow_up_is_proposed_without_it_and_not_with_it(found, without):
    assert without.changes is None
    assert FOLLOW_UP_PROPOSAL in without.warnings
    assert FOLLOW_UP_PROPOSAL not in found.warnings


def test_it_is_neither_proposed_for_two_people_nor_silent_if_asked_for():
    fixed = scan(is_second=False)
    points = world(MOVING_GRID)
    points = points * (1.08, 0.93, 1.05) + 5 * np.sin(points[..., [1, 2, 0]] / 10)
    other = Volume(tissue(points).astype(np.float32), MOVING_GRID.affine)
    assert FOLLOW_UP_PROPOSAL not in register(fixed, other).warnings
    assert NOT_ONE_PERSON_WARNING in register(fixed, other, FOLLOW_UP).warnings


def test_two_people_are_said_as_loaded_too():
    """Their sizes are not compared then, but the tissues do not lie on each other."""
    as_loaded = replace(FOLLOW_UP, initial=InitialAlignment.NONE)
    fixed, points = scan(is_second=False), world(FIXED_GRID)
    other = Volume(tissue(points + 15 * np.sin(points[..., [1, 2, 0]] / 14)).astype(np.float32), FIXED_GRID.affine)
    assert NOT_ONE_PERSON_WARNING in register(fixed, other, as_loaded).warnings
    assert NOT_ONE_PERSON_WARNING not in register(fixed, fixed, as_loaded).warnings


def test_two_scans_without_change_have_an_empty_list():
    result = register(scan(is_second=False), scan(is_second=True), FOLLOW_UP)
    assert not list(unmatched(result))


def test_tissue_that_loses_volume_is_listed():
    """The second scan shows the surroundings of a point drawn toward it, as around a scar."""
    points, center = world(FIXED_GRID), np.array((20.0, -25.0, 5.0))
    offset = points - center
    drawn = points + 0.15 * offset * np.exp(-(offset**2).sum(-1, keepdims=True) / (2 * 18.0**2))
    moving = Volume(tissue(drawn).astype(np.float32), FIXED_GRID.affine, "second")
    result = register(scan(is_second=False), moving, replace(FOLLOW_UP, refine="fast"))
    assert result.changes is not None
    losses = [c for c in result.changes if c.kind == ChangeKind.SMALLER]
    assert losses
    assert np.linalg.norm(np.array(losses[0].position_mm) - center) < 12


def test_two_contrasts_are_aligned_rigidly_and_it_is_said():
    fixed, moving = scan(is_second=False), scan(NEW, is_second=True)
    # Bright tissue becomes dark: no rising line predicts one from the other.
    inverted = replace(moving, array=np.where(moving.array > 250, 1100 - moving.array, moving.array))
    result = register(fixed, inverted, FOLLOW_UP)
    assert result.changes is None
    assert result.refinement is None
    assert any("aligned rigidly only" in line for line in result.warnings)
