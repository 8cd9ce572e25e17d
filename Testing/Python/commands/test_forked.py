"""A forked command, as these tests use it, does the same as a fresh one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ..command_line import run_command, run_fresh_command
from .conftest import Run
from .pair_files import PairFiles

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork: every command is a fresh process")


@pytest.mark.parametrize("arguments", [("--version",), ("models",), ("paint",), ("register", "one.nii")])
def test_a_forked_command_prints_and_returns_the_same_as_a_fresh_one(arguments: tuple[str, ...]) -> None:
    forked, fresh = run_command(*arguments), run_fresh_command(*arguments)
    assert (forked.returncode, forked.stdout, forked.stderr) == (fresh.returncode, fresh.stdout, fresh.stderr)


def test_a_forked_command_writes_the_same_files_as_a_fresh_one(
    pair_files: PairFiles, registered: Run, tmp_path: Path
) -> None:
    done = run_command(
        "register",
        pair_files.fixed,
        pair_files.moving,
        *("--fixed-segmentation", pair_files.fixed_segmentation),
        *("--moving-segmentation", pair_files.moving_segmentation),
        *("--output", "forked", "--threads", "1"),
        folder=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (registered.status, registered.stdout, registered.stderr)
    fresh = {path.name: path.read_bytes() for path in registered.output.iterdir()}
    forked = {path.name: path.read_bytes() for path in (tmp_path / "forked").iterdir()}
    assert forked.keys() == fresh.keys()
    assert forked["warped.nii.gz"] == fresh["warped.nii.gz"]
    assert forked["warped_segmentation.nii.gz"] == fresh["warped_segmentation.nii.gz"]
