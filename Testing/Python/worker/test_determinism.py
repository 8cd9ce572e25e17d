"""Same in, same out: equal bits with the same threads in fresh processes; a bound across threads and number formats.

A worker that registers many times keeps its memory, and leaves no process, file or shared memory.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from LightRegistrationLib.core.result.settings import RegistrationSettings
from LightRegistrationLib.core.torch_environment import TORCH_ENVIRONMENT
from LightRegistrationLib.worker.protocol import Finished

from ..audited import audited_environment, find_forbidden, read_events
from ..processes import PATIENCE_S

BENCHMARKS = Path(__file__).parents[2] / "Benchmarks"
LIBRARY = Path(__file__).parents[3] / "LightRegistration"
PROGRAM = """
import sys
import numpy as np
import torch
from LightRegistrationLib.commands.phantom.pair import make_phantom_pair
from LightRegistrationLib.core.network import inference
from LightRegistrationLib.core.registration import register
from LightRegistrationLib.core.result.settings import RegistrationSettings

pair = make_phantom_pair(spacing_mm=4.0)
for file in sys.argv[1:]:
    threads, precision = file.removesuffix(".npy").split("-")
    inference.has_fast_bfloat16 = lambda: precision == "bfloat16"
    torch.set_num_threads(int(threads))
    result = register(pair.fixed, pair.moving, RegistrationSettings("quick", threads=int(threads)))
    np.save(file, result.field.array)
"""
REFERENCE, TWO_THREADS, BFLOAT16 = "1-float32", "2-float32", "1-bfloat16"
# The bounds that docs/researcher/results.md states.
MAX_THREADS_MM, MAX_BFLOAT16_MM, MEAN_BFLOAT16_MM = 0.01, 0.5, 0.1


def compute_fields(folder: Path, *runs: str) -> dict[str, np.ndarray]:
    """Register the built-in pair in a fresh process, once for each run (threads-precision): fields (k, j, i, 3), mm."""
    files = [f"{run}.npy" for run in runs]
    environment = {**os.environ, **TORCH_ENVIRONMENT, "PYTHONPATH": str(LIBRARY)}
    environment.pop("OMP_NUM_THREADS", None)
    command = [sys.executable, "-c", PROGRAM, *files]
    subprocess.run(command, env=environment, cwd=folder, check=True, timeout=PATIENCE_S)
    return {run: np.load(folder / file) for run, file in zip(runs, files, strict=True)}


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    found = compute_fields(tmp_path_factory.mktemp("fields"), REFERENCE, TWO_THREADS, BFLOAT16)
    assert np.linalg.norm(found[REFERENCE], axis=-1).max() > 5
    return found


def test_two_runs_give_equal_bits(fields: dict[str, np.ndarray], tmp_path: Path) -> None:
    assert np.array_equal(fields[REFERENCE], compute_fields(tmp_path, REFERENCE)[REFERENCE])


def test_the_number_of_threads_changes_next_to_nothing(fields: dict[str, np.ndarray]) -> None:
    distance = np.linalg.norm(fields[REFERENCE] - fields[TWO_THREADS], axis=-1)
    assert distance.max() < MAX_THREADS_MM


def test_bfloat16_changes_little(fields: dict[str, np.ndarray]) -> None:
    distance = np.linalg.norm(fields[REFERENCE] - fields[BFLOAT16], axis=-1)
    assert 0 < distance.max() < MAX_BFLOAT16_MM
    assert distance.mean() < MEAN_BFLOAT16_MM


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of processes is read from /proc")
def test_a_worker_keeps_its_memory_and_leaves_nothing(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    steady: Any = importlib.import_module("steady_worker")
    measured = steady.measure(10, RegistrationSettings("tiny", threads=1), (model_folder,))
    assert len(measured.memory_mib) == 10
    assert min(measured.memory_mib) > 50
    assert measured.growth_mib < 30, measured.memory_mib
    assert measured.left == ()


def test_a_worker_connects_to_nothing(model_folder: Path, request_of_blobs, tmp_path: Path) -> None:
    from LightRegistrationLib.worker.client import WorkerClient

    from .conftest import WatchedClient

    log = tmp_path / "log"
    watched = WatchedClient(WorkerClient(sys.executable, audited_environment(log), model_folders=(model_folder,)))
    try:
        watched.wait(Finished, watched.client.submit(request_of_blobs))
        session = watched.client.session_folder
    finally:
        watched.client.close()
    assert session is not None
    events = read_events(log)
    assert any(Path(text).is_relative_to(session) for event, text in events if event == "open")
    assert find_forbidden(events, [session]) == []
