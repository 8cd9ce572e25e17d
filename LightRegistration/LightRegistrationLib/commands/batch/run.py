"""A whole batch: what has to be done is found, carried out, and summed up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ...core.thread_count import check_threads
from ...training.evaluation.pairs import EvaluationPair, read_pairs
from ..files.bids_names import Layout
from ..files.path_errors import report_path_errors, report_write_errors
from ..files.private_folder import lock_output
from ..register.request import FilesRequest
from ..terminal.progress_bar import ShowProgress
from .bids import DERIVATIVES_FOLDER, list_bids_pairs, name_derivatives, write_derivatives
from .engine import check_engine, describe_dashboard, measure_free_gb, open_client, run_tasks
from .plan import Processes, Shape, arrange_pairs, plan_processes
from .rows import Row
from .summary import write_summary
from .task import Task, compute_key, make_hasher, register_task

PAIRS_FOLDER, FAILED_FOLDER = "pairs", "failed"


@dataclass(frozen=True)
class BatchRequest:
    """A batch.

    pairs: list of pairs, or the top folder of a BIDS data set (is_bids), of which `filters` choose the scans; fixed:
    the fixed volume of ALL_TO_ONE there. options: the settings of each pair; its files are not used, and its threads
    are chosen here. workers, threads, memory_gb: None for what fits this machine. scheduler: address of a running one.
    """

    pairs: Path
    output: Path
    options: FilesRequest
    shape: Shape = Shape.PAIRS
    workers: int | None = None
    threads: int | None = None
    memory_gb: float | None = None
    scheduler: str | None = None
    retry_failed: bool = False
    is_bids: bool = False
    filters: tuple[str, ...] = ()
    fixed: Path | None = None
    layout: Layout = Layout.FOLDERS


@dataclass(frozen=True)
class Batch:
    """What a batch has to do. waiting: the tasks that will be carried out."""

    tasks: tuple[Task, ...]
    waiting: tuple[Task, ...]
    processes: Processes

    def describe(self) -> str:
        """Return a line that says what will be done."""
        done = sum(task.is_done() for task in self.tasks)
        failed = len(self.tasks) - done - len(self.waiting)
        skipped = f", {failed} failed before (--retry-failed tries them again)" if failed else ""
        pairs = f"{len(self.tasks)} {'pair' if len(self.tasks) == 1 else 'pairs'}"
        return f"{pairs}: {done} done{skipped}, {len(self.waiting)} to register."


def prepare(request: BatchRequest) -> Batch:
    """Read the list, and find what is done. Raises InputError for a list or a folder that cannot be used."""
    check_engine()
    if request.output.exists() and not request.output.is_dir():
        raise InputError(f"{request.output}: the output is a folder, but this is a file; choose another name.")
    if request.is_bids:
        listed = list_bids_pairs(request.pairs, request.filters, request.fixed, request.shape)
    else:
        listed = read_pairs(request.pairs, needs_both_labels=False)
    pairs = arrange_pairs(listed, request.shape)
    # The cores of the machines behind a scheduler are not known here.
    threads = 1 if request.scheduler and request.threads is None else request.threads
    processes = plan_processes(
        len(pairs), os.cpu_count() or 1, measure_free_gb(), request.workers, threads, request.memory_gb
    )
    if request.scheduler is None:
        check_threads(processes.threads)
    compute_hash = make_hasher()
    tasks = tuple(_make_task(pair, request, processes.threads, compute_hash) for pair in pairs)
    if request.layout == Layout.BIDS:
        name_derivatives(tasks)  # raises its errors before anything is registered
    waiting = tuple(
        task for task in tasks if not task.is_done() and (request.retry_failed or task.read_failure() is None)
    )
    return Batch(tasks, waiting, processes)


def run_batch(request: BatchRequest, batch: Batch, show: ShowProgress, print_line: Callable[[str], None]) -> list[Row]:
    """Register the pairs that wait, and write the table and the page; returns their rows.

    Raises InputError if the folder cannot be written, or another batch is writing there.
    """
    with report_write_errors(request.output), lock_output(request.output, "batch"):
        # Another run may have done some of it since the batch was prepared.
        waiting = [task for task in batch.waiting if not task.is_done()]
        if waiting:
            with open_client(batch.processes, request.scheduler) as client:
                print_line(f"Scheduler: {client.scheduler.address}; dashboard: {describe_dashboard(client)}")
                _carry_out(client, waiting, show, print_line)
        if request.layout == Layout.BIDS:
            write_derivatives(request.output / DERIVATIVES_FOLDER, batch.tasks)
        return write_summary(request.output, batch.tasks)


def _carry_out(client: Any, waiting: Sequence[Task], show: ShowProgress, print_line: Callable[[str], None]) -> None:
    started, ended = time.monotonic(), 0

    def keep(task: Task, failure: str | None) -> None:
        nonlocal ended
        if failure is None:
            task.failure.unlink(missing_ok=True)
        else:
            task.write_failure(failure)
        ended += 1
        left_s = (time.monotonic() - started) / ended * (len(waiting) - ended)
        show(ended / len(waiting), f"{ended} of {len(waiting)}, {left_s / 60:.0f} min left")

    run_tasks(client, waiting, register_task, keep, print_line)


def _make_task(pair: EvaluationPair, request: BatchRequest, threads: int, compute_hash: Callable[[Path], str]) -> Task:
    files = replace(
        request.options,
        inverse=request.options.inverse or request.layout == Layout.BIDS,
        fixed=pair.fixed.absolute(),
        moving=pair.moving.absolute(),
        fixed_segmentation=_make_absolute(pair.fixed_labels),
        moving_segmentation=_make_absolute(pair.moving_labels),
        landmarks=_make_absolute(pair.landmarks),
        settings=replace(request.options.settings, threads=threads),
    )
    with report_path_errors(pair.fixed):
        key = compute_key(files, compute_hash)
    output = request.output.absolute()
    folder, failure = output / PAIRS_FOLDER / pair.name, output / FAILED_FOLDER / f"{pair.name}.json"
    return Task(pair.name, files, folder, failure, key, pair.group)


def _make_absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()
