"""`register --follow-up`: a bright ball that only the second scan shows is printed, reported, and keeps its size."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.core.geometry.geometry import apply_affine

from ..command_line import run_command
from .conftest import Run, check_schema, write_image
from .pair_files import PairFiles

RADIUS_MM, HEIGHT = 9.0, 400


@pytest.fixture(scope="module")
def ball(pair_files: PairFiles) -> np.ndarray:
    """The voxels of the ball, in the brain of the fixed phantom."""
    fixed = pair_files.pair.fixed
    indices = np.argwhere(pair_files.pair.fixed_segmentation.layers[0] > 0)
    center = apply_affine(fixed.affine, indices.mean(0)[::-1]) + (28.0, 5.0, 12.0)
    return np.asarray(np.linalg.norm(fixed.geometry.points_mm - center, axis=-1) < RADIUS_MM)


@pytest.fixture(scope="module")
def followed(pair_files: PairFiles, ball: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("followed")
    fixed = pair_files.pair.fixed
    noise = np.random.default_rng(0).normal(scale=6, size=ball.shape)
    second = (fixed.array + noise * (fixed.array > 0) + HEIGHT * ball).astype(np.float32)
    moving = write_image(second, fixed.affine, folder / "second.nii.gz")
    done = run_command(
        "register",
        pair_files.fixed,
        moving,
        "--follow-up",
        "--moving-segmentation",
        write_image(ball.astype(np.uint8), fixed.affine, folder / "ball.nii.gz"),
        "--output",
        folder / "result",
        "--threads",
        "1",
    )
    assert (done.returncode, done.stderr) == (0, "")
    return Run(done.returncode, done.stdout, done.stderr, folder / "result")


def test_the_change_is_reported_with_its_place(followed: Run, pair_files: PairFiles, ball: np.ndarray) -> None:
    check_schema(followed.report)
    assert followed.report["settings"]["follow_up"] is True
    change = followed.report["follow_up"]["changes"][0]
    center = apply_affine(pair_files.pair.fixed.affine, np.argwhere(ball).mean(0)[::-1])
    assert change["kind"] == "brighter"
    assert np.linalg.norm(np.array(change["position_ras_mm"]) - center) < 4
    volume_mm3 = ball.sum() * pair_files.pair.fixed.geometry.voxel_volume_mm3
    assert change["volume_mm3"] == pytest.approx(volume_mm3, rel=0.35)


def test_the_terminal_says_that_change_is_kept_and_lists_it(followed: Run) -> None:
    lines = followed.stdout.splitlines()
    assert "kept, not erased" in lines[0]
    assert len(lines) == 2 + len(followed.report["follow_up"]["changes"])
    position = followed.report["follow_up"]["changes"][0]["position_ras_mm"]
    assert all(f"{value:.1f}" in lines[2] for value in position)
    assert "brighter in the moving volume" in lines[2]


def test_the_ball_keeps_its_volume_in_the_written_labels(followed: Run, ball: np.ndarray) -> None:
    warped = sitk.GetArrayFromImage(followed.image("warped_segmentation.nii.gz"))
    assert warped.sum() == pytest.approx(ball.sum(), rel=0.05)


def test_without_it_nothing_is_printed_and_the_key_is_null(registered: Run) -> None:
    assert registered.report["follow_up"] is None
    assert registered.report["settings"]["follow_up"] is False
    assert registered.stdout == ""
