"""Runs the real command line in a fresh process, or in a process forked from one that has loaded the libraries.

Importing torch, VTK and Slicer takes longer than most commands. Otherwise a forked process behaves like a fresh one:
it has its own arguments, environment, working folder and standard streams, and it ends by itself.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from . import quick_model
from .processes import PATIENCE_S

COMMAND = (sys.executable, "-m", "LightRegistrationLib.commands")
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
QUICK = ("--model", quick_model.NAME, "--threads", "1")
"""Options for a registration whose accuracy does not matter."""

Finished = subprocess.CompletedProcess[str]


def run_command(
    *arguments: str | Path, environment: Mapping[str, str] = ONE_THREAD, folder: str | Path = "."
) -> Finished:
    """Run light-registration in a forked process, or in a fresh one on systems without fork."""
    if not hasattr(os, "fork"):
        return run_fresh_command(*arguments, environment=environment, folder=folder)
    return start_command(*arguments, environment=environment, folder=folder).wait()


def run_fresh_command(
    *arguments: str | Path, environment: Mapping[str, str] = ONE_THREAD, folder: str | Path = "."
) -> Finished:
    """Run light-registration as a user does: in a new Python process."""
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


def start_command(
    *arguments: str | Path,
    environment: Mapping[str, str] = ONE_THREAD,
    folder: str | Path = ".",
    program: str = "light-registration",
) -> RunningCommand:
    """Fork a process that runs light-registration; no other may be started before it has ended.

    program: a key of `fork_commands.PROGRAMS`.
    """
    return _start_warm_process().start(program, [*map(str, arguments)], environment, Path(folder).resolve())


class RunningCommand:
    """A running command: its standard error can be read line by line, and it can be sent signals."""

    def __init__(self, warm: _WarmProcess, arguments: list[str], streams: tempfile.TemporaryDirectory[str]) -> None:
        self._warm = warm
        self._arguments = arguments
        self._streams = streams
        self._watchdog = threading.Timer(PATIENCE_S, self.send_signal, (signal.SIGKILL,))
        self._watchdog.start()
        self.stderr = (Path(streams.name) / "stderr").open(encoding="utf-8", errors="surrogateescape")

    @property
    def process_id(self) -> int:
        return self._warm.child

    def send_signal(self, number: int) -> None:
        os.kill(self.process_id, number)

    def wait(self) -> Finished:
        """Read the rest of its output and wait until it has ended."""
        stderr = self.stderr.read()
        status = self._warm.read_number()
        self._watchdog.cancel()
        self.stderr.close()
        stdout = (Path(self._streams.name) / "stdout").read_bytes().decode("utf-8", "surrogateescape")
        self._streams.cleanup()
        return subprocess.CompletedProcess([*COMMAND, *self._arguments], status, stdout, stderr)


@functools.cache
def _start_warm_process() -> _WarmProcess:
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
        self.child = 0

    def start(self, program: str, arguments: list[str], environment: Mapping[str, str], folder: Path) -> RunningCommand:
        assert self._process.stdin is not None
        streams = tempfile.TemporaryDirectory()
        files = [Path(streams.name) / name for name in ("stdout", "stderr")]
        files[0].touch()
        os.mkfifo(files[1])
        request = {
            "program": program,
            "arguments": arguments,
            "environment": dict(environment),
            "folder": str(folder),
            "files": [str(file) for file in files],
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        self.child = self.read_number()
        return RunningCommand(self, arguments, streams)

    def read_number(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)
