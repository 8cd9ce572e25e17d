"""Tasks carried out by worker processes of Dask distributed."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ...core.errors import InputError
from .plan import Processes
from .settings import BATCH
from .task import Task, register_task

if TYPE_CHECKING:
    from distributed import Client

LOOPBACK = "127.0.0.1"
INSTALL = "pip install 'light-registration[batch]'"

OnOutcome = Callable[[Task, str | None], None]
"""Called with each task that has ended and the line of its failure, None if it is done."""


def check_engine() -> None:
    """Raise InputError if Dask distributed is not installed."""
    if importlib.util.find_spec("distributed") is None:
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
        "distributed.scheduler.allowed-failures": BATCH.allowed_failures,
        # A pair takes seconds to minutes, and a registration does not answer meanwhile.
        "distributed.scheduler.worker-ttl": None,
        "distributed.worker.profile.enabled": False,
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


def run_tasks(client: Client, tasks: Sequence[Task], on_outcome: OnOutcome) -> None:
    """Carry out tasks, each in one of the client's workers; a worker that dies costs its task one more try."""
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    futures = {client.submit(register_task, task, key=f"{task.name}-{task.key}", pure=False): task for task in tasks}
    for future in as_completed(list(futures)):
        task = futures.pop(future)
        error = future.exception()
        if error is None:
            on_outcome(task, future.result())
        elif isinstance(error, KilledWorker):
            on_outcome(task, "The process was killed twice with this pair; is it too large for --memory?")
        else:
            on_outcome(task, f"A fault of the program: {type(error).__name__}: {error}")
        future.release()
