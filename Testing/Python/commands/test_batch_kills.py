"""`batch` with killed processes, and with a scheduler that runs already: no half result, and the same result."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..command_line import ONE_THREAD, run_command
from ..processes import PATIENCE_S, ends
from .batch_study import Running, check_equal, make_arguments, needs_dask, read_states
from .conftest import Run

_LEAVING_S = 20.0
"""So long a process of Dask may take to leave before it is killed."""


class DaskProcesses:
    """A scheduler and one worker, started as the documents of Dask say; they end with the block."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "scheduler.json"
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> DaskProcesses:
        file = ("--scheduler-file", str(self._file))
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", *file)
        deadline = time.monotonic() + PATIENCE_S
        while not (address := self._read_address()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self._address = address
        return self

    def _read_address(self) -> str:
        try:
            return json.loads(self._file.read_text(encoding="utf-8"))["address"]
        except (FileNotFoundError, json.JSONDecodeError):  # not yet written, or half
            return ""

    @property
    def options(self) -> tuple[str, str]:
        """The options of a batch that uses them."""
        return "--scheduler", self._address

    def start_worker(self) -> None:
        self._start("worker", self._address, "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard")

    def _start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *options]
        process = subprocess.Popen(command, env=ONE_THREAD, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._started.append(process)
        return process

    def list_victims(self) -> list[int]:
        """Return the scheduler, and the processes of the workers."""
        scheduler, *workers = (process.pid for process in self._started)
        return [scheduler, *(child for worker in workers for child in list_children(worker))]

    def __exit__(self, *error: object) -> None:
        for process in reversed(self._started):
            process.terminate()
            try:
                process.wait(_LEAVING_S)
            except subprocess.TimeoutExpired:  # `dask worker` can wait forever for a child that was just starting
                for child in [*list_children(process.pid), process.pid]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
                process.wait(PATIENCE_S)
        self._file.unlink(missing_ok=True)


@needs_dask
def test_a_killed_worker_costs_its_pair_one_more_try(study: Path, finished: Run, tmp_path: Path) -> None:
    output = tmp_path / "out"
    twice = Running(study, output)
    os.kill(twice.wait_for_worker(), signal.SIGKILL)
    os.kill(twice.wait_for_worker(), signal.SIGKILL)
    stdout, stderr = twice.finish()
    assert twice.process.returncode == 2, stderr
    assert "good: its process was killed or ran out of memory; once more, with one thread." in stdout
    assert "good: The process was killed or ran out of memory twice with this pair, the second time with one" in stdout
    assert read_states(output) == {"good": "failed", "bad": "failed"}
    assert list((output / "pairs").iterdir()) == [], "an unfinished try is left behind"
    once = Running(study, output)
    os.kill(once.wait_for_worker(), signal.SIGKILL)
    _, stderr = once.finish()
    assert once.process.returncode == 2, stderr
    assert read_states(output) == {"good": "done", "bad": "failed"}
    assert [p.name for p in (output / "pairs").iterdir()] == ["good"], "unfinished tries are left behind"
    check_equal(output, finished.output)


@needs_dask
def test_a_process_that_cannot_be_replaced_ends_the_batch(study: Path, tmp_path: Path) -> None:
    """Here because its folder for temporary files is gone; want of memory does the same."""
    temporary = tmp_path / "temporary"
    running = Running(study, tmp_path / "out", environment={**ONE_THREAD, "DASK_TEMPORARY_DIRECTORY": str(temporary)})
    worker = running.wait_for_worker()
    shutil.rmtree(temporary)
    temporary.touch()
    os.kill(worker, signal.SIGKILL)
    stdout, stderr = running.finish()
    assert "good: its process was killed or ran out of memory; once more, with one thread." in stdout
    assert (running.process.returncode, len(stderr.splitlines())) == (2, 1), stderr
    assert "No process is left: those that ended could not be started again" in stderr
    assert not (tmp_path / "out" / "failed" / "good.json").exists(), "the loss counts as a failure of the pair"


@needs_dask
def test_a_killed_client_leaves_no_process(study: Path, tmp_path: Path) -> None:
    running = Running(study, tmp_path / "out")
    worker = running.wait_for_worker()
    running.process.kill()
    running.finish()
    assert ends(worker)


@needs_dask
def test_a_running_scheduler_is_used_and_its_end_is_one_line(study: Path, finished: Run, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with DaskProcesses(tmp_path) as dask:
        lost = Running(study, output, *dask.options)
        assert lost.process.stdout is not None
        assert any("The scheduler has no workers" in line for line in lost.process.stdout)
        dask.start_worker()
        lost.wait_for_worker()
        dask.scheduler.kill()
        _, stderr = lost.finish()
    assert lost.process.returncode == 2
    assert len(stderr.splitlines()) == 1
    assert "the connection to the Dask scheduler was lost" in stderr
    assert not (output / "failed").exists(), "the loss counts as a failure of the pair"
    with DaskProcesses(tmp_path) as dask:
        dask.start_worker()
        again = Running(study, output, *dask.options)
        _, stderr = again.finish()
    assert again.process.returncode == 2, stderr
    assert read_states(output) == {"good": "done", "bad": "failed"}
    check_equal(output, finished.output)


@needs_dask
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("nowhere", "no Dask scheduler answers at this address"),
        ("tls://127.0.0.1:1", "TLS needs certificates; name them in Dask's configuration"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line(study: Path, tmp_path: Path, address: str, expected: str) -> None:
    environment = {name: value for name, value in ONE_THREAD.items() if not name.startswith("DASK_")}
    arguments = make_arguments(study, tmp_path / "out", "--scheduler", address)
    done = run_command(*arguments, environment={**environment, "DASK_CONFIG": str(tmp_path)})
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert f"{address}: {expected}" in done.stderr


@needs_dask
@pytest.mark.skipif("LIGHTREG_KILLS" not in os.environ, reason="many kills: set LIGHTREG_KILLS to their number")
def test_many_kills_leave_no_half_result(study: Path, finished: Run, tmp_path: Path) -> None:
    """Client, scheduler, or worker is killed, at a moment of the whole run."""
    generator, output = random.Random(os.environ.get("LIGHTREG_KILLS_SEED", "1")), tmp_path / "out"
    started = time.monotonic()
    Running(study, output).finish()
    whole_s = time.monotonic() - started
    for number in range(int(os.environ["LIGHTREG_KILLS"])):
        if (output / "pairs" / "good").exists():
            check_equal(output, finished.output)
            shutil.rmtree(output)
        with contextlib.ExitStack() as stack:
            dask = stack.enter_context(DaskProcesses(tmp_path)) if generator.random() < 0.5 else None
            if dask is not None:
                dask.start_worker()
            running = Running(study, output, *(dask.options if dask is not None else ()))
            time.sleep(generator.uniform(0, whole_s))
            victim = generator.choice(list_victims(running, dask))
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(victim, signal.SIGKILL)
            if dask is not None and victim not in (running.process.pid, dask.scheduler.pid):
                dask.start_worker()  # one that is killed while it starts is not replaced
            _, stderr = running.finish()
        if running.process.returncode == -signal.SIGKILL:
            continue  # what its own processes say then is not asked
        assert "Traceback" not in stderr, (number, stderr)
        assert len(stderr.splitlines()) <= 1, (number, stderr)
    running = Running(study, output)
    _, stderr = running.finish()
    assert read_states(output) == {"good": "done", "bad": "failed"}, stderr
    assert [p.name for p in (output / "pairs").iterdir()] == ["good"], "unfinished tries are left behind"
    check_equal(output, finished.output)


def list_victims(running: Running, dask: DaskProcesses | None) -> list[int]:
    """Return the processes of a batch; of `dask worker` those that it has started."""
    client = running.process.pid
    return [client, *list_children(client)] if dask is None else [client, *dask.list_victims()]


def list_children(process_id: int) -> list[int]:
    """Return the processes that a process has started, those that they have started, and so on.

    Without those of Python's `multiprocessing` that count semaphores: they hold no work, and complain when killed.
    """
    import psutil

    try:
        children = psutil.Process(process_id).children(recursive=True)
        return [child.pid for child in children if not any("resource_tracker" in word for word in child.cmdline())]
    except psutil.NoSuchProcess:
        return []
