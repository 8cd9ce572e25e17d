"""The ablation in small: what it trains, that its runs differ in nothing else, and that it does nothing twice."""

from __future__ import annotations

import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.core.geometry.geometry import Geometry, homogeneous
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.training.evaluation.files import to_sitk_image
from LightRegistrationLib.training.evaluation.tables import summarize_method
from LightRegistrationLib.training.state import load_state

from ..analytic import phantom
from .conftest import Finished, RunBenchmark

COMMON = """
seed = 1
[[source]]
kind = "images"
files = "scans/p?.nii.gz"
labels = "{stem}_labels.nii.gz"
[[stage]]
spacing_mm = 4
steps = 4
rate = 2e-2
final_rate = 2e-2
"""
TEACHER = f'kind = "teacher"\nname = "toy-teacher"\n{COMMON}\n[teacher]\ncascades = 1\nchannels = 2\n'
STUDENT = f"""kind = "distillation"
name = "toy-student"
bfloat16 = false
validate_steps = 2
validation_pairs = 1
{COMMON}
smoothness = 0.1
[knowledge]
every = 1
until = 4
[critic]
channels = [4, 8]
form = "relativistic"
[store]
pairs = 3
seed = 1
[grid]
spacing_mm = 4.0
min_voxels = 16
[intensity]
kind = "percentile"
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A data folder of four phantoms, two of which make the validation pairs, and the configurations."""
    scans = tmp_path / "scans"
    scans.mkdir()
    for seed in range(4):
        stretch = np.diag(4.0 + 0.3 * np.random.default_rng(seed).uniform(-1, 1, 3))
        image, labels = phantom(Geometry((30, 30, 30), homogeneous(stretch, (-58, -58, -58))), seed)
        # The validation scans have another name, so that the pattern leaves them out.
        name = f"p{seed}" if seed < 2 else f"val{seed}"
        sitk.WriteImage(to_sitk_image(image), str(scans / f"{name}.nii.gz"))
        sitk.WriteImage(to_sitk_image(Volume(labels.layers[0], image.affine)), str(scans / f"{name}_labels.nii.gz"))
    names = {"fixed": "val2", "moving": "val3"}
    files = {role: f"scans/{name}.nii.gz" for role, name in names.items()}
    files |= {f"{role}_labels": f"scans/{name}_labels.nii.gz" for role, name in names.items()}
    pairs = [{"id": "pair", "anatomy": "phantoms", "landmarks": None, **files}]
    (tmp_path / "manifest.json").write_text(json.dumps({"records": [], "pairs": pairs}))
    (tmp_path / "ablation-teacher.toml").write_text(TEACHER)
    (tmp_path / "ablation-student.toml").write_text(STUDENT)
    return tmp_path


@pytest.fixture
def ablation(study: Path, benchmark: RunBenchmark) -> RunBenchmark:
    """Runs the command on the study with more arguments."""
    folders = {"data": study, "configs": study, "runs": study / "runs", "output": study / "results"}
    options = [text for name, folder in folders.items() for text in (f"--{name}", str(folder))]
    return lambda *arguments: benchmark("ablation", *options, "--group", "phantoms", "--threads", "1", *arguments)


def test_trains_evaluates_and_reports_and_does_nothing_twice(study, ablation):
    results = study / "results"
    arguments = ("--kinds", "none", "adversarial", "--seeds", "1", "2", "--steps", "3")
    done = ablation(*arguments)
    assert done.status == 0, done.stderr
    assert trainings(done) == [
        "teacher-network",
        *(
            f"{run}-seed{seed}"
            for seed in (1, 2)
            for run in ("none-1", "adversarial-network-1", "adversarial-refinement-1")
        ),
    ]
    table = (results / "ablation.md").read_text(encoding="utf-8")
    for line in ("before", "affine", "teacher (network)", "teacher (refinement)", "l_rec only", "+ ALDK (network)"):
        assert f"| {line}" in table
    assert "3 steps for every student, 4 for the teacher network, 3 pairs in the store" in table
    assert (results / "ablation.png").read_bytes().startswith(b"\x89PNG")

    report = json.loads((results / "ablation.json").read_text(encoding="utf-8"))
    students = [row for row in report["rows"] if (row["kind"], row["teacher"]) == ("adversarial", "refinement")]
    assert [row["seed"] for row in students] == [1, 2]
    scores = {run.run.name: run for run in read(results).values()}
    assert len(scores) == 8
    states = [load_state(file) for file in study.rglob("state.pt") if file.parent.name != "teacher-network"]
    sums = {sum(float(tensor.abs().double().sum()) for tensor in state["student"].values()) for state in states}
    assert len(sums) == len(states) == 6  # no two students are the same
    mean, spread = np.mean([r["dice"] for r in students]), np.std([r["dice"] for r in students], ddof=1)
    assert f"{mean:.4f} ± {spread:.4f}" in table
    dice = {name: summarize_method(name, run.records).mean["dice"] for name, run in scores.items()}
    gains = [row["dice"] - dice[f"none-1-seed{row['seed']}"] for row in students]
    assert f"{np.mean(gains):+.4f}" in table
    assert [line["step"] for line in scores["none-1-seed1"].curve] == [0, 2, 3]
    assert scores["none-1-seed1"].teaching_cpu_seconds == 0 < scores["adversarial-refinement-1-seed1"].cpu_seconds
    store, network = (scores[f"adversarial-{t}-1-seed1"].teaching_cpu_seconds for t in ("refinement", "network"))
    assert network >= scores["teacher-network"].cpu_seconds > 0
    assert store >= 0


def test_finished_runs_are_kept_in_the_results_and_others_are_added(study, ablation):
    results, arguments = study / "results", ("--teachers", "refinement", "--steps", "3")
    first = ablation(*arguments, "--kinds", "none", "--seeds", "1")
    assert trainings(first) == ["none-1-seed1"]
    kept = (results / "ablation.csv").read_text(encoding="utf-8")
    shutil.rmtree(study / "runs")
    again = ablation(*arguments, "--kinds", "none", "--seeds", "1", "--report-only")
    assert again.status == 0, again.stderr
    assert trainings(again) == []
    assert (results / "ablation.csv").read_text(encoding="utf-8") == kept

    teachers = ("--teachers", "refinement", "refreshed", *arguments[2:])
    more = ablation(*teachers, "--kinds", "none", "distance", "--seeds", "1")
    assert trainings(more) == ["distance-refinement-1-seed1", "distance-refreshed-1-seed1"]
    finished = {run.run.name: run for run in read(results).values()}
    assert finished.keys() == {
        "teacher-refinement",
        "none-1-seed1",
        "distance-refinement-1-seed1",
        "distance-refreshed-1-seed1",
    }
    assert finished["distance-refreshed-1-seed1"].steps == 3
    assert len(list((study / "runs" / "store-refinement" / "4mm").glob("refreshed-*"))) == 1
    table = (results / "ablation.md").read_text(encoding="utf-8")

    other = ablation(*arguments[:-1], "4", "--kinds", "distance", "--seeds", "1")
    assert other.status == 2
    assert "was made with another" in other.stderr
    assert "choose another folder --runs" in other.stderr
    assert (results / "ablation.md").read_text(encoding="utf-8") == table


def test_sizes_are_counted_and_every_student_is_trained_once(study, benchmark):
    folders = {"data": study, "configs": study, "runs": study / "runs", "output": study / "results"}
    arguments = [text for name, folder in folders.items() for text in (f"--{name}", str(folder))]
    arguments += ["--group", "phantoms", "--threads", "1", "--repetitions", "1", "--shape", "32", "32", "32"]
    done = benchmark("student_sizes", *arguments, "--seeds", "1")
    assert done.status == 0, done.stderr
    assert trainings(done) == ["none-1-seed1", "none-published-1-seed1", "none-tiny-1-seed1"]
    rows = {row["name"]: row for row in json.loads((study / "results" / "student_sizes.json").read_text())["rows"]}
    assert rows["published"]["parameters"] == 1_548_643
    assert rows["tiny"]["parameters"] <= 300_000
    # Layer by layer: kernel x inputs x outputs x voxels of the output (of the input, where it is transposed).
    down = [64 * a * b * (32 // s) ** 3 for a, b, s in ((2, 8, 2), (8, 16, 4), (16, 32, 8), (32, 40, 16))]
    up = [64 * a * b * (32 // s) ** 3 for a, b, s in ((40, 32, 16), (64, 16, 8), (32, 8, 4))]
    # The images in both orders; the last layer sees the difference of both, once.
    assert rows["tiny"]["macs"] == 2 * (sum(down) + sum(up)) + 27 * 16 * 3 * 16**3
    table = (study / "results" / "student_sizes.md").read_text(encoding="utf-8")
    dice = [row["seeds"]["1"]["dice"] for row in rows.values()]
    tiny = load_state(study / "runs" / "none-tiny-1-seed1" / "state.pt")["student"]
    assert sum(tensor.numel() for tensor in tiny.values()) == rows["tiny"]["parameters"]
    assert all(f"{value:.4f}" in table for value in dice)
    assert {run.run.student for run in read(study / "results").values()} == {"", "published", "tiny"}
    assert trainings(benchmark("student_sizes", *arguments, "--seeds", "1")) == []


def trainings(done: Finished) -> list[str]:
    """The runs that a command trained, in order."""
    lines = done.stdout.splitlines()
    return [line.removeprefix("training ") for line in lines if line.startswith("training ")]


def read(results: Path) -> dict[str, Any]:
    """The finished runs in the results, by key."""
    return import_module("ablation_rows").read_finished(results)


def test_missing_configurations_and_runs_are_said(study, ablation):
    assert "no student is finished" in ablation("--report-only").stderr
    (study / "results" / "ablation.csv").write_text("pair,dice\na,0.5\n", encoding="utf-8")
    assert "was not written by this version" in ablation("--report-only").stderr
    (study / "ablation-teacher.toml").unlink()
    done = ablation()
    assert done.status == 2
    assert "ablation-teacher.toml: there is no such file" in done.stderr
