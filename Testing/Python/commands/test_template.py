"""`template`: the mean of a group whose mean is known, order and stops that change nothing, and wrong groups."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.commands.phantom.anatomy import evaluate_anatomy
from LightRegistrationLib.commands.template import build_template
from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import Geometry, homogeneous

from .. import quick_model
from ..command_line import QUICK, run_command, start_command
from ..processes import PATIENCE_S
from .conftest import Run, write_image

HAS_DASK = importlib.util.find_spec("distributed") is not None
LPS = np.array([-1.0, -1.0, 1.0])
SPACING_MM = 6.0
SIZE = np.array([30, 35, 31])
GRID = Geometry((31, 35, 30), homogeneous(SPACING_MM * np.eye(3), np.array([0, -2, -6]) - SPACING_MM * (SIZE - 1) / 2))
_STRETCHES = np.array([[1.0, -1.0, 0.5], [-1.0, 0.5, 1.0], [0.0, 0.5, -1.5]])
"""How much each scan is stretched along R, A, S; their sum is 0."""
OPTIONS = ("--workers", "1", "--iterations", "1", "--start", "one", "--refine", "none", "--probabilities", *QUICK)


def displace(points_mm: np.ndarray, scan: int) -> np.ndarray:
    """The displacements from the mean anatomy to a scan; those of all scans have the mean 0."""
    return 6.0 * np.sin(points_mm / (28.0, 33.0, 30.0)) * _STRETCHES[scan]


def find_anatomy(points_mm: np.ndarray, scan: int) -> np.ndarray:
    """Map points of a scan back to the mean anatomy."""
    found = points_mm.copy()
    for _ in range(50):
        found = points_mm - displace(found, scan)
    return found


@dataclass(frozen=True)
class GroupFiles:
    """A group on disk, and the points of the brain (n, 3), RAS mm, and labels (k, j, i) of its mean anatomy."""

    folder: Path
    rows: list[str]
    brain_mm: np.ndarray
    labels: np.ndarray

    def write_list(self, name: str, rows: list[str]) -> Path:
        path = self.folder / name
        path.write_text("\n".join(["id,image,labels", *rows]) + "\n", encoding="utf-8")
        return path


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> GroupFiles:
    folder = tmp_path_factory.mktemp("group")
    rng = np.random.default_rng(5)
    rows = []
    for scan, name in enumerate(("zero", "one", "two")):
        anatomy = evaluate_anatomy(find_anatomy(GRID.points_mm, scan).astype(np.float32))
        gain = (700, 90, 2500)[scan]
        image = gain * (anatomy.brightness + 0.02 * rng.standard_normal(GRID.shape))
        write_image(image.clip(0).astype(np.int16), GRID.affine, folder / f"{name}.nii.gz")
        write_image(anatomy.labels, GRID.affine, folder / f"{name}_labels.nii.gz")
        rows.append(f"{name},{name}.nii.gz,{name}_labels.nii.gz")
    labels = evaluate_anatomy(GRID.points_mm.astype(np.float32)).labels
    return GroupFiles(folder, rows, GRID.points_mm[labels > 0][::3], labels)


@pytest.fixture(scope="module")
def built(group: GroupFiles, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The template in one unbroken run."""
    output = tmp_path_factory.mktemp("built") / "out"
    done = run_command("template", group.write_list("list.csv", group.rows), "--output", output, *OPTIONS)
    return Run(done.returncode, done.stdout, done.stderr, output)


def read_summary(output: Path) -> dict[str, Any]:
    return json.loads((output / "template.json").read_text(encoding="utf-8"))


def find_in_anatomy(run: Run, points_mm: np.ndarray) -> list[np.ndarray]:
    """Map points of the template to the mean anatomy, through each scan, with SimpleITK."""
    found = []
    for scan, name in enumerate(("zero", "one", "two")):
        transform = sitk.ReadTransform(str(run.output / "transforms" / f"{name}.h5"))
        in_scan = np.array([transform.TransformPoint(p) for p in (points_mm * LPS).tolist()]) * LPS
        found.append(find_anatomy(in_scan, scan))
    return found


def measure_shape_error(points_mm: np.ndarray, found_mm: np.ndarray) -> float:
    """The RMS distance, mm, after the best rigid motion."""
    points, found = points_mm - points_mm.mean(0), found_mm - found_mm.mean(0)
    left, _, right = np.linalg.svd(points.T @ found)
    return float(np.sqrt(((points @ left @ right - found) ** 2).sum(-1).mean()))


def test_the_template_has_the_mean_shape_of_the_group_whatever_scan_is_first(built: Run, group: GroupFiles) -> None:
    assert (built.status, built.stderr) == (0, ""), built.stderr
    assert "Mean of 3 scans; iteration 1, the last one, changed it by" in built.stdout
    scans = [measure_shape_error(group.brain_mm, group.brain_mm + displace(group.brain_mm, n)) for n in range(3)]
    assert min(scans) > 4
    found = find_in_anatomy(built, group.brain_mm)
    assert measure_shape_error(group.brain_mm, np.mean(found, axis=0)) < 0.35
    spread = [measure_shape_error(group.brain_mm, one) for one in found]
    assert max(spread) < 3, "each scan corresponds to the mean anatomy"
    summary = read_summary(built.output)
    assert summary["start"] == "one"
    assert summary["sharpness"]["ratio"] > 1.05
    assert np.mean([scan["size"] for scan in summary["scans"]]) == pytest.approx(1, abs=0.01)
    assert [i["number"] for i in summary["iterations"]] == [0, 1]


def test_images_labels_and_probabilities_lie_on_one_grid(built: Run, group: GroupFiles) -> None:
    summary = read_summary(built.output)
    images = {name: built.image(name) for name in ("template.nii.gz", "affine_mean.nii.gz", "labels.nii.gz")}
    for image in images.values():
        assert image.GetSize() == tuple(reversed(summary["grid"]["shape_kji"]))
        np.testing.assert_allclose(image.GetOrigin(), np.array(summary["grid"]["affine_ras"])[:3, 3] * LPS, atol=1e-4)
    labels = sitk.GetArrayFromImage(images["labels.nii.gz"])
    template = sitk.GetArrayFromImage(images["template.nii.gz"])
    assert np.median(template[template > template.mean()]) == pytest.approx(1000, rel=0.25), "gains do not matter"
    # The labels of the template, moved to the mean anatomy by the shape test's transforms, are those of the anatomy.
    affine = np.array(summary["grid"]["affine_ras"])
    voxels = np.argwhere(labels > 0)[::5]
    points = voxels[:, ::-1] @ affine[:3, :3].T + affine[:3, 3]
    anatomy = evaluate_anatomy(np.mean(find_in_anatomy(built, points), axis=0)[:, None, None].astype(np.float32))
    agreement = anatomy.labels.ravel() == labels[tuple(voxels.T)]
    assert agreement.mean() > 0.7
    found = {row["value"]: row for row in summary["structures"]}
    assert set(found) == set(np.unique(group.labels)) - {0}
    name = "Label_" + str(max(found, key=lambda value: found[value]["voxels"]))
    share = sitk.GetArrayFromImage(built.image(f"probabilities/{name}.nii.gz"))
    np.testing.assert_allclose(np.unique(share), [0, 1 / 3, 2 / 3, 1], atol=1e-6)
    picture = sitk.GetArrayFromImage(sitk.ReadImage(str(built.output / "template.png")))
    assert picture.shape[2] == 3
    assert picture.std() > 20


def test_a_killed_run_of_another_order_ends_with_the_same_template(
    built: Run, group: GroupFiles, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    arguments = ("template", group.write_list("reversed.csv", group.rows[::-1]), "--output", output, *OPTIONS)
    running = start_command(*arguments)
    deadline = time.monotonic() + PATIENCE_S
    while not list((output / "work").glob("01.scans/*.map")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait().returncode != 0
    assert not (output / "template.json").exists()
    first = (output / "work" / "00" / "record.json").stat().st_mtime_ns
    # The rest in two processes; the later option counts.
    done = run_command(*arguments, *(("--workers", "2") if HAS_DASK else ()))
    assert (done.returncode, done.stderr) == (0, "")
    assert (output / "work" / "00" / "record.json").stat().st_mtime_ns == first, "a finished iteration is made again"
    for name in ("template.nii.gz", "affine_mean.nii.gz", "labels.nii.gz", "template.png"):
        assert (output / name).read_bytes() == (built.output / name).read_bytes(), name
    points = np.random.default_rng(2).uniform(-60, 60, (50, 3)).tolist()
    for name in ("zero", "one", "two"):
        one, other = (sitk.ReadTransform(str(o / "transforms" / f"{name}.h5")) for o in (output, built.output))
        assert [one.TransformPoint(p) for p in points] == [other.TransformPoint(p) for p in points]
    assert {p.name for p in (output / "work").iterdir()} == {"00", "01", "group.json"}
    before = (output / "template.json").stat().st_mtime_ns
    again = run_command(*arguments)
    assert (again.returncode, "holds this template already" in again.stdout) == (0, True)
    assert (output / "template.json").stat().st_mtime_ns == before


# Wrong groups


@pytest.mark.parametrize("spacing_mm", [0.0, 1e-9, 1e9, float("nan")])
def test_a_voxel_size_that_no_template_has_is_refused(group: GroupFiles, tmp_path: Path, spacing_mm: float) -> None:
    scans = group.write_list("two.csv", ["a,zero.nii.gz,", "b,one.nii.gz,"])
    with pytest.raises(InputError, match=r"out of range; use 0\.1 to 20 mm"):
        build_template(scans, tmp_path / "out", spacing_mm=spacing_mm, workers=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,zero.nii.gz,"], "2 or more scans are needed, but there is 1"),
        (["a,zero.nii.gz,", "b,one.nii.gz,one_labels.nii.gz"], "line 2: the scan has no labels, but others have"),
        (["a,zero.nii.gz,", "A,one.nii.gz,"], "line 3: 'A' occurs twice"),
        (["a,zero.nii.gz,", "b,absent.nii.gz,"], "line 3: 'image': there is no file absent.nii.gz"),
        (["a,zero.nii.gz,", "b,zero.nii.gz,"], "are the same image, which would count twice"),
    ],
)
def test_wrong_lists_are_refused_with_their_line(
    group: GroupFiles, tmp_path: Path, rows: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        build_template(group.write_list("wrong.csv", rows), tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_a_bad_scan_is_refused_before_anything_starts(group: GroupFiles, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.nii.gz"
    damaged.write_bytes((group.folder / "two.nii.gz").read_bytes()[:3000])
    scans = [group.folder / "zero.nii.gz", damaged, group.folder / "one.nii.gz"]
    with pytest.raises(InputError, match=r"damaged\.nii\.gz: .*damaged"):
        build_template(scans, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()
    labels = group.write_list("labels.csv", [group.rows[0], "one,one.nii.gz,zero.nii.gz"])
    with pytest.raises(InputError, match=r"zero\.nii\.gz: this looks like a scan|zero\.nii\.gz: not a label map"):
        build_template(labels, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_folders_with_other_content_are_left_alone(built: Run, group: GroupFiles, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    files = [group.folder / "zero.nii.gz", group.folder / "one.nii.gz"]
    with pytest.raises(InputError, match="the folder is not empty"):
        build_template(files, tmp_path, workers=1)
    with pytest.raises(InputError, match="a template of other scans or settings"):
        build_template(files, built.output, workers=1)
    with pytest.raises(InputError, match="There is no scan 'three' in the group; its scans are: zero, one"):
        build_template(files, tmp_path / "out", start="three", workers=1)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_scan_that_cannot_be_registered_ends_the_command_with_its_name(group: GroupFiles, tmp_path: Path) -> None:
    far = sitk.ReadImage(str(group.folder / "one.nii.gz"))
    far.SetOrigin((5000.0, 0.0, 0.0))
    sitk.WriteImage(far, str(tmp_path / "far.nii.gz"))
    files = [group.folder / "zero.nii.gz", tmp_path / "far.nii.gz"]
    with pytest.raises(InputError, match=r"^far: The two volumes do not overlap.*what is done is kept"):
        build_template(files, tmp_path / "out", initial="none", model=quick_model.NAME, workers=1, start="zero")
    assert os.listdir(tmp_path / "out") == ["work"]
