"""Runs a trainer in one or several processes and turns failures into one line for the user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ...core.errors import InputError
from ..monitoring.monitor import RunSummary
from ..state import first_line, load_state
from .hardware import Hardware, Processes
from .trainer import Trainer


def run_training(build: Callable[[Processes], Trainer[Any]], hardware: Hardware) -> RunSummary:
    """Start the processes, build the trainer in each, resume and run it; returns in the first process only.

    The other processes end here. They end silently if all processes failed in the same way, because the first process
    reports it. Raises InputError for every failure, including a loss that is not finite.
    """
    processes = hardware.start()
    is_done = False
    try:
        trainer = build(processes)
        processes.in_turn(trainer.resume)
        summary = _run(trainer)
        is_done = True
    finally:
        processes.close(is_done)
    if not processes.is_first:
        raise SystemExit(0)
    return summary


def _run(trainer: Trainer[Any]) -> RunSummary:
    file = trainer.state_file
    try:
        return trainer.run()
    except FloatingPointError as error:
        if not trainer.processes.is_first:
            raise SystemExit(0) from error
        raise InputError(f"{error}; {_describe_state(file)}. Lower the learning rate, or check the data.") from error
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"The device has too little memory ({first_line(error)}); {_describe_state(file)}. Use a larger spacing_mm."
        ) from error


def _describe_state(state_file: Path) -> str:
    if not state_file.exists():
        return f"no state was written to {state_file} yet"
    return f"{state_file} holds the state after step {load_state(state_file)['step']}"
