"""The comparison's command: what is done is not done again, what fails is said, and it can be killed at any time."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.core.geometry.geometry import Geometry, homogeneous
from LightRegistrationLib.core.geometry.transforms import AffineTransform
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.training.evaluation.files import to_sitk_image

from ..analytic import phantom
from ..processes import PATIENCE_S
from .conftest import FOLDER, Finished, RunBenchmark

pytestmark = pytest.mark.usefixtures("forked_rows")
DATA = os.environ.get("LIGHTREG_DATA")


class Compared(NamedTuple):
    """The folder of a finished comparison, and what the command printed."""

    folder: Path
    finished: Finished


def make_data(folder: Path) -> Path:
    """Make a data folder with two hippocampus pairs that are phantoms."""
    folder.mkdir()
    for seed in range(3):
        stretch = np.diag(3.0 + 0.3 * np.random.default_rng(seed).uniform(-1, 1, 3))
        image, labels = phantom(Geometry((20, 20, 20), homogeneous(stretch, (-29, -29, -29))), seed)
        sitk.WriteImage(to_sitk_image(image), str(folder / f"{seed}.nii.gz"))
        sitk.WriteImage(to_sitk_image(Volume(labels.layers[0], image.affine)), str(folder / f"{seed}_labels.nii.gz"))
    pairs = [
        {
            "id": f"pair{n}",
            "anatomy": "hippocampus_t1",
            "fixed": f"{n}.nii.gz",
            "fixed_labels": f"{n}_labels.nii.gz",
            "moving": f"{n + 1}.nii.gz",
            "moving_labels": f"{n + 1}_labels.nii.gz",
            "landmarks": None,
        }
        for n in range(2)
    ]
    (folder / "manifest.json").write_text(json.dumps({"records": [], "pairs": pairs}))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_data(tmp_path / "data")


METHODS = ("--methods", "none", "demons", "affine", "ours-none", "--pairs", "1")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """A finished comparison of four methods on one pair; tests work on copies."""
    folder = tmp_path_factory.mktemp("compared")
    data = make_data(folder / "data")
    command = [sys.executable, str(FOLDER / "comparison.py"), *options(data, folder), *METHODS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Compared(folder, Finished(done.returncode, done.stdout, done.stderr))


@pytest.fixture
def compared_before(compared: Compared, tmp_path: Path, benchmark: RunBenchmark) -> RunBenchmark:
    """Runs the command with more arguments after the finished comparison."""
    shutil.copytree(compared.folder, tmp_path, dirs_exist_ok=True)
    return lambda *arguments: benchmark("comparison", *options(tmp_path / "data", tmp_path), *arguments)


@pytest.fixture
def comparison(data: Path, tmp_path: Path, benchmark: RunBenchmark) -> RunBenchmark:
    """Runs the command on the phantoms with more arguments."""
    return lambda *arguments: benchmark("comparison", *options(data, tmp_path), *arguments)


def options(data: Path, folder: Path) -> list[str]:
    places = {"data": data, "work": folder / "work", "output": folder / "results"}
    return [text for name, place in places.items() for text in (f"--{name}", str(place))] + ["--sets", "hippocampus"]


def row_files(folder: Path) -> dict[str, int]:
    return {
        f"{file.parent.name}/{file.stem}": file.stat().st_mtime_ns for file in (folder / "work/rows").rglob("*.json")
    }


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "results" / "comparison.csv").open() as stream:
        return {f"{row['pair']}/{row['method']}": row for row in csv.DictReader(stream)}


def ran(finished: Finished) -> list[str]:
    """The rows that were run, as they were printed."""
    lines = [line.split() for line in finished.stdout.splitlines() if line.startswith("hippocampus ")]
    return [f"{line[1]}/{line[2]}" for line in lines]


def test_measures_resumes_and_runs_again_only_what_changed(compared, compared_before, tmp_path):
    first, comparison, data = compared.finished, compared_before, tmp_path / "data"
    # The method demons starts from our affine stage, which was measured before it.
    assert ran(first) == [f"pair0/{name}" for name in ("none", "demons", "ours-none")]
    own = {name.removeprefix("pair0/"): row for name, row in rows(tmp_path).items()}
    dice = {name: float(row["dice"]) for name, row in own.items()}
    assert dice["none"] < 0.95
    assert dice["demons"] > dice["affine"]
    assert float(own["demons"]["folding_percent"]) == 0
    assert float(own["demons"]["cpu_seconds"]) > float(own["affine"]["cpu_seconds"]) > 0
    assert 50 < float(own["none"]["peak_mb"]) < float(own["ours-none"]["peak_mb"])
    assert float(own["demons"]["hd95_mm"]) > 0
    assert own["ours-none"]["model"]
    assert (tmp_path / "results" / "comparison.png").read_bytes().startswith(b"\x89PNG")
    table = (tmp_path / "results" / "comparison.md").read_text(encoding="utf-8")

    before = row_files(tmp_path)
    again = comparison(*METHODS)
    assert ran(again) == []
    assert row_files(tmp_path) == before
    assert (tmp_path / "results" / "comparison.md").read_text(encoding="utf-8") == table

    kept = tmp_path / "work/rows/hippocampus/pair0/ours-none.json"
    kept.write_text(
        json.dumps({**json.loads(kept.read_text(encoding="utf-8")), "weights": "those of another training"})
    )
    assert ran(comparison(*METHODS)) == ["pair0/ours-none"]

    assert ran(comparison("--methods", "none")) == ["pair1/none"]
    image = sitk.ReadImage(str(data / "0.nii.gz"))
    sitk.WriteImage(image + 1, str(data / "0.nii.gz"))
    assert ran(comparison("--methods", "none")) == ["pair0/none"]
    assert ran(comparison("--methods", "none", "--pairs", "1", "--again", "none")) == ["pair0/none"]
    assert ran(comparison("--methods", "none", "--pairs", "1", "--threads", "2")) == ["pair0/none"]


def test_a_method_that_fails_leaves_its_error_and_the_others_go_on(comparison, data, tmp_path):
    image = sitk.ReadImage(str(data / "1.nii.gz"))
    sitk.WriteImage(image * 0, str(data / "1.nii.gz"))
    done = comparison("--methods", "affine", "none", "--pairs", "1")
    assert done.status == 0, done.stderr
    found = rows(tmp_path)
    assert "all voxels have the same value" in found["pair0/affine"]["error"]
    assert float(found["pair0/none"]["dice"]) > 0
    assert "all voxels have the same value" in (tmp_path / "results" / "comparison.md").read_text(encoding="utf-8")
    assert ran(comparison("--methods", "affine", "none", "--pairs", "1")) == ["pair0/affine"]  # tried again
    assert ran(comparison("--methods", "affine", "none", "--pairs", "1", "--report-only")) == []
    assert rows(tmp_path)["pair0/affine"]["error"] == found["pair0/affine"]["error"]


def test_a_process_that_breaks_down_is_an_error_row(benchmark, data, tmp_path):
    import comparison
    from compare.plan import SETS, Task
    from peers.method import Start

    pair = SETS["hippocampus"].pairs(data, tmp_path)[0]
    pair.moving.write_bytes(b"no image")
    start = Start(AffineTransform.identity())
    row = comparison.run(Task("hippocampus", pair, "demons", start=start), tmp_path)
    assert "Unable to determine ImageIO reader" in row["error"]
    assert json.loads((tmp_path / "rows/hippocampus/pair0/demons.json").read_text(encoding="utf-8")) == row


def test_a_peer_from_our_affine_stage_is_run_again_only_if_the_map_changes(compared_before, tmp_path):
    comparison, methods = compared_before, ("--methods", "demons", "--pairs", "1")
    kept = tmp_path / "work/rows/hippocampus/pair0/affine.json"
    values = json.loads(kept.read_text(encoding="utf-8"))
    seconds = values["cpu_seconds"]
    kept.write_text(json.dumps({**values, "cpu_seconds": seconds + 100}))
    assert ran(comparison(*methods)) == []
    values["matrix"][0][3] += 1e-9
    kept.write_text(json.dumps({**values, "cpu_seconds": seconds + 100}))
    assert ran(comparison(*methods)) == ["pair0/demons"]
    assert float(rows(tmp_path)["pair0/demons"]["cpu_seconds"]) > 100  # the affine stage is part of it


def test_a_peer_has_no_start_where_our_affine_stage_fails(comparison, data, tmp_path):
    image = sitk.ReadImage(str(data / "1.nii.gz"))
    sitk.WriteImage(image * 0, str(data / "1.nii.gz"))
    assert comparison("--methods", "demons", "--pairs", "1").status == 0
    assert rows(tmp_path)["pair0/demons"]["error"] == "our affine stage failed on this pair"


def test_rows_of_peers_are_taken_over_from_an_earlier_table(compared_before, tmp_path):
    comparison, data, methods = compared_before, tmp_path / "data", ("--methods", "none", "affine", "--pairs", "1")
    earlier, before = tmp_path / "earlier.csv", rows(tmp_path)
    (tmp_path / "results" / "comparison.csv").rename(earlier)
    shutil.rmtree(tmp_path / "work")
    assert ran(comparison(*methods, "--rows", earlier)) == ["pair0/affine"]  # ours are always measured
    assert rows(tmp_path)["pair0/none"] == before["pair0/none"]
    assert before["pair0/none"]["processor"]

    image = sitk.ReadImage(str(data / "0.nii.gz"))
    sitk.WriteImage(image + 1, str(data / "0.nii.gz"))
    older = comparison("--methods", "none", "affine", "--pairs", "1", "--rows", earlier, "--keep-older")
    assert ran(older) == ["pair0/affine"]
    assert "Kept from an earlier run" in (tmp_path / "results" / "comparison.md").read_text(encoding="utf-8")
    assert ran(comparison("--methods", "none", "--pairs", "1", "--rows", earlier)) == ["pair0/none"]


def is_installed(package: str) -> bool:
    try:
        return bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


@pytest.mark.skipif(is_installed("itk-elastix"), reason="elastix is installed here")
def test_a_missing_package_is_named_and_an_old_row_of_the_peer_is_kept(comparison, data, tmp_path):
    assert comparison("--methods", "elastix", "--pairs", "1").status == 0
    wanted = 'needs itk-elastix==0.25.4, found none: pip install ".[benchmarks]".'
    assert wanted in rows(tmp_path)["pair0/elastix"]["error"]
    file = tmp_path / "work/rows/hippocampus/pair0/elastix.json"
    measures = dict.fromkeys(("dice", "hd95_mm", "tre_mm", "folding_percent", "std_log_jacobian"), 0.5)
    row = {**json.loads(file.read_text(encoding="utf-8")), **measures, "error": ""}
    file.write_text(json.dumps({**row, "seconds": 1.0, "cpu_seconds": 1.0, "peak_mb": 1.0, "threads": 1}))
    assert ran(comparison("--methods", "elastix", "--pairs", "1")) == []
    assert float(rows(tmp_path)["pair0/elastix"]["dice"]) == 0.5


def test_goes_on_where_it_was_killed(comparison, data, tmp_path):
    methods = ("--methods", "none", "affine")
    command = [sys.executable, str(FOLDER / "comparison.py"), *options(data, tmp_path), *methods]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        command, env={**os.environ, "TMPDIR": str(temporary)}, start_new_session=True, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + PATIENCE_S
    while not row_files(tmp_path) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = row_files(tmp_path)
    assert 1 <= len(before) < 4
    done = comparison(*methods)
    assert done.status == 0, done.stderr
    assert set(ran(done)) == {f"pair{n}/{m}" for n in range(2) for m in methods[1:]} - set(before)
    after = row_files(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(rows(tmp_path)) == 4


def test_each_process_has_the_threads_that_were_asked_for(benchmark):
    from compare.process import environment

    code = "import torch, SimpleITK; print(torch.get_num_threads(), end=' ');"
    code += "print(SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads())"
    done = subprocess.run([sys.executable, "-c", code], env=environment(1), capture_output=True, text=True)
    assert done.stdout.split() == ["1", "1"], done.stderr


def test_nothing_to_report_is_said(comparison):
    done = comparison("--report-only")
    assert done.status == 2
    assert "there is no row to report" in done.stderr


@pytest.mark.data
@pytest.mark.skipif(DATA is None, reason="LIGHTREG_DATA is not set: the comparison was NOT tried on real pairs")
def test_landmarks_of_a_real_pair(benchmark, tmp_path):
    folders: tuple[Any, ...] = ("--data", DATA, "--work", tmp_path / "work", "--output", tmp_path / "results")
    arguments = ("--sets", "lung", "--pairs", "1", "--methods", "none", "affine")
    done = benchmark("comparison", *folders, *arguments)
    assert done.status == 0, done.stderr
    found = {row["method"]: float(row["tre_mm"]) for row in rows(tmp_path).values()}
    assert 4 < found["none"] < 8
    assert found["affine"] < found["none"] - 1
