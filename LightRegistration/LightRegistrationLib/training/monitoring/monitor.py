"""Interface between a training run and its monitor, and the summary that a run returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .validation import Validation


class Monitor(Protocol):
    """Receives the events of a run.

    Of several processes only the first one reports events; all of them call `is_stop_requested`.
    """

    def start_run(self, name: str, step: int, last: int) -> None:
        """The run starts at `step` (0, or the step of the resumed state) and ends at `last`."""
        ...

    def start_stage(self, number: int, stages: int, first: int, last: int, spacing_mm: float) -> None:
        """Stage `number` (from 1) starts; it covers the steps from `first` to `last`."""
        ...

    def record_step(self, step: int, terms: Mapping[str, float], rate: float) -> None:
        """Step `step` (from 1) is done, with these loss terms and this learning rate."""
        ...

    def record_validation(self, step: int, result: Validation) -> None:
        """The validation pairs were registered after a step."""
        ...

    def record_checkpoint(self, step: int, state_file: Path) -> None:
        """The state after a step was written."""
        ...

    def is_stop_requested(self) -> bool:
        """Whether the run has to save its state and end; called after each step."""
        ...


class NoMonitor:
    """Ignores all events and never requests a stop."""

    def start_run(self, name: str, step: int, last: int) -> None:
        """Do nothing."""

    def start_stage(self, number: int, stages: int, first: int, last: int, spacing_mm: float) -> None:
        """Do nothing."""

    def record_step(self, step: int, terms: Mapping[str, float], rate: float) -> None:
        """Do nothing."""

    def record_validation(self, step: int, result: Validation) -> None:
        """Do nothing."""

    def record_checkpoint(self, step: int, state_file: Path) -> None:
        """Do nothing."""

    def is_stop_requested(self) -> bool:
        """Return False."""
        return False


NO_MONITOR = NoMonitor()


@dataclass(frozen=True)
class RunSummary:
    """Progress of a run when it ends: `step` of `last` steps are done; `seconds`: time spent in steps.

    losses: means of the loss terms over the last logged steps. resumed_at: the step that the run resumed from, 0 for a
    new run.
    """

    name: str
    step: int
    last: int
    seconds: float
    state_file: Path
    resumed_at: int = 0
    losses: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.last
