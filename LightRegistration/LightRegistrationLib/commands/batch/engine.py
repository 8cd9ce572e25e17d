"""Tasks carried out by worker processes of Dask distributed."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from ...core.errors import FullDiskError, InputError
from ...core.torch_environment import TORCH_ENVIRONMENT
from ...worker.exit_reason import has_memory_error
from .plan import Processes

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster, as_completed

LOOPBACK = "127.0.0.1"
_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1),
    **TORCH_ENVIRONMENT,
}
"""Of each process: the number of threads to start with, before each pair sets its own; and that of PyTorch."""
INSTALL = "pip install 'light-registration[batch]'"
NO_WORKERS = "The scheduler has no workers; what is left waits for the next one."
_POLL_S, _WORKERS_S = 0.05, 5.0
"""How often is asked whether a task has ended, and whether a scheduler has workers, seconds. Chosen."""


class Work(Protocol):
    """What a process can do."""

    @property
    def name(self) -> str:
        """What the user knows it by; unique."""

    @property
    def what(self) -> str:
        """What it is about, in messages: pair, scan."""

    def with_threads(self, count: int) -> Self:
        """Return the same work on another number of threads."""


AnyWork = TypeVar("AnyWork", bound=Work)


def is_engine_installed() -> bool:
    """Whether Dask distributed is installed."""
    return importlib.util.find_spec("distributed") is not None


def check_engine() -> None:
    """Raise InputError if Dask distributed is not installed."""
    if not is_engine_installed():
        raise InputError(f"Dask distributed is not installed: install it with {INSTALL}.")


def measure_free_gb() -> float:
    """Measure the memory that is free on this machine, GB."""
    import psutil

    return float(psutil.virtual_memory().available) / 1e9


def describe_dashboard(client: Client) -> str:
    """Return the address of the dashboard; that of our own processes needs Bokeh, and else says so itself."""
    is_missing = client.cluster is not None and importlib.util.find_spec("bokeh") is None
    return client.dashboard_link + (" (empty until Bokeh is there: pip install bokeh)" if is_missing else "")


@contextlib.contextmanager
def open_client(processes: Processes, scheduler: str | None) -> Iterator[Client]:
    """Connect to the scheduler at an address, or start processes of our own on this machine, which end with the block.

    Raises InputError if the scheduler cannot be reached, or the processes do not start.
    """
    import dask
    from distributed import Client

    options = {
        # One pair at a time for each process, and none that dies with another: `run_tasks` tries pairs again itself.
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.scheduler.allowed-failures": 0,
        # A pair takes seconds to minutes, and a registration does not answer meanwhile.
        "distributed.scheduler.worker-ttl": None,
        "distributed.worker.profile.enabled": False,
        # Not Dask's MALLOC_TRIM_THRESHOLD_: giving memory back after each step more than doubles the time of a pair.
        "distributed.nanny.pre-spawn-environ": _ENVIRONMENT,
    }
    with dask.config.set(options), contextlib.ExitStack() as stack:
        for name in ("distributed", "distributed.client"):  # the second has a level of its own
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what fails is told in our own words
        if scheduler is None:
            cluster = _start_cluster(processes)
            yield stack.enter_context(Client(stack.enter_context(cluster)))
            return
        yield stack.enter_context(_connect(scheduler))


def _connect(scheduler: str) -> Client:
    from distributed import Client, Security

    if scheduler.startswith("tls:") and Security().get_connection_args("client").get("ssl_context") is None:
        raise InputError(
            f"{scheduler}: TLS needs certificates; name them in Dask's configuration, distributed.comm.tls."
        )
    try:
        return Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise InputError(f"{scheduler}: no Dask scheduler answers at this address ({error}).") from error


def _start_cluster(processes: Processes) -> LocalCluster:
    from distributed import LocalCluster

    try:
        return LocalCluster(
            n_workers=processes.workers,
            threads_per_worker=1,
            memory_limit=f"{processes.memory_gb:.3f}GB",
            host=LOOPBACK,
            dashboard_address=f"{LOOPBACK}:0",
            silence_logs=logging.CRITICAL,
        )
    except RuntimeError as error:
        raise InputError(
            "The processes did not start: one was killed, or the memory is full; try again, or with fewer --workers."
        ) from error


def run_tasks(
    client: Client,
    tasks: Sequence[AnyWork],
    carry_out: Callable[[AnyWork], str | None],
    on_outcome: Callable[[AnyWork, str | None], None],
    print_line: Callable[[str], None],
) -> None:
    """Carry out tasks, each in one of the client's workers.

    carry_out: does it there, and returns the line of a failure, else None. on_outcome: called with each task that has
    ended, and that line. print_line: tells the user of a task that is tried once more, and of a scheduler without
    workers. A worker that is killed, or runs out of memory, costs its task one more try, with one thread, since threads
    need memory.
    Raises InputError if the scheduler is lost, if no process of our own is left, or if the disk is full.
    """
    from distributed import as_completed

    run = secrets.token_hex(8)

    def submit(task: AnyWork, attempt: int) -> Future:
        # For a scheduler equal keys are one task; another client may use it for the same pairs and another folder.
        return client.submit(carry_out, task, key=f"{task.name}-{run}-{attempt}", pure=False)

    waiting = {submit(task, 1): task for task in tasks}
    retried: set[str] = set()
    running = as_completed(list(waiting))
    for future in _iterate_ended(client, running, print_line):
        task = waiting.pop(future)
        error, line = _read_outcome(client, future)
        if error is None:
            on_outcome(task, line)
        elif isinstance(error, FullDiskError):
            raise InputError(f"{error} What is done is kept: make room, and run the command again.") from error
        elif not is_for_want_of_memory(error):
            on_outcome(task, f"A fault of the program: {type(error).__name__}: {error}")
        elif task.name not in retried:
            retried.add(task.name)
            print_line(f"{task.name}: its process was killed or ran out of memory; once more, with one thread.")
            again = submit(task.with_threads(1), 2)
            waiting[again] = task
            running.add(again)
        else:
            on_outcome(
                task,
                f"The process was killed or ran out of memory twice with this {task.what}, the second time with one "
                "thread; is it too large for --memory?",
            )
        future.release()


def _iterate_ended(client: Client, running: as_completed, print_line: Callable[[str], None]) -> Iterator[Future]:
    """Yield the futures in the order in which they end; says once if a scheduler has lost its workers."""
    had_workers, asked = True, -math.inf
    while not running.is_empty():
        if running.has_ready():
            yield from running.next_batch(block=False)
            continue
        if client.cluster is not None:
            _check_processes(client.cluster)
        elif time.monotonic() > asked + _WORKERS_S:
            has_workers, asked = bool(client.scheduler_info()["workers"]), time.monotonic()
            if had_workers and not has_workers:
                print_line(NO_WORKERS)
            had_workers = has_workers
        time.sleep(_POLL_S)


def _check_processes(cluster: LocalCluster) -> None:
    """Raise InputError if none of our processes runs any more, nor is being started again."""
    from distributed import Status

    # Each has a nanny, which replaces it when it ends, and closes itself if that fails.
    gone = (Status.closing, Status.closing_gracefully, Status.closed, Status.failed)
    if all(nanny.status in gone for nanny in cluster.workers.values()):
        raise InputError(
            "No process is left: those that ended could not be started again; is the memory or the disk for temporary "
            "files full? What is done is kept: run the command again."
        )


def _read_outcome(client: Client, future: Future) -> tuple[BaseException | None, str | None]:
    """Return the error of a future that has ended, and else its result. Raises InputError if the scheduler is lost."""
    from distributed import CancelledError

    try:
        error = future.exception()
        return (None, future.result()) if error is None else (error, None)
    except CancelledError as lost:
        raise InputError(
            f"{client.scheduler.address}: the connection to the Dask scheduler was lost; start it and the command "
            "again: what is done is kept."
        ) from lost


def is_for_want_of_memory(error: BaseException) -> bool:
    """Whether a process was killed, which the system and Dask do for want of memory, or could reserve no more."""
    from distributed.scheduler import KilledWorker

    return isinstance(error, KilledWorker) or has_memory_error(f"{type(error).__name__}: {error}")
