"""The ablation as a table and a plot: mean and standard deviation over the seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from common import new_figure
from failures import failure_reason

from LightRegistrationLib.training.distillation.aldk import KNOWLEDGE_KINDS
from LightRegistrationLib.training.evaluation.cases import AFFINE, BEFORE
from LightRegistrationLib.training.evaluation.run import PairRecord
from LightRegistrationLib.training.evaluation.tables import MethodSummary, format_markdown_table, summarize_method

TITLES = {"none": "l_rec only", "distance": "+ distillation", "adversarial": "+ ALDK"}
MEASURES = ("dice", "jaccard", "folding_percent")
TEACHER = "teacher"


@dataclass(frozen=True)
class Run:
    """A student of the ablation."""

    kind: str
    cascades: int
    seed: int

    @property
    def name(self) -> str:
        """Its folder, and the method's name in its evaluation."""
        return f"{self.kind}-{self.cascades}-seed{self.seed}"


@dataclass(frozen=True)
class Row:
    """A line of the table: one value for each seed (a single value where there is no seed). failed: runs, all seeds."""

    kind: str
    cascades: int | None
    seeds: dict[int, MethodSummary]
    failed: int = 0

    def values(self, measure: str) -> dict[int, float]:
        """Return the mean over the pairs, by seed."""
        found = {seed: summary.mean[measure] for seed, summary in self.seeds.items()}
        return {seed: value for seed, value in found.items() if value is not None}


def rows_of(results: Mapping[Run | None, Sequence[PairRecord]]) -> Iterator[Row]:
    """Yield the rows: as loaded, the affine stage, the teacher, and the students by kind and cascades."""
    first = next(iter(results.values()))
    for name in (BEFORE, AFFINE):
        yield Row(name, None, {0: summarize_method(name, first)}, _failed(name, first))
    if None in results:
        yield Row(TEACHER, None, {0: summarize_method(TEACHER, results[None])}, _failed(TEACHER, results[None]))
    runs = [run for run in results if run is not None]
    for kind, cascades in product(KNOWLEDGE_KINDS, sorted({run.cascades for run in runs})):
        own = [run for run in runs if (run.kind, run.cascades) == (kind, cascades)]
        if own:
            seeds = {run.seed: summarize_method(run.name, results[run]) for run in sorted(own, key=lambda r: r.seed)}
            yield Row(kind, cascades, seeds, sum(_failed(run.name, results[run]) for run in own))


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
    base = {row.cascades: row for row in rows if row.kind == "none"}
    body = []
    for row in rows:
        plain = base.get(row.cascades) if row.cascades is not None and row.kind != "none" else None
        body.append(
            [
                TITLES.get(row.kind, row.kind),
                "" if row.cascades is None else str(row.cascades),
                "" if row.cascades is None else str(len(row.seeds)),
                *(_spread(list(row.values(m).values()), 4) for m in MEASURES),
                "" if plain is None else _spread(_gains(row, plain), 4, "+"),
                f"{np.mean([len(s.below_affine) for s in row.seeds.values()]):.1f}",
                str(row.failed),
            ]
        )
    header = ["", "cascades", "seeds", "Dice", "Jaccard", "folding %", "Dice above l_rec only"]
    return format_markdown_table([*header, "pairs below affine", "failed runs"], body)


def _gains(row: Row, plain: Row) -> list[float]:
    own, base = row.values("dice"), plain.values("dice")
    return [own[seed] - base[seed] for seed in own if seed in base]


def _spread(values: Sequence[float], digits: int, sign: str = "") -> str:
    if not values:
        return ""
    text = f"{np.mean(values):{sign}.{digits}f}"
    return f"{text} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else text


def plot(rows: Sequence[Row]) -> Any:
    """Plot Dice and Jaccard over the number of cascades, one line for each kind, every seed as a dot."""
    figure, (axes_row,) = new_figure(2, width=10, height=4)
    for axes, measure in zip(axes_row, ("dice", "jaccard"), strict=True):
        for row in rows:
            if row.cascades is None and row.kind != BEFORE:
                style = "--" if row.kind == TEACHER else ":"
                axes.axhline(row.values(measure)[0], color="gray", linestyle=style, label=row.kind)
        for number, kind in enumerate(KNOWLEDGE_KINDS):
            own = [row for row in rows if row.kind == kind]
            places = np.array([row.cascades for row in own]) + 0.06 * (number - 1)
            values = [list(row.values(measure).values()) for row in own]
            spread = [np.std(v, ddof=1) if len(v) > 1 else 0 for v in values]
            line = axes.errorbar(places, [np.mean(v) for v in values], spread, capsize=3, label=TITLES[kind])
            for place, seeds in zip(places, values, strict=True):
                axes.plot([place] * len(seeds), seeds, ".", color=line[0].get_color())
        axes.set_xticks(sorted({row.cascades for row in rows if row.cascades is not None}))
        axes.set_xlabel("cascades")
        axes.set_ylabel(measure.capitalize())
        axes.grid(alpha=0.3)
    axes_row[0].legend(fontsize=8)
    return figure
