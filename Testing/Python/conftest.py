"""Fixtures and process settings that all tests share."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import quick_model

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A script started this process in the background with Ctrl-C ignored; child processes would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    # nohup started this process with SIGHUP ignored; child processes would inherit that too.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _workers > 1:
    # Set before torch, SimpleITK and VTK are imported: each test process and its children get a share of the cores.
    _share = str(max(1, (os.cpu_count() or 1) // _workers))
    for _variable in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "VTK_SMP_MAX_THREADS"):
        os.environ.setdefault(_variable, _share)

# In place of the user's own models, the tests and their child processes have one that is quick.
_models = tempfile.TemporaryDirectory(prefix="LightRegistration-test-models-")
os.environ["LIGHTREG_MODELS"] = _models.name
quick_model.add_quick_model(Path(_models.name))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave the objects of the libraries and of the collected tests out of each later search for garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.fixture(scope="session")
def application() -> Any:
    """The headless Slicer application of this process."""
    from LightRegistrationLib.scene.headless.application import headless_application

    return headless_application()


@pytest.fixture
def scene(application: Any) -> Iterator[Any]:
    """The application's scene; empty before and after each test."""
    application.scene.Clear(0)
    yield application.scene
    application.scene.Clear(0)
