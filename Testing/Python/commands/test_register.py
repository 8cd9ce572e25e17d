"""The files of `light-registration register`, compared with SimpleITK."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine

from ..command_line import ONE_THREAD, run_command
from ..core.body_phantoms import COVERS, add_model
from .conftest import Run, check_schema
from .pair_files import PairFiles


def test_prints_nothing_without_a_terminal(registered: Run) -> None:
    assert (registered.status, registered.stdout, registered.stderr) == (0, "", "")


def test_writes_exactly_the_documented_files(registered: Run) -> None:
    names = sorted(p.name for p in registered.output.iterdir())
    assert names == ["report.json", "transform.h5", "warped.nii.gz", "warped_segmentation.nii.gz"]
    assert [p.name for p in registered.output.parent.iterdir()] == ["result"], "something was left beside the result"


@pytest.mark.parametrize("name", ["warped.nii.gz", "warped_segmentation.nii.gz"])
def test_outputs_lie_on_the_fixed_grid(registered: Run, pair_files: PairFiles, name: str) -> None:
    fixed = sitk.ReadImage(str(pair_files.fixed))
    written = registered.image(name)
    assert written.GetSize() == fixed.GetSize()
    np.testing.assert_allclose(written.GetSpacing(), fixed.GetSpacing(), atol=1e-5)
    np.testing.assert_allclose(written.GetOrigin(), fixed.GetOrigin(), atol=1e-3)
    np.testing.assert_allclose(written.GetDirection(), fixed.GetDirection(), atol=1e-5)


def test_warped_volume_equals_that_of_simpleitk(registered: Run, pair_files: PairFiles) -> None:
    moving = sitk.ReadImage(str(pair_files.moving))
    expected = _resampled(registered, pair_files, moving, sitk.sitkLinear)
    written = registered.image("warped.nii.gz")
    assert written.GetPixelID() == moving.GetPixelID() == sitk.sitkUInt16
    difference = np.abs(sitk.GetArrayFromImage(written).astype(float) - expected)
    assert (difference > 1).mean() < 1e-3, "more than rounding, beyond the rim of the moving volume"
    assert difference.mean() < 0.6


def test_warped_segmentation_equals_that_of_simpleitk(registered: Run, pair_files: PairFiles) -> None:
    moving = sitk.ReadImage(str(pair_files.moving_segmentation))
    expected = _resampled(registered, pair_files, moving, sitk.sitkNearestNeighbor)
    written = sitk.GetArrayFromImage(registered.image("warped_segmentation.nii.gz"))
    assert set(np.unique(written)) == set(np.unique(sitk.GetArrayFromImage(moving)))
    assert (written != expected).mean() < 1e-5, "apart from points halfway between two voxels"


def test_registration_raises_dice(registered: Run, pair_files: PairFiles) -> None:
    identity = sitk.Transform(3, sitk.sitkIdentity)
    fixed = sitk.ReadImage(str(pair_files.fixed_segmentation))
    moving = sitk.ReadImage(str(pair_files.moving_segmentation))
    before = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, identity, sitk.sitkNearestNeighbor))
    after = sitk.GetArrayFromImage(registered.image("warped_segmentation.nii.gz"))
    target = sitk.GetArrayFromImage(fixed)
    values = np.unique(target[target > 0])
    dice_before = {int(v): _dice(target == v, before == v) for v in values}
    dice_after = {int(v): _dice(target == v, after == v) for v in values}
    assert np.mean(list(dice_after.values())) > np.mean(list(dice_before.values())) + 0.15

    for structure in registered.report["structures"]:
        value = structure["value"]
        assert structure["before"]["dice"] == pytest.approx(dice_before[value], abs=2e-3)
        assert structure["after"]["dice"] == pytest.approx(dice_after[value], abs=2e-3)
        jaccard = dice_after[value] / (2 - dice_after[value])
        assert structure["after"]["jaccard"] == pytest.approx(jaccard, abs=2e-3)
    assert [s["value"] for s in registered.report["structures"]] == values.tolist()


def test_report_names_inputs_model_settings_and_versions(registered: Run, pair_files: PairFiles) -> None:
    report = registered.report
    assert report["inputs"] == {
        "fixed": str(pair_files.fixed),
        "moving": str(pair_files.moving),
        "fixed_segmentation": str(pair_files.fixed_segmentation),
        "moving_segmentation": str(pair_files.moving_segmentation),
    }
    assert {registered.output / name for name in report["outputs"].values()} == {
        p for p in registered.output.iterdir() if p.name != "report.json"
    }
    assert len(report["model"]["weights_sha256"]) == 64
    assert report["settings"] == {
        "model": "auto",
        "cascades": None,
        "initial": "affine",
        "initial_transform": None,
        "threads": 1,
        "refine": "none",
        "keep_volume": [],
        "follow_up": False,
    }
    assert (report["refinement"], report["kept"], report["masks"]) == (None, [], {"fixed": None, "moving": None})
    assert report["fixed"]["size_ijk"] == list(pair_files.pair.fixed.array.shape[::-1])
    assert {"reading", "initial alignment", "network", "warping", "writing"} <= report["seconds"].keys()
    assert all(seconds >= 0 for seconds in report["seconds"].values())
    assert {"python", "torch", "slicer-core", "light-registration"} <= report["versions"].keys()


def test_report_follows_the_schema(registered: Run) -> None:
    check_schema(registered.report)
    assert {"inputs", "outputs", "labels", "versions"} <= registered.report.keys()


def test_report_names_the_model_and_the_reason(registered: Run) -> None:
    model = registered.report["model"]
    assert model["name"] == "brain-mri"
    assert model["reason"].startswith("both volumes look like MRI, brain or whole head in T1 (")
    assert registered.report["warnings"] == []


def test_a_model_for_other_images_gives_a_warning(pair_files: PairFiles, tmp_path: Path) -> None:
    add_model(tmp_path / "models", "lung-ct", covers=COVERS["lung-ct"], modality="CT", grid={"spacing_mm": 8.0})
    arguments = ("register", pair_files.fixed, pair_files.moving, "--model", "lung-ct", "--output", tmp_path / "result")
    done = run_command(*arguments, environment={**ONE_THREAD, "LIGHTREG_MODELS": str(tmp_path / "models")})
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines[0].startswith("light-registration: warning: fixed.nii.gz does not look like CT (no Hounsfield units)")
    report = json.loads((tmp_path / "result" / "report.json").read_text(encoding="utf-8"))
    assert [line.removeprefix("light-registration: warning: ") for line in lines] == report["warnings"]
    assert (report["model"]["name"], report["model"]["reason"]) == ("lung-ct", "chosen by name")


def test_report_has_the_jacobian_of_the_field(registered: Run, pair_files: PairFiles) -> None:
    jacobian = registered.report["jacobian"]
    assert jacobian.keys() == {"percent_nonpositive", "minimum", "std_log", "percentile_1", "percentile_99"}
    determinants = _determinants(
        sitk.ReadTransform(str(registered.output / "transform.h5")), pair_files.pair.fixed.geometry
    )
    assert jacobian["percent_nonpositive"] == 0
    assert 0 < jacobian["minimum"] <= np.percentile(determinants, 1)
    assert jacobian["std_log"] == pytest.approx(np.log(determinants).std(), rel=0.5)


def test_the_transform_far_outside_is_the_initial_alignment_of_the_report(
    registered: Run, pair_files: PairFiles
) -> None:
    transform = sitk.ReadTransform(str(registered.output / "transform.h5"))
    assert transform.GetName() == "CompositeTransform"
    initial = np.array(registered.report["initial_matrix_fixed_to_moving_ras_mm"])
    lps = np.array([-1.0, -1.0, 1.0])
    geometry = pair_files.pair.fixed.geometry
    for direction in (*np.eye(3), *-np.eye(3)):
        point = geometry.center_mm + 500 * direction
        found = np.array(transform.TransformPoint((point * lps).tolist())) * lps
        assert found == pytest.approx(apply_affine(initial, point), abs=0.01)


def test_report_scores_are_complete(registered: Run) -> None:
    numbers = {"dice", "jaccard", "mean_distance_mm", "hd95_mm", "volume_change_percent"}
    for row in [*registered.report["structures"], registered.report["mean"]]:
        for moment in ("before", "after"):
            assert row[moment].keys() == numbers
            assert all(math.isfinite(value) for value in row[moment].values())
    mean = registered.report["mean"]["after"]["dice"]
    each = [s["after"]["dice"] for s in registered.report["structures"]]
    assert mean == pytest.approx(np.mean(each), abs=1e-5)


def _resampled(run: Run, files: PairFiles, moving: sitk.Image, interpolator: int) -> np.ndarray:
    fixed = sitk.ReadImage(str(files.fixed))
    transform = sitk.ReadTransform(str(run.output / "transform.h5"))
    background = float(sitk.GetArrayViewFromImage(moving).min())
    return sitk.GetArrayFromImage(sitk.Resample(moving, fixed, transform, interpolator, background))


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def _determinants(transform: sitk.Transform, geometry: Geometry) -> np.ndarray:
    """Jacobian determinants by central differences over 2 mm, at random points of a volume."""
    indices = np.random.default_rng(0).uniform(2, geometry.size_ijk - 3, size=(4000, 3))
    points = apply_affine(geometry.affine, indices) * (-1, -1, 1)

    def mapped(shift: np.ndarray) -> np.ndarray:
        return np.array([transform.TransformPoint(p) for p in (points + shift).tolist()])

    columns = [(mapped(e) - mapped(-e)) / 2 for e in np.eye(3)]
    return np.linalg.det(np.stack(columns, -1))
