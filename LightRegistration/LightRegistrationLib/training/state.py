"""Training states: the files that runs resume from, written so that an interrupted run always leaves a complete one."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..core.errors import InputError
from ..core.files.plain_file import check_plain_file, is_there, report_os_errors


def load_state(path: Path) -> dict[str, Any]:
    """Read a state file of any trainer, to the CPU; InputError if it is missing or damaged."""
    if not is_there(path):
        raise InputError(f"{path}: there is no such file; give the state.pt of a training run.")
    with report_os_errors(path):
        check_plain_file(path, "training state")
    if not zipfile.is_zipfile(path):  # torch would read it as its older format and fail in many different ways
        raise InputError(f"{path}: this is not a readable training state (it is cut off, or another kind of file).")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{path}: this is not a readable training state ({first_line(error)}).") from error
    if not isinstance(state, dict) or "step" not in state:
        raise InputError(f"{path}: this is not a training state; give the state.pt of a training run.")
    return state


def write_state(state: Mapping[str, Any], path: Path) -> None:
    """Write a state to a temporary file and move it into place: the previous state survives a killed run or full disk.

    Raises InputError if it cannot be written.
    """
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        previous = f"{path.name} still has the previous state" if path.exists() else "there is no previous state"
        raise InputError(
            f"{partial}: the state after step {state['step']} cannot be written ({first_line(error)}); {previous}. "
            "Free disk space and run the command again."
        ) from error


def first_line(error: Exception) -> str:
    """The first line of an error message; torch adds further lines."""
    return (str(error).splitlines() or [type(error).__name__])[0]
