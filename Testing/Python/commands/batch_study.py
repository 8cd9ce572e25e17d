"""A study of two pairs, one of them damaged, for the tests of `batch`; and a batch whose processes can be killed."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from ..command_line import COMMAND, ONE_THREAD, QUICK
from ..processes import PATIENCE_S
from .pair_files import PairFiles

LANDMARKS = np.array([[[10.0, 20, 5], [12, 21, 5]], [[-30, 5, 10], [-28, 9, 11]]])
"""Of the good pair: (n, 2, 3), fixed and moving, RAS mm; they need not be right."""
HAS_DASK = importlib.util.find_spec("distributed") is not None
needs_dask = pytest.mark.skipif(
    not HAS_DASK, reason="NOT TESTED with real processes: Dask is not installed (pip install distributed)"
)


def write_study(folder: Path, pair_files: PairFiles) -> Path:
    """Write a list of a good pair, with landmarks, and of a damaged file."""
    (folder / "damaged.nii.gz").write_bytes(pair_files.moving.read_bytes()[:3000])
    rows = [",".join(f"{role}_{axis}" for role in ("fixed", "moving") for axis in "xyz")]
    rows += [",".join(f"{value}" for value in mark.ravel()) for mark in LANDMARKS]
    (folder / "marks.csv").write_text("\n".join(rows) + "\n")
    rows = [
        "fixed,moving,landmarks,id,group",
        f"{pair_files.fixed},{pair_files.moving},marks.csv,good,heads",
        f"{pair_files.fixed},damaged.nii.gz,,bad,heads",
    ]
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")
    return folder / "pairs.csv"


def make_arguments(study: Path, output: Path, *engine: str) -> tuple[str | Path, ...]:
    """Return the arguments of a batch of the study, by default with one process of its own."""
    return ("batch", study, "--output", output, *(engine or ("--workers", "1")), *QUICK)


def read_states(output: Path) -> dict[str, str]:
    with (output / "table.csv").open(newline="") as stream:
        return {row["name"]: row["state"] for row in csv.DictReader(stream)}


def check_equal(output: Path, expected: Path) -> None:
    """Raise AssertionError unless both folders hold the same result of the good pair."""
    own, other = (folder / "pairs" / "good" for folder in (output, expected))
    assert {p.name for p in own.iterdir()} == {p.name for p in other.iterdir()}
    for name in ("warped.nii.gz", "thumbnail.png"):
        assert (own / name).read_bytes() == (other / name).read_bytes(), name
    points = np.random.default_rng(2).uniform(-60, 60, (50, 3)).tolist()
    transforms = [sitk.ReadTransform(str(folder / "transform.h5")) for folder in (own, other)]
    assert len({str([t.TransformPoint(p) for p in points]) for t in transforms}) == 1


class Running:
    """A batch of the study that runs, whose processes can be killed."""

    def __init__(self, study: Path, output: Path, *engine: str, environment: Mapping[str, str] = ONE_THREAD) -> None:
        self.output = output
        self._known = self._list_unfinished()
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, make_arguments(study, output, *engine)), "--retry-failed"],
            env={**environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_worker(self) -> int:
        """Wait until a new process writes the result of the good pair; returns the process."""
        (owner,) = wait_for(
            lambda: [pid for folder in self._list_unfinished() - self._known for pid in find_owner(folder)]
        )
        self._known |= self._list_unfinished()
        return owner

    def _list_unfinished(self) -> set[Path]:
        return set((self.output / "pairs").glob(".good.unfinished-*"))

    def finish(self) -> tuple[str, str]:
        """Wait for the end; returns what was written to the standard output and error."""
        return self.process.communicate(timeout=2 * PATIENCE_S)


def wait_for(find: Callable[[], list[int]]) -> list[int]:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := find()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def find_owner(folder: Path) -> list[int]:
    """The process that has a folder open, as its lock; none if it has just ended."""
    for descriptors in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):  # of another user, or ended
            if any(os.readlink(link) == str(folder) for link in descriptors.iterdir()):
                return [int(descriptors.parent.name)]
    return []
