"""The `train` and `distill` commands: a configuration in, a state that resumes and a model folder out."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
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
    read_config,
)

if TYPE_CHECKING:
    from ...training.configuration import AnyConfig, AnyStudentConfig
    from ...training.monitoring.monitor import RunSummary
    from ...training.monitoring.run_monitor import RunMonitor

HOW_TO_GO_ON = "to go on, run the same command again."


def train(request: TrainingRequest) -> None:
    """Train, or go on where the state in the output folder stopped; says at the end what came out and what to do next.

    A finished student is exported to models/<name> in the output folder. Raises InputError for all that is wrong, and
    SystemExit with the status of the signal that ended the run.
    """
    check_installed()
    find_config(request.config)
    check_paths(request)
    # The training libraries take seconds to import: they come after everything that can go wrong without them.
    from ...training.monitoring.run_monitor import RunMonitor

    config = read_config(request)
    monitor = RunMonitor(request.output, sys.stderr, tensorboard=request.tensorboard)
    summary = _watched(request, config, monitor)
    print(f"{summary.name} is trained.")
    rows = _outcome(request, config, summary, monitor)
    print("\n".join(f"  {name:<12}{value}" for name, value in rows))


def export_run(run: Path, models: Path | None) -> Path:
    """Export the student of a run as it stands, also before it is finished; returns the model folder.

    run: the folder of a run, or its state.pt. models: folder of models; the one of the run if None. Raises InputError.
    """
    check_installed()
    from ...training.configuration import TeacherTrainingConfig, load_state_config

    state_file = find_state_file(run)
    config = load_state_config(state_file)
    if isinstance(config, TeacherTrainingConfig):
        raise InputError(f"{state_file}: a teacher is used in training only; export the student that it taught.")
    check_card(state_file, config)
    return _export(state_file, config, models or state_file.parent / MODELS_FOLDER)


def is_first_process() -> bool:
    """Whether this process is the one that speaks, of those that a run on several devices or machines consists of."""
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in ranks)


def _watched(request: TrainingRequest, config: AnyConfig, monitor: RunMonitor) -> RunSummary:
    """Run to the end; a signal lets the run save its state first, and then ends the process with its status."""
    first = is_first_process()
    say: Callable[[str], None] = monitor.display.write_line if first else _silent
    # The others are not told of steps; the first process, which saves, needs them until it is done.
    stop = StopSignals(lambda: not first or monitor.unsaved_steps > 0, say)
    monitor.is_stop_requested = stop.wanted
    with stop, _log_lines(say):
        try:
            summary = _run(request, config, monitor)
        except SystemExit:
            if stop.wanted():
                kept = request.output / STATE_FILE
                say(f"ended; {f'{kept} is intact' if kept.exists() else 'no state was saved yet'}; {HOW_TO_GO_ON}")
            raise
        finally:
            monitor.close()
    if stop.wanted() and not summary.is_finished:
        print(f"stopped and saved at step {summary.step} of {summary.last}; {HOW_TO_GO_ON}", file=sys.stderr)
        sys.exit(stop.status)
    return summary


def _silent(line: str) -> None:
    """Say nothing: another process does."""


def _run(request: TrainingRequest, config: AnyConfig, monitor: RunMonitor) -> RunSummary:
    from ...training.configuration import DistillationConfig, TeacherTrainingConfig
    from ...training.loop.hardware import Hardware

    common: dict[str, Any] = {"hardware": Hardware(**request.hardware), "monitor": monitor}
    if isinstance(config, TeacherTrainingConfig):
        from ...training.trainers.teacher import train_teacher

        return train_teacher(config, request.data, request.output, **common)
    if isinstance(config, DistillationConfig):
        from ...training.trainers.distillation import distill

        assert request.teacher is not None
        teacher = find_state_file(request.teacher)
        return distill(config, teacher, request.data, request.output, store=request.store, **common)
    from ...training.trainers.student import train_student

    return train_student(config, request.data, request.output, **common)


@contextmanager
def _log_lines(say: Callable[[str], None]) -> Iterator[None]:
    """Show what the training floor logs as lines of the run's display; its steps are shown there already."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(f"{'warning: ' if record.levelno >= logging.WARNING else ''}{record.getMessage()}")

    floor, steps = (logging.getLogger(f"LightRegistrationLib.training{part}") for part in ("", ".loop"))
    handler = Lines()
    levels = floor.level, steps.level
    floor.addHandler(handler)
    floor.setLevel(logging.INFO)
    steps.setLevel(logging.WARNING)
    try:
        yield
    finally:
        floor.removeHandler(handler)
        floor.setLevel(levels[0])
        steps.setLevel(levels[1])


def _outcome(
    request: TrainingRequest, config: AnyConfig, summary: RunSummary, monitor: RunMonitor
) -> list[tuple[str, str]]:
    """Export what was trained; returns what there is now, and what to do next, as titles and values."""
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

    return export_model(state_file, config, models)
