"""What a training run tells those who watch it, and what it says of itself when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .validation import Validation


class Monitor(Protocol):
    """Watches a run. Of several processes only the first one tells its monitor; all of them ask `is_stop_requested`."""

    def begin(self, name: str, step: int, last: int) -> None:
        """The run starts at a step (0, or that of the state it resumes from) of so many."""
        ...

    def stage_start(self, number: int, stages: int, first: int, last: int, spacing_mm: float) -> None:
        """A stage, counted from 1, begins; it takes the steps from `first` to `last`."""
        ...

    def step(self, step: int, terms: Mapping[str, float], rate: float) -> None:
        """So many steps are done; the terms of the last one."""
        ...

    def validation(self, step: int, result: Validation) -> None:
        """The validation pairs were registered after a step."""
        ...

    def checkpoint(self, step: int, state_file: Path) -> None:
        """The state after a step is written."""
        ...

    def is_stop_requested(self) -> bool:
        """Asked after each step: whether the run shall save its state and end."""
        ...


class NoMonitor:
    """Watches nothing."""

    def begin(self, name: str, step: int, last: int) -> None:
        """Nothing to do."""

    def stage_start(self, number: int, stages: int, first: int, last: int, spacing_mm: float) -> None:
        """Nothing to do."""

    def step(self, step: int, terms: Mapping[str, float], rate: float) -> None:
        """Nothing to do."""

    def validation(self, step: int, result: Validation) -> None:
        """Nothing to do."""

    def checkpoint(self, step: int, state_file: Path) -> None:
        """Nothing to do."""

    def is_stop_requested(self) -> bool:
        """Never."""
        return False


NO_MONITOR = NoMonitor()


@dataclass(frozen=True)
class RunSummary:
    """Where a run stands when it ends: after `step` of `last` steps, `seconds` of them spent in steps.

    losses: means of the terms over the last steps that were logged. resumed_at: the step it began at, 0 if new.
    """

    name: str
    step: int
    last: int
    seconds: float
    state_file: Path
    resumed_at: int = 0
    losses: Mapping[str, float] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.last
