"""The stages of a registration and how their progress is reported; torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum


class Stage(StrEnum):
    """A stage of a run, in order. Values of timed stages are the keys of `seconds` in report.json.

    `register` in `core.registration` runs LOAD_MODEL to FIELD. A worker adds WARPING, COMPARING and, if asked for,
    CONSISTENCY, which is a registration in the opposite direction. The command line adds READING, STARTING, INVERTING,
    WRITING and PICTURES. MULTIMODAL and REFINEMENT are left out where nothing is refined, NETWORK in a follow-up.
    """

    PHANTOM = "phantom"
    READING = "reading"
    STARTING = "starting"
    LOAD_MODEL = "load model"
    SHRINK = "shrink"
    INITIAL_ALIGNMENT = "initial alignment"
    RESAMPLE = "resample"
    NETWORK = "network"
    MULTIMODAL = "multimodal"
    REFINEMENT = "refinement"
    FIELD = "field"
    WARPING = "warping"
    COMPARING = "comparing"
    CONSISTENCY = "consistency"
    INVERTING = "inverse"
    WRITING = "writing"
    PICTURES = "pictures"
    DONE = "done"


@dataclass(frozen=True)
class ProgressUpdate:
    """How far a run has come: `fraction` from 0 to 1, and the stage that starts or goes on.

    step, steps: of an iterative stage, the number of the step that is done and the largest number of steps; 0 for the
    others.
    """

    fraction: float
    stage: Stage
    step: int = 0
    steps: int = 0


Progress = Callable[[ProgressUpdate], None]
"""Called when a stage starts and after each step of an iterative stage."""


def ignore_progress(update: ProgressUpdate) -> None:
    """Report progress to nobody."""


def scale_progress(progress: Progress, first: float, last: float) -> Progress:
    """Return the progress of a part that takes the whole run from the fraction `first` to `last`."""
    return lambda update: progress(replace(update, fraction=first + update.fraction * (last - first)))
