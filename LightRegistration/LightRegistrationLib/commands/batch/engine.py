"""Tasks carried out by worker processes of Dask distributed."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from ...core.errors import InputError
from ...core.torch_environment import TORCH_ENVIRONMENT
from ...worker.exit_reason import has_memory_error
from .plan import Processes

if TYPE_CHECKING:
    from distributed import Client, Future

LOOPBACK = "127.0.0.1"
_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1),
    **TORCH_ENVIRONMENT,
}
"""Of each process: the number of threads to start with, before each pair sets its own; and that of PyTorch."""
INSTALL = "pip install 'light-registration[batch]'"


class Work(Protocol):
    """What a process can do. name, key: together unique."""

    @property
    def name(self) -> str:
        """What the user knows it by."""

    @property
    def key(self) -> str:
        """A hash of all that the result depends on."""

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


@contextlib.contextmanager
def open_client(processes: Processes, scheduler: str | None) -> Iterator[Client]:
    """Connect to the scheduler at an address, or start processes of our own on this machine, which end with the block.

    Raises InputError if the scheduler cannot be reached.
    """
    import dask
    from distributed import Client, LocalCluster

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
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # a worker that dies is told in the table
        if scheduler is None:
            cluster = LocalCluster(
                n_workers=processes.workers,
                threads_per_worker=1,
                memory_limit=f"{processes.memory_gb:.3f}GB",
                host=LOOPBACK,
                dashboard_address=f"{LOOPBACK}:0",
                silence_logs=logging.CRITICAL,
            )
            yield stack.enter_context(Client(stack.enter_context(cluster)))
            return
        try:
            client = Client(scheduler, timeout=10)
        except (OSError, ValueError) as error:
            raise InputError(f"{scheduler}: no Dask scheduler answers at this address ({error}).") from error
        yield stack.enter_context(client)


def run_tasks(
    client: Client,
    tasks: Sequence[AnyWork],
    carry_out: Callable[[AnyWork], str | None],
    on_outcome: Callable[[AnyWork, str | None], None],
    on_retry: Callable[[AnyWork], None],
) -> None:
    """Carry out tasks, each in one of the client's workers.

    carry_out: does it there, and returns the line of a failure, else None. on_outcome: called with each task that has
    ended, and that line. on_retry: called with each task that is tried once more: a worker that is killed, or runs out
    of memory, costs its task one more try, with one thread, since threads need memory.
    """
    from distributed import as_completed

    waiting = {_submit(client, carry_out, task, 1): task for task in tasks}
    retried: set[str] = set()
    running = as_completed(list(waiting))
    for future in running:
        task = waiting.pop(future)
        error = future.exception()
        if error is None:
            on_outcome(task, future.result())
        elif not is_for_want_of_memory(error):
            on_outcome(task, f"A fault of the program: {type(error).__name__}: {error}")
        elif task.name not in retried:
            retried.add(task.name)
            on_retry(task)
            again = _submit(client, carry_out, task.with_threads(1), 2)
            waiting[again] = task
            running.add(again)
        else:
            on_outcome(
                task,
                f"The process was killed or ran out of memory twice with this {task.what}, the second time with one "
                "thread; is it too large for --memory?",
            )
        future.release()


def _submit(client: Client, carry_out: Callable[[AnyWork], str | None], task: AnyWork, attempt: int) -> Future:
    return client.submit(carry_out, task, key=f"{task.name}-{task.key}-{attempt}", pure=False)


def is_for_want_of_memory(error: BaseException) -> bool:
    """Whether a process was killed, which the system and Dask do for want of memory, or could reserve no more."""
    from distributed.scheduler import KilledWorker

    return isinstance(error, KilledWorker) or has_memory_error(f"{type(error).__name__}: {error}")
