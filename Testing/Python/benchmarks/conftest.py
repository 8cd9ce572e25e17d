"""Runs the benchmark commands in this process: each of their imports takes seconds."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import SimpleITK as sitk
import torch

from LightRegistrationLib.commands.phantom.pair import make_head

from ..command_line import start_command

FOLDER = Path(__file__).parents[2] / "Benchmarks"


@dataclass(frozen=True)
class Finished:
    """How a command ended, and what it said."""

    status: int
    stdout: str
    stderr: str


RunBenchmark = Callable[..., Finished]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[RunBenchmark]:
    """Gives a function of the command's name and its arguments."""
    threads = torch.get_num_threads(), sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    monkeypatch.syspath_prepend(str(FOLDER))

    def run(name: str, *arguments: str | Path) -> Finished:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            importlib.import_module(name).main()
        except SystemExit as end:
            status = int(end.code or 0)
        return Finished(status, *capsys.readouterr())

    yield run
    torch.set_num_threads(threads[0])
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads[1])


@pytest.fixture
def forked_rows(benchmark: RunBenchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a comparison run in processes forked from one that has loaded torch, which takes longer than a row."""
    from compare import process

    def run_row(request: Path, answer: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        return start_command(
            request, answer, environment=environment, folder=request.parent, program="compare.row"
        ).wait()

    if hasattr(os, "fork"):
        monkeypatch.setattr(process, "run_row", run_row)


@pytest.fixture
def head_data(tmp_path: Path) -> Path:
    """Three phantom heads in the place of the brains."""
    folder, records = tmp_path / "data", []
    folder.mkdir()
    for seed in range(3):
        scan, labels = make_head(seed, 5.0)
        for name, array in ((f"{seed}.nii", scan.array), (f"{seed}_labels.nii", labels.layers[0])):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((5.0, 5.0, 5.0))
            sitk.WriteImage(image, str(folder / name))
        record = {"id": f"head {seed}", "anatomy": "brain_t1", "image": f"{seed}.nii", "labels": f"{seed}_labels.nii"}
        records.append(record)
    (folder / "manifest.json").write_text(json.dumps({"records": records}))
    return folder
