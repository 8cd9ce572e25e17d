"""Run Python processes that record what they connect to, start, unpickle and write (`audit_hook/sitecustomize.py`)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

_HOOK = Path(__file__).with_name("audit_hook")
_LIBRARY = Path(__file__).parents[2] / "LightRegistration"


def audited_environment(log: Path) -> dict[str, str]:
    """The environment of a process that records itself in a log."""
    path = os.pathsep.join(map(str, (_HOOK, _LIBRARY)))
    return {**os.environ, "OMP_NUM_THREADS": "1", "AUDIT_LOG": str(log), "PYTHONPATH": path}


def read_events(log: Path) -> list[tuple[str, str]]:
    """Name of the event, and its path or arguments."""
    return [(event, text) for event, text in map(json.loads, log.read_text(encoding="utf-8").splitlines())]


def find_forbidden(events: Iterable[tuple[str, str]], allowed: Iterable[Path]) -> list[tuple[str, str]]:
    """Find all but files written to paths that begin with the allowed ones, to devices, and to Python's caches."""
    beginnings = (*map(str, allowed), "/dev/", "/proc/self/")
    return [
        (event, text)
        for event, text in events
        if event != "open" or not (text.endswith(".pyc") or "__pycache__" in text or text.startswith(beginnings))
    ]
