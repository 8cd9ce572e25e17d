"""The ablation as a table and a plot: mean and standard deviation over the seeds, learning curves, CPU seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ablation_rows import KINDS, MEASURES, PARTS, TEACHER, Condition, Finished
from common import new_figure
from failures import failure_reason

from LightRegistrationLib.training.evaluation.cases import AFFINE, BEFORE
from LightRegistrationLib.training.evaluation.run import PairRecord
from LightRegistrationLib.training.evaluation.tables import MethodSummary, format_markdown_table, summarize_method

TITLES = {"none": "l_rec only", "distance": "+ distance", "adversarial": "+ ALDK", TEACHER: "teacher"}


@dataclass(frozen=True)
class Row:
    """A line of the table: one value for each seed (a single value where there is no seed). failed: runs, all seeds."""

    condition: Condition
    cascades: int | None
    seeds: dict[int, MethodSummary]
    runs: tuple[Finished, ...] = ()
    failed: int = 0

    @property
    def title(self) -> str:
        """The condition in words."""
        kind, teacher, weight = self.condition
        details = [*([teacher] if teacher else []), *([f"weight {weight:g}"] if weight != 1 else [])]
        return TITLES.get(kind, kind) + (f" ({', '.join(details)})" if details else "")

    def values(self, measure: str) -> dict[int, float]:
        """Return the mean over the pairs, by seed."""
        found = {seed: summary.mean[measure] for seed, summary in self.seeds.items()}
        return {seed: value for seed, value in found.items() if value is not None}

    @property
    def synthesized(self) -> dict[int, float]:
        """The Dice of the synthesized pairs at the end of the training, by seed; each seed has its own pairs."""
        return {f.run.seed: f.curve[-1]["dice"] for f in self.runs if f.curve and "dice" in f.curve[-1]}


def rows_of(results: Sequence[Finished]) -> Iterator[Row]:
    """Yield the rows: as loaded, the affine stage, the teachers, and the students by cascades and condition."""
    first = results[0].records
    for name in (BEFORE, AFFINE):
        yield Row((name, "", 1.0), None, {0: summarize_method(name, first)}, (), _failed(name, first))
    keys = {(f.run.cascades, KINDS.index(f.run.kind), f.run.condition) for f in results}
    for cascades, _, condition in sorted(keys):
        own = sorted((f for f in results if (f.run.condition, f.run.cascades) == (condition, cascades)), key=_by_seed)
        seeds = {f.run.seed: summarize_method(f.run.name, f.records) for f in own}
        failed = sum(_failed(f.run.name, f.records) for f in own)
        yield Row(condition, None if condition[0] == TEACHER else cascades, seeds, tuple(own), failed)


def _by_seed(finished: Finished) -> int:
    return finished.run.seed


def _failed(method: str, records: Sequence[PairRecord]) -> int:
    """Count the failed runs of a method, as `failures.py` defines them."""
    reasons = (
        failure_reason(
            dice=r.scores[method].dice,
            tre_mm=r.scores[method].tre_mm,
            folding_percent=r.scores[method].folding_percent,
            loaded_dice=r.scores[BEFORE].dice,
            loaded_tre_mm=r.scores[BEFORE].tre_mm,
        )
        for r in records
    )
    return sum(map(bool, reasons))


def table(rows: Sequence[Row]) -> str:
    """Write mean ± standard deviation over the seeds, and the gain over l_rec alone of the same seeds and cascades."""
    base = {row.cascades: row for row in rows if row.condition[0] == "none"}
    body = []
    for row in rows:
        plain = base.get(row.cascades) if row.condition[0] in ("distance", "adversarial") else None
        body.append(
            [
                row.title,
                "" if row.cascades is None else str(row.cascades),
                "" if row.cascades is None else str(len(row.seeds)),
                *(_spread(list(row.values(m).values()), 4) for m in MEASURES),
                *(_spread([f.parts[name] for f in row.runs if name in f.parts], 4) for name in PARTS),
                "" if plain is None else _spread(_gains(row.values("dice"), plain.values("dice")), 4, "+"),
                _spread(list(row.synthesized.values()), 4),
                "" if plain is None else _spread(_gains(row.synthesized, plain.synthesized), 4, "+"),
                _spread([f.cpu_seconds for f in row.runs], 0),
                _spread([f.teaching_cpu_seconds for f in row.runs], 0),
                f"{np.mean([len(s.below_affine) for s in row.seeds.values()]):.1f}",
                str(row.failed),
            ]
        )
    header = ["", "cascades", "seeds", "Dice", "Jaccard", "folding %", "SD log J", "Dice above l_rec only"]
    header[-1:-1] = ["Dice, subcortical", "Dice, cortical"]
    header += ["Dice, synthesized", "above l_rec only"]
    costs = ["CPU s of training", "CPU s of teacher and store"]
    return format_markdown_table([*header, *costs, "pairs below affine", "failed runs"], body)


def _gains(own: Mapping[int, float], base: Mapping[int, float]) -> list[float]:
    """Return the differences of the seeds that both have."""
    return [own[seed] - base[seed] for seed in own if seed in base]


def _spread(values: Sequence[float], digits: int, sign: str = "") -> str:
    if not values:
        return ""
    text = f"{np.mean(values):{sign}.{digits}f}"
    return f"{text} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else text


def plot(rows: Sequence[Row]) -> Any:
    """Plot the Dice of the validation pairs, and the learning curves over steps and over CPU seconds."""
    figure, ((scores, steps, seconds),) = new_figure(3, width=15, height=4.5)
    students = [row for row in rows if row.cascades is not None]
    conditions = list(dict.fromkeys(row.condition for row in students))
    for row in rows:
        if row.cascades is None and row.condition[0] != BEFORE:
            style = ":" if row.condition[0] == AFFINE else "--" if row.condition[1] == "network" else "-."
            scores.axhline(row.values("dice")[0], color="gray", linestyle=style, label=row.title)
    for number, condition in enumerate(conditions):
        own = [row for row in students if row.condition == condition]
        _plot_scores(scores, own, 0.12 * (number - (len(conditions) - 1) / 2), f"C{number}")
        least = min((row for row in own), key=lambda row: row.cascades or 0)
        _plot_curves(steps, seconds, least, f"C{number}")
    counts = sorted({row.cascades or 0 for row in students})
    scores.set(xlabel="cascades", ylabel="Dice of the validation pairs", xticks=counts)
    if counts:
        scores.set_xlim(counts[0] - 0.5, counts[-1] + 0.5)
    for axes in (steps, seconds):
        axes.set_ylabel("Dice of synthesized pairs, fewest cascades")
    steps.set_xlabel("steps")
    seconds.set_xlabel("CPU seconds, with teacher and store")
    scores.legend(fontsize=7)
    for axes in (scores, steps, seconds):
        axes.grid(alpha=0.3)
    return figure


def _plot_scores(axes: Any, rows: Sequence[Row], shift: float, color: str) -> None:
    places = [(row.cascades or 0) + shift for row in rows]
    values = [list(row.values("dice").values()) for row in rows]
    spread = [float(np.std(v, ddof=1)) if len(v) > 1 else 0.0 for v in values]
    axes.errorbar(places, [np.mean(v) for v in values], spread, capsize=3, color=color, label=rows[0].title)
    for place, seeds in zip(places, values, strict=True):
        axes.plot([place] * len(seeds), seeds, ".", color=color)


def _plot_curves(over_steps: Any, over_seconds: Any, row: Row, color: str) -> None:
    """Draw the mean over the seeds as a thick line and each seed as a thin one."""
    curves = [(f, [(line["step"], line["dice"]) for line in f.curve if "dice" in line]) for f in row.runs]
    curves = [(finished, points) for finished, points in curves if points]
    for finished, points in curves:
        steps, dice = np.array(points).T
        over_steps.plot(steps, dice, color=color, alpha=0.35, linewidth=0.8)
        seconds = finished.teaching_cpu_seconds + finished.cpu_seconds * steps / max(finished.steps, 1)
        over_seconds.plot(seconds, dice, color=color, alpha=0.8, linewidth=0.9)
    lengths = {len(points) for _, points in curves}
    if len(lengths) == 1:
        mean = np.mean([points for _, points in curves], axis=0)
        over_steps.plot(mean[:, 0], mean[:, 1], color=color, linewidth=1.8)
