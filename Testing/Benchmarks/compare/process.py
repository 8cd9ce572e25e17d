"""Runs one method on one pair in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peers.registry import METHODS

from LightRegistrationLib.core.torch_environment import TORCH_ENVIRONMENT

from .plan import Task

FOLDER = Path(__file__).resolve().parents[1]
LIBRARY = FOLDER.parents[1] / "LightRegistration"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
ITK_THREADS = "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"


def measure(task: Task) -> dict[str, Any]:
    """Run a task and return what was measured, or a row with the error."""
    if METHODS[task.method].needs_start and task.start is None:
        return {"error": "our affine stage failed on this pair"}
    with tempfile.TemporaryDirectory() as folder:
        request, answer = Path(folder, "request.json"), Path(folder, "row.json")
        request.write_text(json.dumps(task.request()), encoding="utf-8")
        ended = run_row(request, answer, environment(task.threads))
        if ended.returncode == 0:
            return json.loads(answer.read_text(encoding="utf-8"))
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        return {"error": lines[-1] if lines else f"ended with status {ended.returncode} and no message"}


def run_row(request: Path, answer: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `compare.row` in a new process."""
    return subprocess.run(
        [sys.executable, "-m", "compare.row", str(request), str(answer)],
        env=environment,
        cwd=request.parent,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def environment(threads: int) -> dict[str, str]:
    """Make the environment of a row's process: its threads, PyTorch as the program runs it, the same random samples."""
    count = dict.fromkeys((*THREAD_VARIABLES, ITK_THREADS), str(threads))
    path = os.pathsep.join(filter(None, [str(FOLDER), str(LIBRARY), os.environ.get("PYTHONPATH")]))
    return {**TORCH_ENVIRONMENT, **os.environ, **count, "ANTS_RANDOM_SEED": "1", "PYTHONPATH": path}
