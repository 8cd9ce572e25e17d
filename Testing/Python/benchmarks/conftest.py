"""Runs the benchmark commands in this process: each of their imports takes seconds."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import SimpleITK as sitk
import torch

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
