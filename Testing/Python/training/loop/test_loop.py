"""The training loop: events for the monitor, complete states after any end of a run, errors in one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.network.cascade import CascadeConfig
from LightRegistrationLib.training.configuration import StudentStage, StudentTrainingConfig, TeacherTrainingConfig
from LightRegistrationLib.training.configuration_file import load_state_config
from LightRegistrationLib.training.distillation.teacher import TeacherConfig
from LightRegistrationLib.training.monitoring.monitor import NoMonitor
from LightRegistrationLib.training.state import load_state
from LightRegistrationLib.training.trainers.student import StudentTrainer, train_student
from LightRegistrationLib.training.trainers.teacher import TeacherTrainer

from ...processes import PATIENCE_S
from ..toy import SOURCES, ToySourceConfig, losses_of

TESTS = Path(__file__).resolve().parents[2]
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")


def config(**changes: object) -> StudentTrainingConfig:
    stages = (StudentStage(steps=3, spacing_mm=6), StudentStage(steps=3, spacing_mm=6, cascades=2, final_rate=0.0))
    base = {"name": "toy", "seed": 3, "sources": SOURCES, "stages": stages, "bfloat16": False}
    return StudentTrainingConfig(**(base | changes))


class RecordingMonitor(NoMonitor):
    """Records its events; requests a stop after a step."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.events: list[tuple[object, ...]] = []
        self.steps: list[dict[str, float]] = []
        self.stop_after = stop_after

    def start_run(self, name, step, last):
        self.events.append(("begin", name, step, last))

    def start_stage(self, number, stages, first, last, spacing_mm):
        self.events.append(("stage", number, stages, first, last, spacing_mm))

    def record_step(self, step, terms, rate):
        self.steps.append(terms)

    def record_validation(self, step, result):
        self.events.append(("validation", step, sorted(result.numbers())))

    def record_checkpoint(self, step, state_file):
        assert load_state(state_file)["step"] == step
        self.events.append(("checkpoint", step))

    def is_stop_requested(self):
        return self.stop_after is not None and len(self.steps) >= self.stop_after


def test_a_monitor_gets_all_events_and_changes_nothing(tmp_path):
    unwatched = losses_of(StudentTrainer(config(), tmp_path, tmp_path / "alone"))
    monitor = RecordingMonitor()
    summary = train_student(config(), tmp_path, tmp_path / "run", monitor=monitor)
    numbers = ["correlation", "correlation_before", "dice", "dice_before", "folding_percent"]
    assert monitor.steps == unwatched
    assert monitor.events == [
        ("begin", "toy", 0, 6),
        ("stage", 1, 2, 0, 3, 6),
        ("validation", 0, numbers),
        ("validation", 3, numbers),
        ("stage", 2, 2, 3, 6, 6),
        ("validation", 3, numbers),
        ("validation", 6, numbers),
        ("checkpoint", 6),
    ]
    assert (summary.name, summary.step, summary.last, summary.resumed_at, summary.is_finished) == ("toy", 6, 6, 0, True)
    logged = json.loads((tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert summary.losses.items() <= logged.items()


def test_validation_pairs_have_their_own_sources_and_can_be_left_out(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        train_student(config(validation=(Missing(),)), tmp_path, tmp_path / "a", monitor=RecordingMonitor())
    monitor = RecordingMonitor()
    train_student(config(validate_minutes=0, validation=(Missing(),)), tmp_path, tmp_path / "b", monitor=monitor)
    assert not [entry for entry in monitor.events if entry[0] == "validation"]


class Missing(ToySourceConfig):
    def open(self, data, cache, spacing_mm):
        raise FileNotFoundError("nowhere")


def test_a_requested_stop_saves_and_the_run_resumes_exactly(tmp_path):
    unbroken = losses_of(StudentTrainer(config(), tmp_path, tmp_path / "whole"))
    first = RecordingMonitor(stop_after=4)
    stopped = train_student(config(), tmp_path, tmp_path / "run", monitor=first)
    assert (stopped.step, stopped.last, stopped.is_finished) == (4, 6, False)
    assert load_state(stopped.state_file)["step"] == 4
    second = RecordingMonitor()
    finished = train_student(config(), tmp_path, tmp_path / "run", monitor=second)
    assert (finished.resumed_at, finished.step) == (4, 6)
    assert first.steps + second.steps == unbroken
    assert second.events[:2] == [("begin", "toy", 4, 6), ("stage", 2, 2, 3, 6, 6)]


def test_a_finished_run_that_is_started_again_does_nothing(tmp_path):
    train_student(config(), tmp_path, tmp_path / "run")
    monitor = RecordingMonitor()
    again = train_student(config(), tmp_path, tmp_path / "run", monitor=monitor)
    assert again.step == again.resumed_at == 6
    assert monitor.steps == []


def test_a_loss_that_is_not_finite_gives_one_line_with_step_and_state(tmp_path):
    train_student(config(stages=config().stages[:1]), tmp_path, tmp_path / "run")
    state_file = tmp_path / "run" / "state.pt"
    state = torch.load(state_file)
    next(iter(state["student"].values())).fill_(float("nan"))
    torch.save(state, state_file)
    spoiled = state_file.read_bytes()
    with pytest.raises(InputError, match=r"not finite at step 3: .*state\.pt holds the state after step 3") as caught:
        train_student(config(), tmp_path, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert state_file.read_bytes() == spoiled
    wild = config(stages=(StudentStage(steps=9, spacing_mm=6, rate=1e30, final_rate=1e30),))
    with pytest.raises(InputError, match=r"not finite at step \d: .*no state was written to .*state\.pt yet"):
        train_student(wild, tmp_path, tmp_path / "wild")


KILLED = """
import sys
from pathlib import Path
from Testing.Python.training.loop.test_loop import config
from LightRegistrationLib.training.configuration import StudentStage
from LightRegistrationLib.training.trainers.student import train_student
stages = (StudentStage(steps=10000, spacing_mm=6),)
train_student(config(stages=stages, checkpoint_minutes=1e-9), Path(sys.argv[1]), Path(sys.argv[1]) / "run")
"""


def test_a_run_that_is_killed_while_it_saves_leaves_a_complete_state(tmp_path):
    library = TESTS.parents[1] / "LightRegistration"
    environment = os.environ | {"PYTHONPATH": f"{library}{os.pathsep}{TESTS.parents[1]}", "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], env=environment)
    state, partial = tmp_path / "run" / "state.pt", tmp_path / "run" / "state.partial"
    deadline = time.monotonic() + PATIENCE_S
    while not (state.exists() and partial.exists()) and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.002)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    step = load_state(state)["step"]
    goes_on = config(stages=(StudentStage(steps=10000, spacing_mm=6),))
    monitor = RecordingMonitor(stop_after=2)
    summary = train_student(goes_on, tmp_path, tmp_path / "run", monitor=monitor)
    assert (summary.resumed_at, summary.step) == (step, step + 2)
    assert not partial.exists()


@FULL
def test_a_full_disk_gives_one_line_and_leaves_the_last_state(tmp_path):
    trainer = StudentTrainer(config(), tmp_path, tmp_path / "run")
    (tmp_path / "run" / "state.partial").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"state\.partial: .*cannot be written .*there is no previous state"):
        trainer.save()
    trainer.save()
    saved = trainer.state_file.read_bytes()
    (tmp_path / "run" / "state.partial").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"state\.partial: .*state\.pt still has the previous state") as caught:
        trainer.save()
    assert "\n" not in str(caught.value)
    assert trainer.state_file.read_bytes() == saved
    trainer.save()


@FULL
def test_a_log_that_cannot_be_written_gives_one_line(tmp_path):
    trainer = StudentTrainer(config(), tmp_path, tmp_path / "run")
    (tmp_path / "run" / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"log\.jsonl: cannot be written"):
        trainer.run()


def test_a_state_of_another_run_is_refused_and_changed_settings_are_logged(tmp_path, caplog):
    train_student(config(stages=config().stages[:1]), tmp_path, tmp_path / "run")
    with pytest.raises(InputError, match=r"state\.pt: this is the state of a run of 'toy', not of 'other'"):
        train_student(config(name="other"), tmp_path, tmp_path / "run")
    with pytest.raises(InputError, match=r"state\.pt: this state is not one of configuration 'toy' as it is now"):
        train_student(config(student=CascadeConfig(cascades=3, shared=False)), tmp_path, tmp_path / "run")
    caplog.clear()
    train_student(config(seed=9, validate_minutes=1.0), tmp_path, tmp_path / "run")
    assert "changed since it was written: seed, validate_minutes, stage" in caplog.text


def test_a_damaged_or_foreign_state_file_is_refused(tmp_path):
    trainer = StudentTrainer(config(), tmp_path, tmp_path / "run")
    trainer.save()
    whole = trainer.state_file.read_bytes()
    for content in (whole[: len(whole) // 2], whole.replace(b"step", b"pets"), b"", b"text"):
        trainer.state_file.write_bytes(content)
        with pytest.raises(InputError, match=r"state\.pt: this is not a (readable )?training state") as caught:
            trainer.resume()
        assert "\n" not in str(caught.value)
    torch.save({"weights": torch.zeros(2)}, trainer.state_file)
    with pytest.raises(InputError, match=r"state\.pt: this is not a training state"):
        trainer.resume()


def test_the_configuration_of_a_run_is_in_its_state(tmp_path):
    card = {"title": "T", "limits": ["a", "b"]}
    rich = config(card=card, validation=(ToySourceConfig(weight=2.0),), student=CascadeConfig(cascades=1))
    trainer = StudentTrainer(rich, tmp_path, tmp_path / "run")
    trainer.save()
    assert load_state_config(trainer.state_file) == rich
    old = load_state(trainer.state_file)
    old["config"] = json.dumps({"name": "toy", "seed": 3, "label_maps": "*", "stages": []})
    torch.save(old, trainer.state_file)
    with pytest.raises(InputError, match="name the configuration too"):
        load_state_config(trainer.state_file)
    assert trainer.resume()


def test_a_state_from_before_the_notes_and_the_kinds_resumes(tmp_path):
    trainer = StudentTrainer(config(), tmp_path, tmp_path / "run")
    trainer.save()
    old = load_state(trainer.state_file)
    del old["notes"]
    torch.save(old, trainer.state_file)
    assert StudentTrainer(config(), tmp_path, tmp_path / "run").resume()


def test_a_teachers_state_is_no_students(tmp_path):
    plan = TeacherTrainingConfig(name="toy", seed=1, sources=SOURCES, stages=(), teacher=TeacherConfig(1, 1))
    teacher = TeacherTrainer(plan, tmp_path, tmp_path / "teacher")
    teacher.save()
    (tmp_path / "run").mkdir()
    shutil.copy(teacher.state_file, tmp_path / "run")
    with pytest.raises(InputError, match=r"state\.pt: this state is not one of configuration 'toy'"):
        train_student(config(), tmp_path, tmp_path / "run")
