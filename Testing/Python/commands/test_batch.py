"""`batch`: what is planned, what is done again, what a failure costs; with real processes where Dask is installed.

Processes that are killed, and a scheduler that runs already: `test_batch_kills.py`.
"""

from __future__ import annotations

import base64
import csv
import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from LightRegistrationLib.commands.batch.plan import Shape, arrange_pairs, plan_processes
from LightRegistrationLib.commands.batch.settings import BatchSettings
from LightRegistrationLib.commands.batch.summary import write_summary
from LightRegistrationLib.commands.batch.task import KEY_FILE, Task, compute_key, make_hasher
from LightRegistrationLib.commands.files.output_folder import staging_folder
from LightRegistrationLib.commands.register.request import FilesRequest
from LightRegistrationLib.core.errors import FullDiskError, InputError
from LightRegistrationLib.core.result.settings import RegistrationSettings
from LightRegistrationLib.training.evaluation.pairs import read_pairs

from ..command_line import run_command
from .batch_study import HAS_DASK, LANDMARKS, make_arguments, needs_dask, read_states
from .conftest import Run, check_schema


def write_list(folder: Path, rows: list[str], header: str = "fixed,moving,fixed_labels,moving_labels") -> Path:
    for row in rows:
        for name in filter(None, row.split(",")[:4]):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    path = folder / "pairs.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8-sig")
    return path


# Which pairs


@pytest.mark.parametrize("shape", list(Shape))
def test_each_pair_has_a_folder_name_of_its_own(tmp_path: Path, shape: Shape) -> None:
    """Whatever the files are called: other alphabets, long names, names that differ by case or by what is replaced."""
    names = ["漢" * 70 + ".nii", "x" * 200 + ".nii", "y" * 100 + "x" * 100 + ".nii", "a b.nii", "a;b.nii", "A_b.nii"]
    rows = [f"{first},{second},," for first, second in zip(names, names[1:] + [".nii"], strict=True)]
    pairs = arrange_pairs(read_pairs(write_list(tmp_path, rows)), shape)
    folders = {pair.name.casefold() for pair in pairs}
    assert len(folders) == len(pairs)
    for pair in pairs:
        (tmp_path / "pairs" / pair.name).mkdir(parents=True)
        assert (tmp_path / "pairs" / pair.name).parent == tmp_path / "pairs"


def test_an_id_that_names_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nii").touch()
    for name in ("..", "..."):
        (tmp_path / "pairs.csv").write_text(f"fixed,moving,id\na.nii,a.nii,{name}\n")
        with pytest.raises(InputError, match="names no folder"):
            read_pairs(tmp_path / "pairs.csv")


def test_ids_that_differ_by_case_only_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nii").touch()
    (tmp_path / "pairs.csv").write_text("fixed,moving,id\na.nii,a.nii,Left\na.nii,a.nii,left\n")
    with pytest.raises(InputError, match="the id 'left' occurs twice"):
        read_pairs(tmp_path / "pairs.csv")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Shape.PAIRS, ["a__b", "c__a"]),
        (Shape.ALL_TO_ONE, ["b_to_a", "c_to_a"]),
        (Shape.ATLAS_TO_ALL, ["b_to_a", "b_to_c"]),
        (Shape.ALL_TO_ALL, ["b_to_a", "c_to_a", "a_to_b", "c_to_b", "a_to_c", "b_to_c"]),
    ],
)
def test_shapes_of_work(tmp_path: Path, shape: Shape, expected: list[str]) -> None:
    listed = read_pairs(write_list(tmp_path, ["a.nii,b.nii,,", "c.nii,a.nii,cl.nii,al.nii"]))
    pairs = arrange_pairs(listed, shape)
    assert [pair.name for pair in pairs] == expected
    for pair in pairs if shape != Shape.PAIRS else []:
        assert pair.name == f"{pair.moving.stem}_to_{pair.fixed.stem}"
        # Labels belong to a volume, whichever row names them.
        labels = {"a": tmp_path / "al.nii", "b": None, "c": tmp_path / "cl.nii"}
        assert (pair.fixed_labels, pair.moving_labels) == (labels[pair.fixed.stem], labels[pair.moving.stem])


def test_files_of_one_name_in_several_folders_stay_apart(tmp_path: Path) -> None:
    listed = read_pairs(write_list(tmp_path, ["s1/t1.nii.gz,s2/t1.nii.gz,,", "s1/t1.nii.gz,other.nrrd,,"]))
    names = [pair.name for pair in arrange_pairs(listed, Shape.ALL_TO_ALL)]
    assert len(set(names)) == 6
    assert "s2-t1_to_s1-t1" in names
    assert all(re.fullmatch(r"[\w-]+", name) for name in names)


def test_lists_that_contradict_themselves_are_refused(tmp_path: Path) -> None:
    listed = read_pairs(write_list(tmp_path, ["a.nii,b.nii,one.nii,b1.nii", "a.nii,c.nii,two.nii,c1.nii"]))
    with pytest.raises(InputError, match=r"a\.nii: the list gives it two label maps"):
        arrange_pairs(listed, Shape.ALL_TO_ONE)
    listed = read_pairs(write_list(tmp_path, ["a.nii,a.nii,,"]))
    with pytest.raises(InputError, match="one volume only"):
        arrange_pairs(listed, Shape.ALL_TO_ALL)


# How many processes


def test_processes_fit_cores_and_memory() -> None:
    def plan(*arguments: int, **chosen: float) -> tuple[int, int]:
        processes = plan_processes(*arguments, **chosen)  # type: ignore[arg-type]
        return processes.workers, processes.threads

    assert plan(100, 16, 200) == (16, 1)
    assert plan(100, 16, 12) == (3, 5), "memory for three processes; the cores are shared among them"
    assert plan(2, 16, 200) == (2, 8), "no more processes than pairs"
    assert plan(100, 2, 1) == (1, 2)
    assert plan(100, 16, 200, threads=4) == (4, 4)
    assert plan(100, 16, 200, workers=3) == (3, 5)
    assert plan(100, 16, 200, memory_gb=40) == (4, 4)
    assert plan_processes(100, 4, 20).memory_gb == pytest.approx(4)
    for wrong in ({"workers": 0}, {"threads": 0}, {"memory_gb": 0}):
        with pytest.raises(InputError, match="too little"):
            plan_processes(10, 4, 20, **wrong)  # type: ignore[arg-type]
    for memory_gb in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="is no amount"):
            plan_processes(10, 4, 20, memory_gb=memory_gb)
    assert plan(2, 16, 200, workers=64) == (2, 8)
    with pytest.raises(InputError, match="100000 processes are too many for 16 cores; use 64"):
        plan(100, 16, 200, workers=100_000)


# What is done, and what has to be done again


@pytest.fixture
def task(tmp_path: Path) -> Task:
    for name in ("fixed.nii", "moving.nii"):
        (tmp_path / name).write_text(name)
    request = FilesRequest(tmp_path / "fixed.nii", tmp_path / "moving.nii")
    key = compute_key(request, make_hasher())
    return Task("one", request, tmp_path / "pairs" / "one", tmp_path / "failed" / "one.json", key)


def test_the_key_changes_with_all_that_the_result_depends_on(task: Task) -> None:
    request = task.request

    def changed(**values: object) -> bool:
        return compute_key(replace(request, **values), make_hasher()) != task.key  # type: ignore[arg-type]

    def settings(**values: object) -> RegistrationSettings:
        return replace(request.settings, **values)  # type: ignore[arg-type]

    assert not changed()
    assert not changed(settings=settings(threads=3))
    assert changed(settings=settings(refine="fast"))
    assert changed(settings=settings(cascades=1))
    assert changed(settings=settings(model="general"))
    assert changed(initial="none")
    assert changed(inverse=True)
    assert changed(moving=request.fixed)
    request.moving.write_text("another content")
    assert changed()


def test_only_a_whole_result_of_the_same_work_is_done(task: Task) -> None:
    assert not task.is_done()
    with staging_folder(task.folder) as folder:
        (folder / KEY_FILE).write_text(json.dumps({"key": task.key}))
        assert not task.is_done(), "not yet in its place"
        (folder / "report.json").write_text("{}")
    assert task.is_done()
    assert not replace(task, key="other").is_done()
    (task.folder / KEY_FILE).write_text('{"key": "half')
    assert not task.is_done()


def test_failures_are_kept_for_the_same_work_only(task: Task) -> None:
    assert task.read_failure() is None
    task.write_failure("moving.nii: damaged.")
    assert task.read_failure() == "moving.nii: damaged."
    assert replace(task, key="other").read_failure() is None


# Table and page


def test_the_page_shows_the_worst_first_and_trusts_no_text(task: Task, registered: Run, tmp_path: Path) -> None:
    tasks = []
    for name, dice in (("good", 0.9), ("poor", 0.4), ("<b>failed</b>", None), ("missing", None)):
        one = replace(task, name=name, folder=tmp_path / "pairs" / f"{len(tasks)}", failure=tmp_path / f"{len(tasks)}")
        tasks.append(one)
        if dice is None:
            continue
        report = registered.report
        report["mean"]["after"]["dice"] = dice
        one.folder.mkdir(parents=True)
        (one.folder / "report.json").write_text(json.dumps(report))
        (one.folder / KEY_FILE).write_text(json.dumps({"key": one.key}))
    tasks[2].write_failure("<script>alert()</script>")
    rows = write_summary(tmp_path, tasks)
    assert [row.state for row in rows] == ["done", "done", "failed", "missing"]
    with (tmp_path / "table.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [float(row["dice_after"]) for row in table[:2]] == [0.9, 0.4]
    assert table[2]["error"] == "<script>alert()</script>"
    assert "the result was removed" in table[3]["error"]
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    order = [page.index(text) for text in ("&lt;b&gt;failed", ">poor<", ">good<")]
    assert order == sorted(order)
    assert "<script" not in page
    assert not re.search(r"https?://|src=", page), "not self-contained"


def test_only_the_worst_pairs_have_pictures_on_a_long_page(task: Task, registered: Run, tmp_path: Path) -> None:
    tasks = [replace(task, name=str(n), folder=tmp_path / "pairs" / str(n)) for n in range(3)]
    for n, one in enumerate(tasks):
        report = registered.report
        report["mean"]["after"]["dice"] = (0.9, 0.2, 0.5)[n]
        one.folder.mkdir(parents=True)
        (one.folder / "report.json").write_text(json.dumps(report))
        (one.folder / "thumbnail.png").write_bytes(bytes([n]))
        (one.folder / KEY_FILE).write_text(json.dumps({"key": one.key}))
    write_summary(tmp_path, tasks, BatchSettings(max_pictures=1))
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"base64,([^\"]+)", page) == [base64.b64encode(bytes([1])).decode()]
    assert "Only the first 1 pairs have one" in page


def test_box_plots_show_each_structure_the_least_median_first(task: Task, registered: Run, tmp_path: Path) -> None:
    tasks = []
    for number, (caudate, stem) in enumerate(((0.2, 0.9), (0.4, 0.7), (0.3, None))):
        one = replace(task, name=f"{number}", folder=tmp_path / f"{number}")
        report = registered.report
        structure = report["structures"][0]
        report["structures"] = []
        for name, dice in (("Brain stem", stem), ("<i>Caudate", caudate)):
            scores = {kind: {**structure[kind], "dice": dice} for kind in ("before", "after")}
            report["structures"].append({**structure, "name": name, **scores})
        one.folder.mkdir()
        (one.folder / "report.json").write_text(json.dumps(report))
        (one.folder / KEY_FILE).write_text(json.dumps({"key": one.key}))
        tasks.append(one)
    write_summary(tmp_path, tasks)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    drawing = ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + len("</svg>")])
    texts = [e.text for e in drawing.iter("text")][6:]
    assert texts == ["<i>Caudate", "3", "Brain stem", "2"], "undefined values are left out"
    boxes = [(float(e.get("x", 0)), float(e.get("width", 0))) for e in drawing.iter("rect")]
    axis = {e.text: float(e.get("x", 0)) for e in list(drawing.iter("text"))[:6]}
    start, unit = axis["0"], axis["1"] - axis["0"]
    expected = [(start + 0.25 * unit, 0.1 * unit)] * 2 + [(start + 0.75 * unit, 0.1 * unit)] * 2
    np.testing.assert_allclose(boxes, expected, atol=0.2)


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="NOT TESTED: pyarrow is not installed")
def test_the_table_is_also_written_as_parquet(task: Task, tmp_path: Path) -> None:
    from pyarrow import parquet

    task.write_failure("damaged")
    write_summary(tmp_path, [task])
    (row,) = parquet.read_table(tmp_path / "table.parquet").to_pylist()
    assert (row["name"], row["state"], row["dice_after"], row["error"]) == ("one", "failed", None, "damaged")


# The command


def test_without_dask_one_line_says_what_to_install(tmp_path: Path) -> None:
    if HAS_DASK:
        pytest.skip("Dask is installed")
    done = run_command("batch", write_list(tmp_path, ["a.nii,b.nii,,"]), "--output", tmp_path / "out")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "light-registration[batch]" in done.stderr
    assert not (tmp_path / "out").exists()


BAD_LISTS = {
    "no column": ("fixed,moved\na.nii,b.nii\n", "lacks moving"),
    "semicolons": ("fixed;moving\na.nii;b.nii\n", "separated by semicolons; save it with commas"),
    "tabs": ("fixed\tmoving\na.nii\tb.nii\n", "separated by tabs"),
    "missing file": ("fixed,moving\nabsent.nii,b.nii\n", "line 2: 'fixed': there is no file absent.nii"),
    "folder": ("fixed,moving\na.nii,.\n", "'moving': . is a folder, and a list names files"),
    "names twice": ("fixed,moving,id\na.nii,b.nii,x\nb.nii,a.nii,x\n", "the id 'x' occurs twice"),
    "empty": ("", "the file is empty"),
}


@needs_dask
@pytest.mark.parametrize("kind", BAD_LISTS)
def test_bad_lists_are_one_line(tmp_path: Path, kind: str) -> None:
    text, expected = BAD_LISTS[kind]
    for name in ("a.nii", "b.nii"):
        (tmp_path / name).touch()
    (tmp_path / "list.csv").write_text(text)
    done = run_command("batch", tmp_path / "list.csv", "--output", tmp_path / "out")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert expected in done.stderr
    assert not (tmp_path / "out").exists()


@needs_dask
def test_no_thread_is_refused(study: Path, tmp_path: Path) -> None:
    done = run_command(*make_arguments(study, tmp_path / "out"), "--threads", "0", "--dry-run")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "--threads 0 is too little" in done.stderr


def test_a_filter_without_a_bids_folder_is_refused(tmp_path: Path) -> None:
    done = run_command("batch", tmp_path / "list.csv", "--filter", "suffix=T2w", "--output", tmp_path / "out")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "--filter goes with --bids" in done.stderr


@needs_dask
def test_an_atlas_is_brought_to_volumes_without_labels(tmp_path: Path) -> None:
    pairs = write_list(tmp_path, ["a.nii,atlas.nii,,atlas_labels.nii", "b.nii,a.nii,,"])
    done = run_command("batch", pairs, "--shape", "atlas-to-all", "--output", tmp_path / "out", "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 to register" in done.stdout


@needs_dask
def test_a_bad_pair_stops_no_other(study: Path, finished: Run, tmp_path: Path) -> None:
    dry = run_command(*make_arguments(study, tmp_path / "out"), "--dry-run")
    assert dry.returncode == 0
    assert "2 to register" in dry.stdout
    assert not (tmp_path / "out").exists()
    assert finished.status == 2, finished.stderr
    assert "tcp://127.0.0.1:" in finished.stdout
    assert "1 of 2 pairs failed" in finished.stderr
    assert read_states(finished.output) == {"good": "done", "bad": "failed"}
    folder = finished.output / "pairs" / "good"
    files = {"transform.h5", "warped.nii.gz", "report.json", "thumbnail.png", KEY_FILE}
    assert files == {p.name for p in folder.iterdir()}
    assert [p.name for p in (finished.output / "pairs").iterdir()] == ["good"]
    page = (finished.output / "index.html").read_text(encoding="utf-8")
    assert base64.b64encode((folder / "thumbnail.png").read_bytes()).decode() in page


@needs_dask
def test_landmarks_and_groups_of_the_list_are_in_the_table(finished: Run) -> None:
    folder = finished.output / "pairs" / "good"
    transform, to_lps = sitk.ReadTransform(str(folder / "transform.h5")), np.array((-1.0, -1, 1))
    mapped = [to_lps * transform.TransformPoint((to_lps * fixed).tolist()) for fixed, _ in LANDMARKS]
    before, after = (np.linalg.norm(points - LANDMARKS[:, 1], axis=1) for points in (LANDMARKS[:, 0], mapped))
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    check_schema(report)
    assert report["landmarks"]["after"]["max_mm"] == pytest.approx(after.max(), abs=1e-3)
    assert report["inputs"]["landmarks"].endswith("marks.csv")
    with (finished.output / "table.csv").open(newline="") as stream:
        good, bad = csv.DictReader(stream)
    errors = [float(good[f"tre_{moment}_mm"]) for moment in ("before", "after")]
    assert errors == pytest.approx([before.mean(), after.mean()], abs=1e-3)
    assert (good["group"], bad["group"], bad["tre_after_mm"]) == ("heads", "heads", "")
    page = (finished.output / "index.html").read_text(encoding="utf-8")
    assert f'<td class="number">{errors[1]:.2f}</td>' in page


@needs_dask
def test_what_is_done_is_not_done_again(study: Path, finished: Run) -> None:
    report = finished.output / "pairs" / "good" / "report.json"
    before = report.stat().st_mtime_ns
    arguments = make_arguments(study, finished.output)
    again = run_command(*arguments)
    assert "1 done, 1 failed before (--retry-failed tries them again), 0 to register" in again.stdout
    assert "Scheduler" not in again.stdout
    assert again.returncode == 2
    retried = run_command(*arguments, "--retry-failed", "--dry-run")
    assert "1 to register" in retried.stdout
    assert report.stat().st_mtime_ns == before


@needs_dask
def test_a_full_disk_ends_the_batch_and_is_no_failure_of_a_pair(task: Task) -> None:
    from distributed import Client

    from LightRegistrationLib.commands.batch.engine import run_tasks

    def carry_out(task: Task) -> str | None:
        raise FullDiskError(f"{task.folder}: cannot be written (the disk is full).")

    outcomes: list[str] = []
    with (
        Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as client,
        pytest.raises(InputError, match=r"the disk is full.*make room, and run the command again"),
    ):
        run_tasks(client, [task], carry_out, lambda task, line: outcomes.append(task.name), outcomes.append)
    assert outcomes == []


@needs_dask
def test_errors_for_want_of_memory_are_told_from_faults() -> None:
    from LightRegistrationLib.commands.batch.engine import is_for_want_of_memory

    for reserve in (lambda: np.empty(1 << 55), lambda: torch.empty(1 << 55), lambda: bytearray(1 << 55)):
        with pytest.raises((MemoryError, RuntimeError)) as raised:
            reserve()
        assert is_for_want_of_memory(raised.value)
    assert not is_for_want_of_memory(RuntimeError("size mismatch"))
