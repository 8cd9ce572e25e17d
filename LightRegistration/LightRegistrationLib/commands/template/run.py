"""A whole template: the scans are read, the iterations made as far as they are missing, and the result written."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ...core.thread_count import check_threads
from ..batch.engine import measure_free_gb
from ..batch.plan import Processes, plan_processes
from ..files.json_files import read_json
from ..files.output_folder import check_output, staging_folder
from ..files.path_errors import report_write_errors
from ..files.private_folder import lock_output
from ..terminal.progress_bar import ShowProgress
from .group import ScanContent, compute_group_key, list_contents, make_key, read_group
from .iteration import Iteration, OnFraction, Workplace, improve, make_affine_mean, prepare_maps
from .outputs import write_template
from .pool import check_processes, open_pool
from .request import SUMMARY_FILE, TEMPLATE_ENTRIES, WORK_FOLDER, TemplateRequest

_GROUP_FILE = "group.json"
_READING = 0.05
"""Fraction of the progress that reading has reached."""


def plan_template_processes(request: TemplateRequest) -> Processes:
    """Choose how many processes work, and check that they can. Raises InputError."""
    processes = plan_processes(
        len(request.scans),
        os.cpu_count() or 1,
        measure_free_gb(),
        request.workers,
        request.registration.threads,
        request.memory_gb,
    )
    check_threads(processes.threads)
    check_processes(processes)
    return processes


def build_into_output(
    request: TemplateRequest,
    processes: Processes,
    force: bool,
    show: ShowProgress,
    print_line: Callable[[str], None],
) -> dict[str, Any]:
    """Build the template, or continue where an earlier run ended; returns the summary. Raises InputError."""
    contents = list_contents(request)
    key = compute_group_key(request, contents)
    final_key = _make_final_key(request, contents, key)
    check_output(request.output, request.files, True, TEMPLATE_ENTRIES)
    _check_folder(request.output, key, final_key, force)
    with report_write_errors(request.output), lock_output(request.output, "template"):
        summary = read_json(request.output / SUMMARY_FILE)
        if summary.get("key") == final_key:
            print_line(f"{request.output} holds this template already; nothing is left to do.")
            return summary
        work = request.output / WORK_FOLDER
        _prepare_work(work, key)
        return _build(request, processes, contents, (key, final_key), work, show, print_line)


def _make_final_key(request: TemplateRequest, contents: Sequence[ScanContent], key: str) -> str:
    names = [(content.scan.name, content.labels) for content in contents]
    return make_key([key, request.iterations, names, request.probabilities, request.compress])


def _check_folder(output: Path, key: str, final_key: str, force: bool) -> None:
    """Raise InputError for a folder with other content than that of this template, unless it may be replaced."""
    if force or not output.is_dir() or not any(output.iterdir()):
        return
    known = read_json(output / WORK_FOLDER / _GROUP_FILE).get("key")
    if known is None and read_json(output / SUMMARY_FILE).get("key") != final_key:
        raise InputError(f"{output}: the folder is not empty; choose another one or add --force.")
    if known is not None and known != key:
        raise InputError(
            f"{output}: the folder holds a template of other scans or settings; choose another one, or add --force to "
            "replace it."
        )


def _prepare_work(work: Path, key: str) -> None:
    if read_json(work / _GROUP_FILE).get("key") != key:
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(exist_ok=True)
    (work / _GROUP_FILE).write_text(f'{{"key": "{key}"}}\n', encoding="utf-8")
    for name in ("labels", "votes"):
        shutil.rmtree(work / name, ignore_errors=True)


@contextlib.contextmanager
def _discard_new_work(output: Path) -> Iterator[None]:
    """If the block fails, remove the folder that was made for the work, unless an iteration is in it."""
    work = output / WORK_FOLDER
    try:
        yield
    except BaseException:
        for name in ("labels", "scans"):
            shutil.rmtree(work / name, ignore_errors=True)
        if {path.name for path in work.iterdir()} <= {_GROUP_FILE}:
            shutil.rmtree(work)
            with contextlib.suppress(OSError):  # other files are in it
                output.rmdir()
        raise


def _build(
    request: TemplateRequest,
    processes: Processes,
    contents: list[ScanContent],
    keys: tuple[str, str],
    folder: Path,
    show: ShowProgress,
    print_line: Callable[[str], None],
) -> dict[str, Any]:
    # Importing Slicer takes a second and torch several: all checks that need neither come before.
    from ...scene.headless.application import headless_application

    scene = headless_application().scene
    warnings: list[str] = []
    count = len(contents)

    def show_reading(done: int) -> None:
        show(_READING * done / count, f"reading, {done} of {count}")

    with _discard_new_work(request.output):
        group = read_group(scene, request, contents, folder, warnings.append, show_reading)
    with open_pool(processes, print_line) as run_jobs:
        settings = replace(request.registration, threads=processes.threads)
        work = Workplace(group, settings, request.spacing_mm, keys[0], folder, run_jobs)
        iterations = _iterate(work, request.iterations, show)
        last = iterations[-1]
        # The maps of the last iteration are there unless a later result was finished before.
        warps, _ = prepare_maps(work, iterations[-2], lambda part, what: None)
        run_jobs(warps, lambda done: None)
        with staging_folder(request.output, TEMPLATE_ENTRIES) as staging:
            summary = write_template(scene, request, group, iterations, warps, keys[1], warnings, staging)
    work.discard_parts(last.number)
    for name in ("labels", "votes", "scans"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return summary


def _iterate(work: Workplace, count: int, show: ShowProgress) -> list[Iteration]:
    """Return the affine mean and all iterations; makes those that are missing."""
    share = (1 - _READING) / (count + 1)

    def scale(number: int) -> OnFraction:
        name = "affine mean" if number == 0 else f"iteration {number} of {count}"
        return lambda part, what: show(_READING + (number + part) * share, f"{name}: {what}")

    done = [work.find(0) or make_affine_mean(work, scale(0))]
    for number in range(1, count + 1):
        done.append(work.find(number) or improve(work, done[-1], scale(number)))
        work.discard_parts(number - 1)
    return done
