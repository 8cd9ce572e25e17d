"""Each peer's deformation, in one form for all, is the one of the phantom; each run counts only what is its own."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine, homogeneous
from LightRegistrationLib.core.geometry.transforms import AffineTransform
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.models import cards
from LightRegistrationLib.training.evaluation.files import read_volume, to_sitk_image

from ..analytic import displacement_mm, linear_warp, map_points, points_inside, smooth_field
from .conftest import FOLDER, RunBenchmark

ROOT = FOLDER.parents[1]


def tilted(size: int, spacing: tuple[float, float, float], center: tuple[float, float, float]) -> Geometry:
    """An oblique grid, flipped along its first axis, around a place that is not the origin."""
    turn = np.linalg.qr(np.array([[-1.0, 0.15, 0.1], [0.12, 1.0, -0.2], [-0.1, 0.2, 1.0]]))[0]
    turn *= np.sign(np.diag(turn)) * np.array([-1, 1, 1])
    matrix = turn * spacing
    return Geometry((size, size + 2, size + 4), homogeneous(matrix, center - matrix @ ((np.array([size] * 3) - 1) / 2)))


@pytest.fixture(scope="module")
def deformed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Geometry]:
    """Files of an oblique ball with texture, pulled by a known field and not: fixed(x) = moving(x + d(x))."""
    folder = tmp_path_factory.mktemp("deformed")
    grid = tilted(44, (3.0, 3.2, 2.8), (20.0, -35.0, 60.0))
    texture = gaussian_filter(np.random.default_rng(1).normal(size=grid.shape), 2.0)
    ball = np.linalg.norm(grid.points_mm - grid.center_mm, axis=-1) < 58
    moving = np.where(ball, 500 + 150 * texture / texture.std(), 0.0).clip(0)
    fixed = linear_warp(moving, grid.affine, smooth_field(grid, amplitude_mm=4.0), grid)
    files = folder / "fixed.nii.gz", folder / "moving.nii.gz"
    for array, file in zip((fixed, moving), files, strict=True):
        sitk.WriteImage(to_sitk_image(Volume(np.asarray(array, np.float32), grid.affine)), str(file))
    return *files, grid


def skip_unless_installed(method: Any) -> None:
    try:
        importlib.metadata.version(method.package or "numpy")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{method.title} was NOT tried: install the extras `benchmarks` and `benchmarks-deeds`")


def far_header(grid: Geometry) -> np.ndarray:
    """A rigid change of the moving header, RAS mm, that no method finds without the start it is given."""
    turn = Rotation.from_rotvec((0.1, -0.15, 0.5)).as_matrix()
    return homogeneous(turn, grid.center_mm - turn @ grid.center_mm + (70.0, -55.0, 40.0))


def near_start(grid: Geometry, header: np.ndarray) -> Any:
    """The start of a method whose moving volume has another header: a few millimeters off, so that work remains."""
    from peers.method import Start

    linear = np.array([[1.0, 0.02, 0.0], [-0.02, 1.01, 0.0], [0.0, 0.006, 1.0]])
    near = homogeneous(linear, grid.center_mm - linear @ grid.center_mm + (0.8, -0.7, 0.5))
    return Start(AffineTransform(header @ near))


PEERS = ["demons", "elastix", "syn", "syn-cc", "greedy", "convexadam", "deeds"]
FROM_START = [f"{name}-from-affine" for name in PEERS[1:]]


@pytest.mark.parametrize("name", PEERS + FROM_START)
def test_a_peer_finds_the_known_deformation(benchmark: RunBenchmark, deformed, name):
    from peers.registry import METHODS

    method = METHODS[name]
    skip_unless_installed(method)
    fixed, moving, grid = deformed
    assert method.needs_start == (name == "demons" or name in FROM_START)
    start, header = None, np.eye(4)
    if method.needs_start:
        header = far_header(grid)
        start, moving = near_start(grid, header), with_header(moving, header @ grid.affine)
    run = method.make(fixed, moving, 1, start)
    run.register()
    points = points_inside(grid, margin_voxels=12.0)
    expected = points + displacement_mm(points, grid.center_mm, 4.0)
    error = np.linalg.norm(map_points(run.field(), points) - apply_affine(header, expected), axis=1).mean()
    assert error < 0.25 * np.linalg.norm(expected - points, axis=1).mean()


def with_header(file: Path, affine: np.ndarray) -> Path:
    """Write the same voxels with another affine beside a file."""
    copy = file.with_name(f"moved_{file.name}")
    sitk.WriteImage(to_sitk_image(replace(read_volume(file), affine=affine)), str(copy))
    return copy


def test_what_was_found_is_measured_on_the_fixed_grid(benchmark: RunBenchmark):
    from compare.row import resample_to_grid

    grid = tilted(20, (2.0, 2.0, 3.0), (5.0, 5.0, 5.0))
    field = smooth_field(grid, spacing_mm=6.0)
    found = resample_to_grid(field, grid)
    assert found.geometry.matches(grid)
    points = grid.points_mm.reshape(-1, 3)
    np.testing.assert_allclose(map_points(found, points), map_points(field, points), atol=1e-4)
    assert resample_to_grid(found, grid) is found


TIMED = """
import json, time
from compare.row import _timed
from peers.method import RunDefaults
class Busy(RunDefaults):
    seconds, cpu_seconds = 10.0, 20.0
    def register(self):
        begun, start = time.perf_counter(), time.process_time()
        self.held = bytearray(300_000_000)
        time.sleep(0.4)
        while time.process_time() < start + 0.3: pass
        self.used, self.wall = time.process_time() - start, time.perf_counter() - begun
busy = Busy()
before, took = time.process_time(), _timed(busy)
whole = time.process_time() - before
print(json.dumps({**took, "used": busy.used, "wall": busy.wall, "whole": whole, "before": before}))
"""


def test_a_run_counts_its_own_time_and_memory(benchmark: RunBenchmark):
    ballast = np.ones(120_000_000)  # 1 GB that the parent holds and the child must not be charged for
    path = {"PYTHONPATH": f"{FOLDER}:{ROOT / 'LightRegistration'}"}
    done = subprocess.run([sys.executable, "-c", TIMED], env=path, capture_output=True, text=True, check=True)
    took = json.loads(done.stdout)
    assert took["seconds"] - 10 >= took["wall"] >= 0.4
    clock_tick = 0.01
    assert took["before"] > 2 * clock_tick  # what was used before register() must not be counted
    assert took["used"] - clock_tick <= took["cpu_seconds"] - 20 <= took["whole"] + clock_tick
    assert 300 < took["peak_mb"] < ballast.nbytes / 1e6


def test_the_extra_names_the_versions_that_the_peers_were_run_with(benchmark: RunBenchmark):
    from peers.registry import METHODS

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {f"{m.package}=={m.version}" for m in METHODS.values() if m.package}
    extras = project["optional-dependencies"]
    assert wanted <= {*extras["benchmarks"], *extras["benchmarks-deeds"]}


def test_our_results_hold_for_one_state_of_the_models(benchmark: RunBenchmark, tmp_path, monkeypatch):
    from peers.registry import METHODS, key_of, own_code_digest

    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    source = next(iter(cards.list_cards().values()))
    (folder / source.weights_file.name).write_bytes(source.weights_file.read_bytes())
    monkeypatch.setenv("LIGHTREG_MODELS", str(folder.parent))

    def digest(**changes: Any) -> str:
        values = {**json.loads(source.file.read_text(encoding="utf-8")), **changes}
        (folder / cards.CARD_FILE).write_text(json.dumps(values), encoding="utf-8")
        return own_code_digest.__wrapped__()

    plain = digest()
    assert digest() == plain
    assert digest(results={"brain": 1}) == plain
    assert digest(grid={**json.loads(source.file.read_text(encoding="utf-8"))["grid"], "spacing_mm": 2.5}) != plain
    start = near_start(tilted(20, (2.0, 2.0, 3.0), (5.0, 5.0, 5.0)), np.eye(4))
    for name, method in METHODS.items():
        is_from_start = name == "demons" or name in FROM_START
        key = key_of(method, start)
        assert (own_code_digest() in key) == (name in ("affine", "ours-none", "ours-fast", "ours-best"))
        assert (start.digest in key) == is_from_start
        # Without the map itself, what was found depends on the code that would find it.
        assert (own_code_digest() in key_of(method, None)) == (is_from_start or method.is_ours)
