"""Progress display of a training run: a bar on a terminal, otherwise a line every 30 seconds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, TextIO

SECONDS_BETWEEN_LINES = 30.0
_LAYOUT = "{desc}|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


class ProgressDisplay:
    """Shows the steps of a run on a stream.

    loss: exponential moving average of the sum of the loss terms, because single steps vary strongly.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.bar: Any = None
        self.last = 0
        self.loss: float | None = None
        self._line_written_at = time.monotonic()

    def start(self, step: int, last: int) -> None:
        """Start the display of a run of `last` steps, `step` of which are done."""
        self.last = last
        if self.stream.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                total=last, initial=step, file=self.stream, bar_format=_LAYOUT, unit="step", dynamic_ncols=True
            )

    def start_stage(self, text: str, line: str) -> None:
        """Write a line about the stage and show a text in the bar."""
        self.write_line(line)
        if self.bar is not None:
            self.bar.set_description_str(text)

    def show_step(self, step: int, terms: Mapping[str, float]) -> None:
        """Show that a step is done."""
        total = sum(terms.values())
        self.loss = total if self.loss is None else 0.95 * self.loss + 0.05 * total
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {self.loss:.4g}", refresh=False)
            self.bar.update(step - self.bar.n)
        elif time.monotonic() - self._line_written_at > SECONDS_BETWEEN_LINES:
            self.write_line(f"step {step} of {self.last}: loss {self.loss:.4g}")

    def write_line(self, line: str) -> None:
        """Write a line; above the bar if there is one."""
        self._line_written_at = time.monotonic()
        if self.bar is not None:
            self.bar.write(line, file=self.stream)
        else:
            print(line, file=self.stream, flush=True)

    def close(self) -> None:
        """Close the bar; its last state stays visible."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
