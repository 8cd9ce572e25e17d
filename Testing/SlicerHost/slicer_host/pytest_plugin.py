"""The double as pytest fixtures for a conftest.py: one host per process, emptied after each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .host import Host, start_slicer_host

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def slicer_host_process() -> Iterator[Host]:
    """The double, started once: it adds ``qt``, ``ctk`` and the missing parts of ``slicer`` to the process."""
    host = start_slicer_host([REPOSITORY / "LightRegistration"])
    host.close_views()
    yield host
    host.shutdown()


@pytest.fixture
def slicer_host(slicer_host_process: Host) -> Iterator[Host]:
    """The double with an empty scene and no panel; an exception in a slot or observer fails the test at its end."""
    slicer_host_process.open_views()
    slicer_host_process.reset()
    yield slicer_host_process
    errors, unanswered = list(slicer_host_process.slot_errors), slicer_host_process.dialogs.unanswered()
    slicer_host_process.reset()
    slicer_host_process.close_views()
    if errors:
        raise errors[0]
    assert not unanswered, f"expected dialogs never opened: {unanswered}"
