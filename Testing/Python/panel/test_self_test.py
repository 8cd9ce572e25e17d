"""The module's own self-test, as Slicer runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .. import quick_model
from ..processes import PATIENCE_S

REPOSITORY = Path(__file__).resolve().parents[3]


def run_self_test(slicer_source: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "Testing/SlicerHost"), *sys.path])}
    environment["SLICER_SOURCE"] = slicer_source
    environment["LIGHTREG_SELF_TEST_MODEL"] = quick_model.NAME
    command = [
        sys.executable,
        "-m",
        "slicer_host",
        str(REPOSITORY / "LightRegistration"),
        "--test",
        "LightRegistration",
    ]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3 * PATIENCE_S)


def test_passes_on_the_host_double():
    done = run_self_test(slicer_source="")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.skipif(
    not os.environ.get("SLICER_SOURCE"),
    reason="SLICER_SOURCE is not set: the self-test did NOT run on Slicer's own Python files",
)
def test_passes_on_slicers_own_python_files():
    done = run_self_test(os.environ["SLICER_SOURCE"])
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_opening_the_module_imports_no_torch():
    code = (
        "import sys; from slicer_host import start_slicer_host as s; h = s([sys.argv[1]]);"
        "h.create_widget('LightRegistration'); h.raise_slot_errors(); print('torch' in sys.modules); h.shutdown()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "Testing/SlicerHost"), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", code, str(REPOSITORY / "LightRegistration")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.stdout.split()[-1:] == ["False"], done.stderr[-3000:]
