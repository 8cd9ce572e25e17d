"""Watches a training run: progress for the eye, losses and pictures for TensorBoard and as plain files."""

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
    """What a run tells whoever watches it, beside the log that the run keeps itself.

    output: the run's folder; gets tensorboard/ (unless that is not wanted), pictures/step_<n>.png and validation.jsonl.
    is_stop_requested: asked after each step; the run saves and ends where it says True.
    All methods that write raise InputError where that fails (a full disk).
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

    def begin(self, name: str, step: int, last: int) -> None:
        """Say where the run stands: at the start, or at the step of the state it resumes from."""
        self.display.say(f"resumed at step {step} of {last}" if step else f"{name}: {last} steps")
        self.display.begin(step, last)
        if self.tensorboard:
            self._events = _event_writer(self.output / EVENTS_FOLDER, step)

    def stage_start(self, number: int, stages: int, first: int, last: int, spacing_mm: float) -> None:
        """Name the stage that the next steps belong to."""
        line = f"stage {number} of {stages}: {spacing_mm:g} mm, to step {last}"
        self.display.stage(f"stage {number}/{stages}, {spacing_mm:g} mm ", line)

    def step(self, step: int, terms: Mapping[str, float], rate: float) -> None:
        """Show a step; its terms go to TensorBoard as means over some steps."""
        self.unsaved_steps += 1
        self.display.step(step, terms)
        self._means.add(terms)
        if self._events is not None and step % STEPS_AVERAGED == 0:
            with _writing(self.output / EVENTS_FOLDER):
                for name, value in self._means.taken().items():
                    self._events.add_scalar(f"loss/{name}", value, step)
                self._events.add_scalar("rate", rate, step)

    def validation(self, step: int, result: Validation) -> None:
        """Note the numbers of a validation, and draw it."""
        self.latest = result.numbers()
        self.display.say(f"validation at step {step}: {format_numbers(self.latest)}")
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

    def checkpoint(self, step: int, state_file: Path) -> None:
        """Note that the state after a step is safe."""
        self.unsaved_steps = 0

    def end(self) -> None:
        """Close what is open."""
        self.display.end()
        if self._events is not None:
            with _writing(self.output / EVENTS_FOLDER):
                self._events.close()
            self._events = None


class _Means:
    """Means of the terms of some steps, each over the steps that have it."""

    def __init__(self) -> None:
        self._seen: dict[str, list[float]] = {}

    def add(self, terms: Mapping[str, float]) -> None:
        for name, value in terms.items():
            self._seen.setdefault(name, []).append(value)

    def taken(self) -> dict[str, float]:
        means = {name: sum(values) / len(values) for name, values in self._seen.items()}
        self._seen = {}
        return means


def format_numbers(numbers: Mapping[str, float]) -> str:
    """The numbers of a validation in one line; what is known before and after as `before -> after`."""
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
    """A TensorBoard writer; what an earlier sitting noted after the step that is resumed from is not shown any more."""
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
            f"{path}: cannot be written ({error.strerror or error}); the run's last state.pt is intact. Make room and "
            "run the command again."
        ) from error
