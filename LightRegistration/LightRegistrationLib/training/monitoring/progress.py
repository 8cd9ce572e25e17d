"""How far a training run has come, for the eye: a bar on a terminal, a line now and then where there is none."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, TextIO

SECONDS_BETWEEN_LINES = 30.0
_LAYOUT = "{desc}|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


class ProgressDisplay:
    """Shows the steps of a run on a stream.

    loss: the sum of the terms, as a running mean, since single steps jump.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.bar: Any = None
        self.last = 0
        self.loss: float | None = None
        self._told = time.monotonic()

    def begin(self, step: int, last: int) -> None:
        """Start to show a run that stands at a step of so many."""
        self.last = last
        if self.stream.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                total=last, initial=step, file=self.stream, bar_format=_LAYOUT, unit="step", dynamic_ncols=True
            )

    def stage(self, text: str, line: str) -> None:
        """Name the stage in the bar, and say it in a line."""
        self.say(line)
        if self.bar is not None:
            self.bar.set_description_str(text)

    def step(self, step: int, terms: Mapping[str, float]) -> None:
        """Show a step that was taken."""
        total = sum(terms.values())
        self.loss = total if self.loss is None else 0.95 * self.loss + 0.05 * total
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {self.loss:.4g}", refresh=False)
            self.bar.update(step - self.bar.n)
        elif time.monotonic() - self._told > SECONDS_BETWEEN_LINES:
            self.say(f"step {step} of {self.last}: loss {self.loss:.4g}")

    def say(self, line: str) -> None:
        """Write a line, above the bar where there is one."""
        self._told = time.monotonic()
        if self.bar is not None:
            self.bar.write(line, file=self.stream)
        else:
            print(line, file=self.stream, flush=True)

    def end(self) -> None:
        """Leave the bar as it stands."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
