"""Made-up inputs of all kinds are read rightly or refused with one line; `Benchmarks/fuzz.py` runs more."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ..processes import PATIENCE_S

FOLDER = Path(__file__).parents[2] / "Benchmarks"
FEW = settings(max_examples=25, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def outcome(application: Any) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("fuzzing.outcome")


@pytest.mark.parametrize("kind", ["sound volume", "sound labels", "sound DICOM", "sound transform"])
def test_sound_files_are_read_as_they_are(outcome: Any, kind: str) -> None:
    @FEW
    @given(st.randoms(use_true_random=False))
    def check(random: Random) -> None:
        result = outcome.try_input(kind, random)
        assert result.result != outcome.FAULT, result.text

    check()


def test_three_hundred_inputs_of_all_kinds_show_no_fault(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / "fuzz.py", "--inputs", "300", "--seed", "7"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {line[:22].strip(): [int(n) for n in line[22:].split()] for line in done.stdout.splitlines()[1:]}
    assert sum(counts["all"]) == 300
    assert counts["sound volume"][0] > counts["sound volume"][1]
    assert counts["damaged NIfTI"][1] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda random, folder: {}["x"], "KeyError"),
        (lambda random, folder: os.write(1, b"said"), "printed"),
        (lambda random, folder: Path("left").touch(), "left"),
    ],
)
def test_a_fault_would_be_found(outcome: Any, tmp_path: Path, monkeypatch: Any, act: Any, says: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(outcome.KINDS, "sound volume", act)
    result = outcome.try_input("sound volume", Random(0))
    assert result.result == outcome.FAULT
    assert says in result.text
