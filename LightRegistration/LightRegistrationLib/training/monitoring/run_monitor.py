"""The monitor of the command line: progress display, TensorBoard events, validation pictures and numbers as files."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ...core.errors import InputError
from .pictures import draw_validation
from .progress import ProgressDisplay

if TYPE_CHECKING:
    from .validation import Validation

EVENTS_FOLDER, PICTURES_FOLDER, VALIDATION_FILE = "tensorboard", "pictures", "validation.jsonl"
STEPS_AVERAGED = 20


class RunMonitor:
    """Shows and records the events of a run, in addition to the log that the trainer writes.

    output: folder of the run, for tensorboard/ (if requested), pictures/step_<n>.png and validation.jsonl.
    is_stop_requested: called after each step; the run saves its state and ends if it returns True.
    Methods that write files raise InputError if writing fails (a full disk).
    """

    def __init__(
        self,
        output: Path,
        stream: TextIO,
        *,
        tensorboard: bool = True,
        is_stop_requested: Callable[[], bool] = lambda: False,
    ) -> None:
        self.output = output
        self.display = ProgressDisplay(stream)
        self.tensorboard = tensorboard
        self.is_stop_requested = is_stop_requested
        self.unsaved_steps = 0
        self.latest: dict[str, float] = {}
        self._events: Any = None
        self._means = _Means()

    def start_run(self, name: str, step: int, last: int) -> None:
        """Show the first step (0, or the step of the resumed state) and the number of steps; open TensorBoard."""
        self.display.write_line(f"resumed at step {step} of {last}" if step else f"{name}: {last} steps")
        self.display.start(step, last)
        if self.tensorboard:
            self._events = _event_writer(self.output / EVENTS_FOLDER, step)

    def start_stage(self, number: int, stages: int, first: int, last: int, spacing_mm: float) -> None:
        """Show the stage of the next steps."""
        line = f"stage {number} of {stages}: {spacing_mm:g} mm, to step {last}"
        self.display.start_stage(f"stage {number}/{stages}, {spacing_mm:g} mm ", line)

    def record_step(self, step: int, terms: Mapping[str, float], rate: float) -> None:
        """Show a step; TensorBoard gets the means of the loss terms over STEPS_AVERAGED steps."""
        self.unsaved_steps += 1
        self.display.show_step(step, terms)
        self._means.add(terms)
        if self._events is not None and step % STEPS_AVERAGED == 0:
            with _writing(self.output / EVENTS_FOLDER):
                for name, value in self._means.take().items():
                    self._events.add_scalar(f"loss/{name}", value, step)
                self._events.add_scalar("rate", rate, step)

    def record_validation(self, step: int, result: Validation) -> None:
        """Write the numbers of a validation and draw its picture."""
        self.latest = result.numbers()
        self.display.write_line(f"validation at step {step}: {format_numbers(self.latest)}")
        sheet = draw_validation(result)
        with _writing(self.output / VALIDATION_FILE), (self.output / VALIDATION_FILE).open("a") as file:
            file.write(json.dumps({"step": step} | {k: round(v, 5) for k, v in self.latest.items()}) + "\n")
        picture = self.output / PICTURES_FOLDER / f"step_{step:06d}.png"
        with _writing(picture):
            _save_picture(sheet, picture)
        if self._events is not None:
            with _writing(self.output / EVENTS_FOLDER):
                for name, value in self.latest.items():
                    self._events.add_scalar(f"validation/{name}", value, step)
                self._events.add_image("validation", sheet, step, dataformats="HWC")
                self._events.flush()

    def record_checkpoint(self, step: int, state_file: Path) -> None:
        """Reset the count of unsaved steps."""
        self.unsaved_steps = 0

    def close(self) -> None:
        """Close the progress display and the TensorBoard file."""
        self.display.close()
        if self._events is not None:
            with _writing(self.output / EVENTS_FOLDER):
                self._events.close()
            self._events = None


class _Means:
    """Means of the loss terms of several steps, each over the steps that have the term."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def add(self, terms: Mapping[str, float]) -> None:
        for name, value in terms.items():
            self._values.setdefault(name, []).append(value)

    def take(self) -> dict[str, float]:
        """Return the means and start anew."""
        means = {name: sum(values) / len(values) for name, values in self._values.items()}
        self._values = {}
        return means


def format_numbers(numbers: Mapping[str, float]) -> str:
    """The numbers of a validation in one line; those known before and after registration as `before -> after`."""
    parts = []
    for name, value in numbers.items():
        if name.endswith("_before"):
            continue
        before = numbers.get(f"{name}_before")
        change = "" if before is None else f"{before:.3f} -> "
        unit = " %" if name.endswith("_percent") else ""
        parts.append(f"{name.removesuffix('_percent')} {change}{value:.3f}{unit}")
    return ", ".join(parts)


def _event_writer(folder: Path, step: int) -> Any:
    """A TensorBoard writer; events of an interrupted run after the step it resumes from are hidden."""
    from torch.utils.tensorboard.writer import SummaryWriter

    with _writing(folder):
        return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


def _save_picture(sheet: Any, file: Path) -> None:
    from PIL import Image

    file.parent.mkdir(exist_ok=True)
    Image.fromarray(sheet).save(file)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); the last state.pt is intact. Free disk space "
            "and run the command again."
        ) from error
