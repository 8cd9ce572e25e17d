"""Runs the `train` and `distill` commands: trains or resumes, handles stop signals, exports the model."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ..files.path_errors import report_write_errors
from ..terminal.stop_signals import StopSignals
from .request import (
    MODELS_FOLDER,
    STATE_FILE,
    TrainingRequest,
    check_card,
    check_installed,
    check_paths,
    find_config,
    find_state_file,
    find_teacher,
    read_config,
)

if TYPE_CHECKING:
    from ...training.configuration import AnyConfig, AnyStudentConfig
    from ...training.monitoring.monitor import RunSummary
    from ...training.monitoring.run_monitor import RunMonitor

HOW_TO_RESUME = "to resume, run the same command again."


def train(request: TrainingRequest) -> None:
    """Train, or resume from the state in the output folder; prints the outcome and the next command at the end.

    A finished student is exported to models/<name> in the output folder. Raises InputError for wrong input, and
    SystemExit with the status of the signal that stopped the run.
    """
    check_installed()
    find_config(request.config)
    check_paths(request)
    # The training libraries take seconds to import: all checks that do not need them come before.
    from ...training.monitoring.run_monitor import RunMonitor

    config = read_config(request)
    is_new = not request.output.exists()
    with report_write_errors(request.output):
        request.output.mkdir(parents=True, exist_ok=True)
    monitor = RunMonitor(request.output, sys.stderr, tensorboard=request.tensorboard)
    try:
        summary = _run_until_signal(request, config, monitor)
    except InputError:
        if is_new and not any(request.output.iterdir()):
            request.output.rmdir()
        raise
    print(f"{summary.name} is trained.")
    rows = _list_outcome(request, config, summary, monitor)
    print("\n".join(f"  {name:<12}{value}" for name, value in rows))


def export_run(run: Path, models: Path | None) -> Path:
    """Export the student of a run, finished or not; returns the model folder.

    run: the folder of a run, or its state.pt. models: folder of models, None for that of the run. Raises InputError.
    """
    check_installed()
    from ...training.configuration import TeacherTrainingConfig
    from ...training.configuration_file import load_state_config

    state_file = find_state_file(run)
    config = load_state_config(state_file)
    if isinstance(config, TeacherTrainingConfig):
        raise InputError(f"{state_file}: a teacher is used in training only; export its student.")
    check_card(state_file, config)
    return _export(state_file, config, models or state_file.parent / MODELS_FOLDER)


def is_first_process() -> bool:
    """Whether this is the process that prints, of the processes of a run on several devices or machines."""
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in ranks)


def _run_until_signal(request: TrainingRequest, config: AnyConfig, monitor: RunMonitor) -> RunSummary:
    """Train to the end; after a signal the run saves its state and the process exits with the signal's status."""
    first = is_first_process()
    print_line: Callable[[str], None] = monitor.display.write_line if first else _ignore_line
    # Only the first process knows the unsaved steps; it saves, and needs the others until then.
    stop = StopSignals(lambda: not first or monitor.unsaved_steps > 0, print_line)
    monitor.is_stop_requested = stop.is_stop_requested
    with stop, _print_log(print_line):
        try:
            summary = _run(request, config, monitor)
        except SystemExit:
            if stop.is_stop_requested():
                state = request.output / STATE_FILE
                kept = f"{state} is intact" if state.exists() else "no state was saved yet"
                print_line(f"stopped; {kept}; {HOW_TO_RESUME}")
            raise
        finally:
            monitor.close()
    if stop.is_stop_requested() and not summary.is_finished:
        print(f"stopped and saved at step {summary.step} of {summary.last}; {HOW_TO_RESUME}", file=sys.stderr)
        sys.exit(stop.status)
    return summary


def _ignore_line(line: str) -> None:
    """Print nothing: the first process does."""


def _run(request: TrainingRequest, config: AnyConfig, monitor: RunMonitor) -> RunSummary:
    from ...training.configuration import DistillationConfig, TeacherTrainingConfig
    from ...training.loop.hardware import Hardware

    common: dict[str, Any] = {"hardware": Hardware(**request.hardware), "monitor": monitor}
    if isinstance(config, TeacherTrainingConfig):
        from ...training.trainers.teacher import train_teacher

        return train_teacher(config, request.data, request.output, **common)
    if isinstance(config, DistillationConfig):
        from ...training.trainers.distillation import distill

        teacher = find_teacher(config, request.teacher)
        return distill(config, teacher, request.data, request.output, store=request.store, **common)
    from ...training.trainers.student import train_student

    return train_student(config, request.data, request.output, **common)


@contextmanager
def _print_log(print_line: Callable[[str], None]) -> Iterator[None]:
    """Print the log of the training layer in the run's display, except for the steps, which it shows already."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print_line(f"{'warning: ' if record.levelno >= logging.WARNING else ''}{record.getMessage()}")

    layer, steps = (logging.getLogger(f"LightRegistrationLib.training{part}") for part in ("", ".loop"))
    handler = Lines()
    levels = layer.level, steps.level
    layer.addHandler(handler)
    layer.setLevel(logging.INFO)
    steps.setLevel(logging.WARNING)
    try:
        yield
    finally:
        layer.removeHandler(handler)
        layer.setLevel(levels[0])
        steps.setLevel(levels[1])


def _list_outcome(
    request: TrainingRequest, config: AnyConfig, summary: RunSummary, monitor: RunMonitor
) -> list[tuple[str, str]]:
    """Export the model; returns titles and values: steps, losses, files, and the next command."""
    from ...training.configuration import TeacherTrainingConfig
    from ...training.monitoring.run_monitor import EVENTS_FOLDER, format_numbers

    each = f" ({summary.seconds / summary.step:.2f} s a step)" if summary.step else ""
    rows = [("steps", f"{summary.step} of {summary.last} in {summary.seconds:.0f} s{each}")]
    if summary.losses:
        rows.append(("losses", ", ".join(f"{name} {value:.3g}" for name, value in summary.losses.items())))
    if monitor.latest:
        rows.append(("validation", format_numbers(monitor.latest)))
    rows.append(("state", str(summary.state_file)))
    if request.tensorboard:
        rows.append(("curves", f"tensorboard --logdir {request.output / EVENTS_FOLDER}"))
    if isinstance(config, TeacherTrainingConfig):
        next_step = f"light-registration distill CONFIG --teacher {request.output} --data DIR --output RUN"
        return [*rows, ("next", next_step)]
    model = _export(summary.state_file, config, request.output / MODELS_FOLDER)
    return [*rows, ("model", str(model)), ("next", f"light-registration models add {model}")]


def _export(state_file: Path, config: AnyStudentConfig, models: Path) -> Path:
    from ...training.export import export_model

    with report_write_errors(models):
        return export_model(state_file, config, models)
