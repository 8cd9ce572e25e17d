"""How far a command has come and how long its stages took; a bar on a terminal, silence where nobody looks."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping

from ...core.result.result import Progress, ignore_progress


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """Give a function to report progress to; it draws on standard error if that is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield ignore_progress
        return
    from tqdm import tqdm

    layout = "{desc:<28}{percentage:3.0f}% |{bar}| {elapsed}"
    with tqdm(total=1.0, bar_format=layout, leave=False, dynamic_ncols=True) as bar:

        def show(fraction: float, stage: str) -> None:
            bar.set_description_str(stage, refresh=False)
            bar.n = fraction
            bar.refresh()

        yield show


class Stopwatch:
    """Wall time in seconds of each stage, in order."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self.seconds = dict(seconds)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block."""
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started
