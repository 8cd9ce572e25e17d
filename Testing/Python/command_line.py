"""Runs of the real command line: in a process of its own, or forked from one that has its libraries loaded already.

Importing torch, VTK and Slicer takes longer than most commands do. A forked process differs from a fresh one in
nothing else: it has its own arguments, environment, folder and standard streams, and ends by itself.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .processes import PATIENCE_S

COMMAND = (sys.executable, "-m", "LightRegistrationLib.commands")
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}

Finished = subprocess.CompletedProcess[str]


def run_command(
    *arguments: str | Path, environment: Mapping[str, str] = ONE_THREAD, folder: str | Path = "."
) -> Finished:
    """Run light-registration in a process that is forked from a warm one, or in a fresh one where there is no fork."""
    if not hasattr(os, "fork"):
        return run_fresh_command(*arguments, environment=environment, folder=folder)
    return _warm_process().run([*map(str, arguments)], environment, Path(folder).resolve())


def run_fresh_command(
    *arguments: str | Path, environment: Mapping[str, str] = ONE_THREAD, folder: str | Path = "."
) -> Finished:
    """Run light-registration as a user does: a new Python process."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        env=environment,
        cwd=folder,
        timeout=PATIENCE_S,
        check=False,
    )


@functools.cache
def _warm_process() -> _WarmProcess:
    process = _WarmProcess()
    atexit.register(process.close)
    return process


class _WarmProcess:
    """The process that commands are forked from; started with the first command."""

    def __init__(self) -> None:
        program = [sys.executable, str(Path(__file__).with_name("fork_commands.py"))]
        self._process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ONE_THREAD, encoding="utf-8"
        )

    def run(self, arguments: list[str], environment: Mapping[str, str], folder: Path) -> Finished:
        assert self._process.stdin is not None
        with tempfile.TemporaryDirectory() as streams:
            files = [str(Path(streams) / name) for name in ("stdout", "stderr")]
            request = {"arguments": arguments, "environment": dict(environment), "folder": str(folder), "files": files}
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            status = self._answer()
            texts = [Path(file).read_bytes().decode("utf-8", "surrogateescape") for file in files]
        return subprocess.CompletedProcess([*COMMAND, *arguments], status, *texts)

    def _answer(self) -> int:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE_S)
        if not ready:
            self._process.kill()
            raise TimeoutError(f"a command did not end within {PATIENCE_S} s")
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)
