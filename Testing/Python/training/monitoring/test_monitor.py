"""The monitor of a run: lines or a bar, TensorBoard, pictures, numbers."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.training.configuration import StudentStage, StudentTrainingConfig
from LightRegistrationLib.training.monitoring.pictures import draw_validation
from LightRegistrationLib.training.monitoring.run_monitor import STEPS_AVERAGED, RunMonitor, format_numbers
from LightRegistrationLib.training.monitoring.validation import Validation, ValidationPair, validate
from LightRegistrationLib.training.trainers.student import train_student

from ..toy import SHAPE, SOURCES, drawn


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def validated() -> Validation:
    return validate([ValidationPair.from_pair(drawn())], lambda pair: torch.zeros(1, 3, *SHAPE))


def events_in(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(e.step, e.value) for e in events_in(folder).Scalars(tag)]


def start_monitor(
    folder: Path, first: int, last: int, stream: io.StringIO | None = None, value: float = 1.0
) -> RunMonitor:
    monitor = RunMonitor(folder, stream or io.StringIO())
    monitor.start_run("toy", first, 100)
    monitor.start_stage(1, 2, 0, 50, 4.0)
    for step in range(first + 1, last + 1):
        monitor.record_step(step, {"correlation": value * step, **({"rare": 7.0} if step % 10 == 0 else {})}, 1e-3)
    return monitor


def test_tensorboard_has_the_means_of_the_steps_and_the_rate(tmp_path: Path) -> None:
    start_monitor(tmp_path, 0, 2 * STEPS_AVERAGED + 3).close()
    folder, n = tmp_path / "tensorboard", STEPS_AVERAGED
    assert scalars(folder, "loss/correlation") == [(n, (n + 1) / 2), (2 * n, (3 * n + 1) / 2)]
    assert scalars(folder, "loss/rare") == [(n, 7.0), (2 * n, 7.0)]
    assert scalars(folder, "rate") == [(n, pytest.approx(1e-3)), (2 * n, pytest.approx(1e-3))]


def test_a_resumed_run_hides_the_events_of_lost_steps(tmp_path: Path) -> None:
    start_monitor(tmp_path, 0, 3 * STEPS_AVERAGED).close()
    stream = io.StringIO()
    start_monitor(tmp_path, STEPS_AVERAGED, 2 * STEPS_AVERAGED, stream, value=100.0).close()
    found = scalars(tmp_path / "tensorboard", "loss/correlation")
    assert [step for step, _ in found] == [STEPS_AVERAGED, 2 * STEPS_AVERAGED]
    assert found[1][1] > 1000
    assert stream.getvalue().startswith(f"resumed at step {STEPS_AVERAGED} of 100\n")


def test_a_validation_is_drawn_and_recorded(tmp_path: Path) -> None:
    stream = io.StringIO()
    monitor = start_monitor(tmp_path, 0, 1, stream)
    result = validated()
    monitor.record_validation(40, result)
    monitor.close()
    sheet = draw_validation(result)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "pictures" / "step_000040.png")), sheet)
    events = events_in(tmp_path / "tensorboard")
    (image,) = events.Images("validation")
    assert (image.step, image.width, image.height) == (40, sheet.shape[1], sheet.shape[0])
    noted = json.loads((tmp_path / "validation.jsonl").read_text(encoding="utf-8"))
    assert noted.pop("step") == 40
    for name, value in noted.items():
        assert scalars(tmp_path / "tensorboard", f"validation/{name}") == [(40, pytest.approx(value, abs=1e-5))]
    assert f"validation at step 40: correlation {noted['correlation_before']:.3f} -> " in stream.getvalue()


def test_a_terminal_shows_a_bar_and_other_streams_lines(tmp_path: Path) -> None:
    plain, terminal = io.StringIO(), Terminal()
    for number, stream in enumerate((plain, terminal)):
        start_monitor(tmp_path / str(number), 0, 5, stream).close()
    assert plain.getvalue().splitlines() == ["toy: 100 steps", "stage 1 of 2: 4 mm, to step 50"]
    assert "stage 1/2, 4 mm" in terminal.getvalue()
    assert "/100 [" in terminal.getvalue()
    assert "\r" in terminal.getvalue()


def test_steps_are_unsaved_until_the_state_is_written(tmp_path: Path) -> None:
    monitor = start_monitor(tmp_path, 0, 3)
    assert monitor.unsaved_steps == 3
    monitor.record_checkpoint(3, tmp_path / "state.pt")
    assert monitor.unsaved_steps == 0
    monitor.close()


@pytest.mark.parametrize("taken", ["tensorboard", "pictures", "validation.jsonl"])
def test_a_file_that_cannot_be_written_gives_one_line_with_its_name(tmp_path: Path, taken: str) -> None:
    """A file in place of a folder, or the other way round, replaces a full or read-only disk."""
    if taken == "validation.jsonl":
        (tmp_path / taken).mkdir()
    else:
        (tmp_path / taken).write_text("in the way")
    with pytest.raises(InputError, match=rf"{taken}.*cannot be written.*state\.pt is intact") as caught:
        start_monitor(tmp_path, 0, 1).record_validation(1, validated())
    assert len(str(caught.value).splitlines()) == 1


def test_numbers_are_shown_before_and_after() -> None:
    line = format_numbers({"dice_before": 0.5, "dice": 0.75, "folding_percent": 0.0})
    assert line == "dice 0.500 -> 0.750, folding 0.000 %"


def test_a_monitor_does_not_change_the_training(tmp_path: Path) -> None:
    stage = StudentStage(steps=2, spacing_mm=6)
    config = StudentTrainingConfig(
        name="toy", seed=3, sources=SOURCES, stages=(stage,), validate_minutes=1e-9, bfloat16=False
    )
    monitor = RunMonitor(tmp_path / "watched", io.StringIO())
    watched = train_student(config, tmp_path, tmp_path / "watched", monitor=monitor)
    monitor.close()
    alone = train_student(config, tmp_path, tmp_path / "alone")
    states = [torch.load(summary.state_file, weights_only=True)["student"] for summary in (watched, alone)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert len(list((tmp_path / "watched" / "pictures").iterdir())) == 3
