"""Jobs carried out one after the other in this process, or in several processes of Dask distributed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from ...core.errors import InputError
from ..batch.engine import INSTALL, is_engine_installed, open_client, run_tasks
from ..batch.plan import Processes
from .jobs import Job, carry_out

RunJobs = Callable[[Sequence[Job], Callable[[int], None]], None]
"""Carries out the jobs that are not done; calls the function with the number of those that are. Raises InputError."""


def check_processes(processes: Processes) -> None:
    """Raise InputError if several processes are asked for and Dask distributed is not installed."""
    if processes.workers > 1 and not is_engine_installed():
        raise InputError(f"Several processes need Dask distributed: install it with {INSTALL}, or use --workers 1.")


@contextlib.contextmanager
def open_pool(processes: Processes, print_line: Callable[[str], None]) -> Iterator[RunJobs]:
    """Start the processes, which end with the block; one process is this one."""
    if processes.workers == 1:
        yield _run_here
        return
    with open_client(processes, None) as client:

        def run(jobs: Sequence[Job], on_done: Callable[[int], None]) -> None:
            waiting = [job for job in jobs if not job.is_done()]
            failures: dict[str, str] = {}
            done = len(jobs) - len(waiting)

            def keep(job: Job, failure: str | None) -> None:
                nonlocal done
                done += 1
                if failure is not None:
                    failures[job.name] = failure
                on_done(done)

            run_tasks(client, waiting, carry_out, keep, print_line)
            for job in waiting:
                if job.name in failures:
                    raise _report_failure(job, failures[job.name])

        yield run


def _run_here(jobs: Sequence[Job], on_done: Callable[[int], None]) -> None:
    for done, job in enumerate(jobs, 1):
        if not job.is_done():
            failure = carry_out(job)
            if failure is not None:
                raise _report_failure(job, failure)
        on_done(done)


def _report_failure(job: Job, line: str) -> InputError:
    return InputError(f"{job.name}: {line} Repair it or leave it out of the group; what is done is kept.")
