"""Several processes train as one: the same weights in all, the gradient of all their pairs, and an exact resume."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.network.inference import has_fast_bfloat16
from LightRegistrationLib.training.data.pairs import join
from LightRegistrationLib.training.loop.hardware import Hardware
from LightRegistrationLib.training.loop.trainer import make_generator
from LightRegistrationLib.training.state import load_state

from ...processes import PATIENCE_S
from ..toy import RepeatedPair, ToySource
from ..two_processes import student_trainer, teacher_trainer

TESTS = Path(__file__).resolve().parents[2]
LIBRARY = TESTS.parents[1] / "LightRegistration"


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    """The output of `two_processes`; it runs once, because starting takes longer than training."""
    folder = tmp_path_factory.mktemp("output")
    environment = os.environ | {"PYTHONPATH": f"{LIBRARY}{os.pathsep}{TESTS}", "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-m", "training.two_processes", str(folder)]
    run = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
    assert run.returncode == 0, run.stderr
    (folder / "stdout").write_text(run.stdout)
    return folder


def test_the_gradient_of_two_processes_is_that_of_both_their_pairs(output, tmp_path):
    found = [torch.load(output / "gradients" / f"gradients_{rank}.pt") for rank in (0, 1)]
    pairs = [ToySource().draw(make_generator(7, rank)) for rank in (0, 1)]
    assert not torch.equal(pairs[0].fixed, pairs[1].fixed)
    alone = teacher_trainer(tmp_path, 1, None)
    alone.set_rate(1e-3)
    alone.train_step(RepeatedPair(join(pairs)), alone.config.stages[0])
    for parameter, first, second in zip(alone.teacher.parameters(), *found, strict=True):
        assert torch.equal(first, second)
        torch.testing.assert_close(first, parameter.grad, rtol=1e-3, atol=1e-6)
    assert float(alone.teacher.cascades[0].flow.weight.grad.abs().max()) > 1e-3


def test_both_processes_have_equal_weights(output):
    first, second = (torch.load(output / "whole" / f"weights_{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_resumed_run_of_two_processes_is_an_unbroken_one(output):
    whole, broken = (load_state(output / name / "state.pt") for name in ("whole", "broken"))
    assert whole["step"] == broken["step"] == 5
    for network in ("student", "critic"):
        for name, weight in whole[network].items():
            assert torch.equal(weight, broken[network][name])
    assert torch.equal(whole["generators"], broken["generators"])
    assert not torch.equal(*whole["generators"])


def test_only_the_first_process_writes_and_returns(output):
    assert (output / "stdout").read_text(encoding="utf-8") == "done 1\n"
    assert (output / "whole" / "log.jsonl").read_text(encoding="utf-8").count("\n") == 2


def test_a_run_of_two_processes_resumes_with_one_and_warns(output, tmp_path, caplog):
    shutil.copy(output / "broken" / "state.pt", tmp_path)
    alone = student_trainer(tmp_path, 6, None)
    assert alone.resume()
    assert "written by 2 processes and is resumed by 1" in caplog.text
    alone.run()
    assert alone.step == 6


def test_unavailable_hardware_is_refused_before_the_start():
    with pytest.raises(InputError, match="accelerator has to be one of cpu, cuda, auto"):
        Hardware(accelerator="tpu")
    with pytest.raises(InputError, match="1 or more"):
        Hardware(devices=0)
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="1 CUDA devices are requested, but 0"):
            Hardware(accelerator="cuda").start()
    assert Hardware(accelerator="auto").start().count == 1


def test_bfloat16_is_left_out_on_a_cpu_that_only_imitates_it():
    """A step took eight times as long there, with the configuration's `bfloat16 = true`."""
    assert Hardware().bfloat16(configured=True) == has_fast_bfloat16()
    assert not Hardware().bfloat16(configured=False)
    assert Hardware(precision="bf16").bfloat16(configured=False)
    assert not Hardware(precision="32").bfloat16(configured=True)
