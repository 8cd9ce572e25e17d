"""`register --inverse`: the inverse is checked, and both transforms mean the same to the programs that read them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.commands.apply import apply_transforms
from LightRegistrationLib.core.geometry.geometry import Geometry
from LightRegistrationLib.scene.files.transform_loading import load_transform_node
from LightRegistrationLib.scene.nodes.transforms import field_from_transform_node, transform_points

from ..command_line import QUICK, run_command
from .conftest import Run, check_schema
from .pair_files import PairFiles

LPS = np.array([-1.0, -1.0, 1.0])
SAME_MM = 0.001
"""The programs compute with 32 or 64 bits."""


@pytest.fixture(scope="session")
def inverted(pair_files: PairFiles, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`register --inverse` on the small pair."""
    output = tmp_path_factory.mktemp("inverted") / "result"
    done = run_command("register", pair_files.fixed, pair_files.moving, *QUICK, "--inverse", "--output", output)
    return Run(done.returncode, done.stdout, done.stderr, output)


def choose_points(geometry: Geometry, scale: float) -> np.ndarray:
    """Random points around the center of a volume; with a scale above 1 some of them lie beyond it."""
    extent = np.ptp(geometry.corners_mm, axis=0)
    return geometry.center_mm + scale * (np.random.default_rng(3).uniform(-0.5, 0.5, (200, 3)) * extent)


def map_by_sitk(path: Path, points: np.ndarray) -> np.ndarray:
    transform = sitk.ReadTransform(str(path))
    return np.array([transform.TransformPoint((p * LPS).tolist()) for p in points]) * LPS


def test_both_compositions_are_the_identity_within_what_the_report_says(inverted: Run, pair_files: PairFiles) -> None:
    assert (inverted.status, inverted.stdout, inverted.stderr) == (0, "", "")
    report = inverted.report
    check_schema(report)
    assert report["outputs"]["inverse"] == "inverse.h5"
    assert report["seconds"]["inverse"] > 0
    names = {"fixed": ("transform.h5", "inverse.h5"), "moving": ("inverse.h5", "transform.h5")}
    for role, (first, second) in names.items():
        points = choose_points(getattr(pair_files.pair, role).geometry, 0.99)
        back = map_by_sitk(inverted.output / second, map_by_sitk(inverted.output / first, points))
        errors = np.linalg.norm(back - points, axis=1)
        measured = report["inverse"][role]
        assert errors.mean() == pytest.approx(measured["mean_mm"], rel=0.5)
        assert measured["mean_mm"] < 0.1 * report["inverse"]["tolerance_mm"]
        assert measured["percent_above_tolerance"] < 0.5
        assert errors.max() <= 1.5 * measured["max_mm"]
    finest_mm = min(min(report[role]["spacing_mm"]) for role in ("fixed", "moving"))
    assert report["inverse"]["tolerance_mm"] == pytest.approx(finest_mm / 2, abs=1e-4)


def test_without_the_option_nothing_is_inverted(registered: Run) -> None:
    assert "inverse" not in registered.report
    assert "inverse" not in registered.report["outputs"]
    assert "inverse" not in registered.report["seconds"]
    assert not (registered.output / "inverse.h5").exists()


def test_the_inverse_brings_the_fixed_volume_to_the_moving_one(
    inverted: Run, pair_files: PairFiles, tmp_path: Path
) -> None:
    target = tmp_path / "fixed_in_moving.nii"
    inverse = inverted.output / "inverse.h5"
    assert apply_transforms([inverse], pair_files.fixed, target, reference=pair_files.moving) == ()
    moving, moved = (sitk.GetArrayFromImage(sitk.ReadImage(str(p))).ravel() for p in (pair_files.moving, target))
    fixed = sitk.Resample(sitk.ReadImage(str(pair_files.fixed)), sitk.ReadImage(str(pair_files.moving)))
    before = sitk.GetArrayFromImage(fixed).ravel()
    assert np.corrcoef(moving, moved)[0, 1] > np.corrcoef(moving, before)[0, 1] + 0.1


@pytest.mark.parametrize("name", ["transform.h5", "inverse.h5"])
def test_slicer_reads_what_simpleitk_reads(inverted: Run, pair_files: PairFiles, scene: Any, name: str) -> None:
    points = choose_points(pair_files.pair.fixed.geometry, 3)
    node = load_transform_node(scene, inverted.output / name)
    expected = map_by_sitk(inverted.output / name, points)
    assert np.abs(transform_points(node.GetTransformFromParent(), points) - expected).max() < SAME_MM
    assert np.abs(field_from_transform_node(node)(points) - expected).max() < SAME_MM


def need(package: str, name: str) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"NOT COMPARED with {package}, which is not installed: pip install {package}")


@pytest.mark.parametrize("name", ["transform.h5", "inverse.h5"])
def test_nitransforms_reads_what_simpleitk_reads(inverted: Run, scene: Any, name: str) -> None:
    need("nitransforms", "nitransforms")
    from nitransforms.manip import load

    # Between the nodes of the field nitransforms interpolates with cubic splines, the others trilinearly.
    grid = field_from_transform_node(load_transform_node(scene, inverted.output / name)).geometry
    nodes = grid.points_mm[2:-2:3, 2:-2:3, 2:-2:3].reshape(-1, 3)
    found = load(inverted.output / name, fmt="itk").map(nodes)
    expected = map_by_sitk(inverted.output / name, nodes)
    assert np.abs(expected - nodes).max() > 5
    assert np.abs(found - expected).max() < 0.01


@pytest.mark.parametrize("name", ["transform.h5", "inverse.h5"])
def test_ants_reads_what_simpleitk_reads(inverted: Run, pair_files: PairFiles, name: str) -> None:
    need("antspyx", "ants")
    import ants

    points = choose_points(pair_files.pair.fixed.geometry, 3)
    transform = ants.read_transform(str(inverted.output / name))
    found = np.array([transform.apply_to_point((p * LPS).tolist()) for p in points]) * LPS
    assert np.abs(found - map_by_sitk(inverted.output / name, points)).max() < SAME_MM
