"""The file that a training run resumes from: written so that whatever ends the run leaves a whole one behind."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..core.errors import InputError


def load_state(path: Path) -> dict[str, Any]:
    """Read a state file of any trainer, to the CPU; InputError if it is missing or damaged."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; give the state.pt of a training run.")
    if not zipfile.is_zipfile(path):  # torch would take it for its older format, and fail in many ways
        raise InputError(f"{path}: this is not a readable training state (it is cut off, or another kind of file).")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{path}: this is not a readable training state ({first_line(error)}).") from error
    if not isinstance(state, dict) or "step" not in state:
        raise InputError(f"{path}: this is not a training state; give the state.pt of a training run.")
    return state


def write_state(state: Mapping[str, Any], path: Path) -> None:
    """Write a state aside and move it into place, so that a killed run or a full disk leaves the one before intact.

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
        kept = f"{path.name} still holds the one before" if path.exists() else "there is none yet"
        raise InputError(
            f"{partial}: the state after step {state['step']} cannot be written ({first_line(error)}); {kept}. "
            "Make room and run the command again."
        ) from error


def first_line(error: Exception) -> str:
    """What an error says, without what torch adds in further lines."""
    return (str(error).splitlines() or [type(error).__name__])[0]
