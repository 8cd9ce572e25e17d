"""Wall time of the stages of a command."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping

from ...core.result.progress import Stage


class Stopwatch:
    """Wall time in seconds of each stage, in order; `seconds` starts with those already measured."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self.seconds = dict(seconds)

    @contextlib.contextmanager
    def time_stage(self, stage: Stage) -> Iterator[None]:
        """Measure a block."""
        started = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - started
