"""`train` and `distill` on the command line: refusals, stops, resumed runs and finished runs."""

from __future__ import annotations

import csv
import json
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from LightRegistrationLib.commands.main import build_parser
from LightRegistrationLib.commands.train.toy_data import make_toy_data
from LightRegistrationLib.core.errors import InputError

from ..command_line import run_command, start_command

STUDENT = """\
name = "mini"
seed = 4
bfloat16 = false
checkpoint_minutes = 0
validate_minutes = {validate}
[student]
cascades = 1
[[source]]
kind = "images"
table = "train.csv"
[[stage]]
steps = {steps}
spacing_mm = 8
rate = {rate}
tissue = 0.0
[card]
title = "Mini"
modality = "MRI"
summary = "A test."
[grid]
spacing_mm = 8.0
"""


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "heads"
    make_toy_data(folder, subjects=3, validation=2, spacing_mm=8)
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    def write(extra: str = "", *, steps: int = 2, rate: float = 1e-3, validate: float = 0, name: str = "mini") -> Path:
        text = extra + STUDENT.format(steps=steps, rate=rate, validate=validate).replace('"mini"', f'"{name}"')
        (tmp_path / "mini.toml").write_text(text)
        return tmp_path / "mini.toml"

    return write


def train(*arguments: str | Path) -> None:
    """The command in this process, on one thread."""
    options = build_parser().parse_args([*map(str, arguments), "--threads", "1"])
    options.run(options)


def refusal(*arguments: str | Path) -> str:
    with pytest.raises(InputError) as caught:
        train(*arguments)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def find_state_file(run: Path) -> dict:
    return torch.load(run / "state.pt", weights_only=True)


# Toy data


def test_toy_heads_differ_in_shape_and_lie_under_their_structures(heads: Path) -> None:
    images, labels = [], []
    for row in csv.DictReader((heads / "train.csv").open()):
        image, structures = (sitk.ReadImage(str(heads / row[key])) for key in ("image", "labels"))
        assert image.GetSize() == structures.GetSize()
        assert image.GetOrigin() == structures.GetOrigin()
        images.append(sitk.GetArrayFromImage(image))
        labels.append(sitk.GetArrayFromImage(structures))
        white, air = images[-1][np.isin(labels[-1], (2, 41))], images[-1][:, :, 0]
        assert np.median(white) > 5 * np.median(air)
    assert {len(np.unique(a)) for a in labels} <= set(range(20, 24))
    overlaps = [(2 * ((a == 4) & (b == 4)).sum()) / ((a == 4).sum() + (b == 4).sum()) for a, b in [labels[:2]]]
    assert overlaps[0] < 0.8


def test_validation_heads_are_not_trained_with_and_make_a_ring_of_pairs(heads: Path) -> None:
    tables = {n: list(csv.DictReader((heads / f"{n}.csv").open())) for n in ("train", "validation", "pairs")}
    trained, kept = ({row["image"] for row in tables[name]} for name in ("train", "validation"))
    assert not trained & kept
    assert {row["fixed"] for row in tables["pairs"]} == {row["moving"] for row in tables["pairs"]} == kept
    assert all((heads / value).is_file() for row in tables["pairs"] for key, value in row.items() if key != "id")


def test_wrong_options_of_toy_data_are_refused(heads: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not empty.*--force"):
        make_toy_data(heads)
    with pytest.raises(InputError, match="at least two"):
        make_toy_data(tmp_path / "new", subjects=1)
    with pytest.raises(InputError, match="1 to 10 mm"):
        make_toy_data(tmp_path / "new", spacing_mm=0.1)
    assert not (tmp_path / "new").exists()


# What is refused


def test_wrong_configurations_and_files_are_named(heads: Path, tmp_path: Path, config: Callable[..., Path]) -> None:
    common = ("--data", heads, "--output", tmp_path / "run")
    assert "brain-mri, " in refusal("train", "student", "brain-mr", *common)
    assert "no such folder" in refusal("train", "student", config(), "--data", tmp_path / "x", "--output", "y")
    assert "mini.toml: unknown key 'widgets'" in refusal("train", "student", config("widgets = 3\n"), *common)
    assert "this configures a teacher, not a student" in refusal("train", "student", "toy-teacher", *common)
    assert "this configures a student, not a distillation" in refusal(
        "distill", config(), "--teacher", config(), *common
    )
    for line, said in (('modality = "MRI"\n', "[card] lacks modality"), ("[grid]\nspacing_mm = 8.0\n", "[grid] lacks")):
        file = config()
        file.write_text(file.read_text(encoding="utf-8").replace(line, ""))
        assert f"mini.toml: {said}" in refusal("train", "student", file, *common)
    assert "no teacher here" in refusal("distill", "toy-aldk", "--teacher", tmp_path, *common)
    assert "a teacher of kind 'network' needs --teacher" in refusal("distill", "toy-aldk", *common)
    assert "threads" in refusal("train", "student", config(), *common, "--devices", "0")
    assert not (tmp_path / "run").exists()


def test_a_student_is_taught_by_the_refinement_without_a_teacher(
    heads: Path, tmp_path: Path, config: Callable[..., Path]
) -> None:
    file = config()
    taught = file.read_text(encoding="utf-8").replace("tissue = 0.0\n", "")
    settings = '[teacher]\nkind = "KIND"\n[knowledge]\nkind = "distance"\nevery = 1\n[store]\npairs = 2\n'
    file.write_text(f'kind = "distillation"\n{taught}{settings.replace("KIND", "refinement")}')
    common = (file, "--data", heads, "--output", tmp_path / "run", "--no-tensorboard")
    train("distill", *common, "--store", tmp_path / "store")
    card = json.loads((tmp_path / "run" / "models" / "mini" / "card.json").read_text(encoding="utf-8"))
    assert card["training"]["teacher"]["kind"] == "refinement"
    assert card["training"]["store"]["untaught"].endswith("of 2")

    file.write_text(f'kind = "distillation"\n{taught}{settings.replace("KIND", "stored")}')
    assert "needs --teacher, the folder of the fields" in refusal("distill", *common)
    assert "give --store too" in refusal("distill", *common, "--teacher", tmp_path)
    store = ("--store", tmp_path / "other")
    assert "there are no fields" in refusal("distill", *common, "--teacher", tmp_path, *store)


def test_a_file_that_the_data_lack_is_named_with_its_line(tmp_path: Path, config: Callable[..., Path]) -> None:
    (tmp_path / "train.csv").write_text("image,labels,subject\ngone.nii.gz,,a\n")
    said = refusal("train", "student", config(), "--data", tmp_path, "--output", tmp_path / "run")
    assert "train.csv, line 2: there is no file gone.nii.gz" in said


def test_label_maps_of_different_sets_are_not_mixed(heads: Path, tmp_path: Path, config: Callable[..., Path]) -> None:
    rows = list(csv.DictReader((heads / "train.csv").open()))
    other = sitk.ReadImage(str(heads / rows[1]["labels"]))
    sitk.WriteImage(sitk.Cast(other > 0, sitk.sitkUInt8) * 200, str(tmp_path / "other.nii.gz"))
    rows[1]["labels"] = str(tmp_path / "other.nii.gz")
    lines = [f"{heads / row['image']},{heads / row['labels']},{row['subject']}" for row in rows]
    (tmp_path / "train.csv").write_text("\n".join(["image,labels,subject", *lines]))
    said = refusal("train", "student", config(), "--data", tmp_path, "--output", tmp_path / "run")
    assert "other.nii.gz: none of its label values [200]" in said


def test_missing_packages_are_named_with_what_installs_them(heads: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "monai", None)
    said = refusal("train", "student", "toy-student", "--data", heads, "--output", tmp_path / "run")
    assert "monai" in said
    assert 'pip install "light-registration[training]"' in said


def test_a_mistake_is_one_line_and_exit_status_2(heads: Path, tmp_path: Path, config: Callable[..., Path]) -> None:
    done = run_command("train", "student", config("widgets = 3\n"), "--data", heads, "--output", tmp_path / "run")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert done.stderr.startswith("light-registration: error: ")


def test_a_loss_that_is_not_finite_leaves_the_last_state(
    heads: Path, tmp_path: Path, config: Callable[..., Path]
) -> None:
    run = ("--data", heads, "--output", tmp_path / "run", "--no-tensorboard")
    train("train", "student", config(steps=2), *run)
    saved = (tmp_path / "run" / "state.pt").read_bytes()
    said = refusal("train", "student", config(steps=40, rate=1e30), *run)
    assert "not finite at step" in said
    assert "state.pt holds the state after step 2" in said
    assert (tmp_path / "run" / "state.pt").read_bytes() == saved


def test_the_state_of_another_configuration_is_refused(
    heads: Path, tmp_path: Path, config: Callable[..., Path]
) -> None:
    run = ("--data", heads, "--output", tmp_path / "run", "--no-tensorboard")
    train("train", "student", config(), *run)
    said = refusal("train", "student", config(name="other"), *run)
    assert "state of a run of 'mini', not of 'other'; choose another output folder" in said


def test_a_full_disk_leaves_the_last_state(heads: Path, tmp_path: Path, config: Callable[..., Path]) -> None:
    """A limit on the size of files stands for the disk: state.pt has 18 MB, all else less than one."""
    run = ("--data", heads, "--output", tmp_path / "run", "--no-tensorboard")
    train("train", "student", config(steps=2), *run)
    saved = (tmp_path / "run" / "state.pt").read_bytes()
    running = start_command("train", "student", config(steps=3), *run)
    resource.prlimit(running.process_id, resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
    done = running.wait()
    assert done.returncode == 2
    assert "state after step 3 cannot be written" in done.stderr.splitlines()[-1]
    assert (tmp_path / "run" / "state.pt").read_bytes() == saved
    assert not list((tmp_path / "run").glob("*.partial"))


def test_help_names_the_files_and_exit_statuses_of_a_run() -> None:
    for command in (("train", "teacher"), ("train", "student"), ("distill",)):
        done = run_command(*command, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        for word in ("state.pt", "validation.jsonl", "tensorboard", "--accelerator", "--nodes", "--seed", "130"):
            assert word in done.stdout


# What a run leaves


def test_a_finished_run_is_summarized_and_writes_a_model(
    heads: Path, tmp_path: Path, config: Callable[..., Path], capsys: pytest.CaptureFixture
) -> None:
    train("train", "student", config(validate=9), "--data", heads, "--output", tmp_path / "run", "--seed", "7")
    said = capsys.readouterr()
    model = tmp_path / "run" / "models" / "mini"
    for part in ("mini is trained", "2 of 2", "correlation", "dice", "tensorboard --logdir", str(model)):
        assert part in said.out
    assert "stage 1 of 1: 8 mm, to step 2" in said.err
    card = json.loads((model / "card.json").read_text(encoding="utf-8"))
    assert (card["training"]["seed"], card["training"]["steps"], card["grid"]["spacing_mm"]) == (7, 2, 8.0)
    assert {path.name for path in (tmp_path / "run" / "pictures").iterdir()} == {"step_000000.png", "step_000002.png"}
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_an_unfinished_run_can_be_exported(heads: Path, tmp_path: Path, config: Callable[..., Path]) -> None:
    from LightRegistrationLib.commands.train.run import export_run

    train("train", "student", config(), "--data", heads, "--output", tmp_path / "run", "--no-tensorboard")
    folder = export_run(tmp_path / "run", tmp_path / "elsewhere")
    assert folder == tmp_path / "elsewhere" / "mini"
    assert (folder / "weights.safetensors").stat().st_size > 1_000_000
    with pytest.raises(InputError, match="there is no such file"):
        export_run(tmp_path / "nowhere", None)


def stopped_at_the_second_stage(command: list[str | Path], number: int) -> tuple[int, list[str]]:
    """Start a run and send it a signal when its second stage begins; its exit status and what it said from there on."""
    running = start_command(*command)
    for line in running.stderr:
        if line.startswith("stage 2 of 2"):
            break
    running.send_signal(number)
    done = running.wait()
    return done.returncode, done.stderr.splitlines()


def two_stages(file: Path, data: Path) -> list[str | Path]:
    file.write_text(file.read_text(encoding="utf-8") + "[[stage]]\nsteps = 30\nspacing_mm = 8\n")
    return ["train", "student", file, "--data", data, "--threads", "1"]


def test_a_resumed_run_ends_like_an_unbroken_one(heads: Path, tmp_path: Path, config: Callable[..., Path]) -> None:
    command = two_stages(config(steps=5, validate=99), heads)
    status, said = stopped_at_the_second_stage([*command, "--output", tmp_path / "broken"], signal.SIGINT)
    assert status == 130
    stopped = find_state_file(tmp_path / "broken")["step"]
    assert 5 <= stopped < 35
    assert said[-1] == f"stopped and saved at step {stopped} of 35; to resume, run the same command again."
    for name in ("broken", "whole"):
        done = run_command(*command, "--output", tmp_path / name)
        assert done.returncode == 0, done.stderr
        assert (f"resumed at step {stopped} of 35" in done.stderr) == (name == "broken")
    ours, theirs = (find_state_file(tmp_path / name)["student"] for name in ("broken", "whole"))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["TERM", "HUP"])
def test_a_run_saves_before_each_kind_of_stop(
    heads: Path, tmp_path: Path, config: Callable[..., Path], number: int, status: int
) -> None:
    command = [*two_stages(config(steps=2), heads), "--output", tmp_path / "run", "--no-tensorboard"]
    found, said = stopped_at_the_second_stage(command, number)
    assert found == status
    assert said[-1].startswith(f"stopped and saved at step {find_state_file(tmp_path / 'run')['step']} of 32;")


def test_ctrl_c_before_the_first_step_stops_at_once(heads: Path, tmp_path: Path, config: Callable[..., Path]) -> None:
    running = start_command("train", "student", config(), "--data", heads, "--output", tmp_path / "run")
    assert running.stderr.readline() == "mini: 2 steps\n"
    running.send_signal(signal.SIGINT)
    done = running.wait()
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == "stopped; no state was saved yet; to resume, run the same command again."
    assert not (tmp_path / "run" / "state.pt").exists()
