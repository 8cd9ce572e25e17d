"""The benchmark command runs on real scans, and the bundled student does there what its card promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(__file__).parents[2] / "Benchmarks" / "brain_ring.py"
DATA = os.environ.get("LIGHTREG_DATA")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(COMMAND), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


@pytest.mark.data
@pytest.mark.skipif(DATA is None, reason="LIGHTREG_DATA is not set: the student was NOT tried on real brains")
def test_the_bundled_student_beats_the_affine_stage_on_real_brains(tmp_path):
    done = run("--pairs", "2", "--peers", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "brain_ring.json").read_text(encoding="utf-8"))
    table = (tmp_path / "brain_ring.md").read_text(encoding="utf-8")
    assert (tmp_path / "brain_ring.png").read_bytes().startswith(b"\x89PNG")
    for pair in {r["pair"] for r in rows}:
        own = {r["method"]: r for r in rows if r["pair"] == pair}
        assert own["affine only"]["dice"] > own["no registration"]["dice"] + 0.1
        assert own["student, 2 cascades"]["dice"] > own["affine only"]["dice"] + 0.04
        assert own["student, 2 cascades"]["folding_percent"] == 0
        assert own["student, 2 cascades"]["labels"] > 100
    assert all(method in table for method in own)


def test_without_the_data_it_says_what_is_missing(tmp_path):
    done = run("--output", str(tmp_path), LIGHTREG_DATA=str(tmp_path))
    assert done.returncode == 2
    assert "the data folder is missing: set LIGHTREG_DATA or --data" in done.stderr
