"""What is known of each pair of a batch, read from its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ..files.output_folder import REPORT_FILE
from .task import Task


@dataclass(frozen=True)
class Row:
    """One pair. None: not known.

    group: as in the list. state: done, failed, or missing (its result was taken away meanwhile). tre: mean distance of
    the landmarks.
    """

    name: str
    group: str
    state: str
    dice_before: float | None = None
    dice_after: float | None = None
    tre_before_mm: float | None = None
    tre_after_mm: float | None = None
    folding_percent: float | None = None
    seconds: float | None = None
    model: str = ""
    warnings: tuple[str, ...] = ()
    error: str = ""

    @property
    def badness(self) -> tuple[int, float]:
        """For sorting, the worst last: failed pairs, then by Dice, then by landmarks, then by folding."""
        if self.state != "done":
            return 3, 0.0
        if self.dice_after is not None:
            return 2, -self.dice_after
        if self.tre_after_mm is not None:
            return 1, self.tre_after_mm
        return 0, self.folding_percent or 0.0


def make_row(task: Task) -> Row:
    """Read what is known of a pair from its folder."""
    if task.is_done():
        report = read_report(task)
        mean = report["mean"] or {"before": {"dice": None}, "after": {"dice": None}}
        marks = report.get("landmarks") or {"before": {"mean_mm": None}, "after": {"mean_mm": None}}
        return Row(
            task.name,
            task.group,
            "done",
            dice_before=mean["before"]["dice"],
            dice_after=mean["after"]["dice"],
            tre_before_mm=marks["before"]["mean_mm"],
            tre_after_mm=marks["after"]["mean_mm"],
            folding_percent=report["jacobian"]["percent_nonpositive"],
            seconds=round(sum(report["seconds"].values()), 3),
            model=report["model"]["name"],
            warnings=tuple(report["warnings"]),
        )
    line = task.read_failure()
    if line is None:
        error = f"{task.folder}: the result was removed; run the command again."
        return Row(task.name, task.group, "missing", error=error)
    return Row(task.name, task.group, "failed", error=line)


def read_report(task: Task) -> dict[str, Any]:
    """Return the report of a pair that is done."""
    report: dict[str, Any] = json.loads((task.folder / REPORT_FILE).read_text(encoding="utf-8"))
    return report
