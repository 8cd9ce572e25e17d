"""The regret of `auto`: how much worse its model is than the best single choice, on real pairs and variations of them.

    LIGHTREG_DATA=<data folder> .venv/bin/python Testing/Benchmarks/model_choice.py --output Testing/Benchmarks/results

Each pair is registered without refinement by `auto` and by each model for its modality or for any. Variations: both
volumes cropped, on a canvas, at another spacing; CT also with a table and arms. Results are scored over the part that
both volumes show: mean Dice of the structures, or the mean error of the landmarks. Regret: by how many percent of the
best model's value `auto` is worse. All pairs are taken as loaded, the first ones of each set also varied. The pairs of
abdomens are synthesized, as for comparison.py, and kept in the folder --work. Written: model_choice.md, .csv, .json and
.png.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import benchmark_parser, new_figure, parse, print_and_write
from compare.plan import abdomen
from robustness import SETS as REAL_SETS
from robustness import load_named_case, read_set
from robustness_scores import DICE, Scorer
from robustness_variations import AS_LOADED, A, R, S, Variation, add_canvas, crop, pad
from scipy import ndimage

from LightRegistrationLib.core.geometry.geometry import homogeneous
from LightRegistrationLib.core.geometry.transforms import DisplacementField
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.models.image_statistics import measure_image_statistics
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.models.selection import choose_model
from LightRegistrationLib.core.registration import register
from LightRegistrationLib.core.result.result import RegistrationResult
from LightRegistrationLib.core.result.settings import AUTO_MODEL, RegistrationSettings
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair
from LightRegistrationLib.training.evaluation.tables import format_markdown_table

NAME = "model_choice"
ABDOMEN = "abdomen_ct"
SETS = (*REAL_SETS, ABDOMEN)
MAX_MEAN_PERCENT, MAX_PERCENT = 1.0, 5.0
"""The regret that is aimed at: on average, and on each pair."""
CROPPED = (0.15, 0.9)
"""The part of each axis that is kept of the fixed volume; the moving one keeps the mirrored part."""
THICK_SLICES, FINE_SLICES = 2.0, 0.8
"""Factors of the spacing: moving volume along S, fixed volume along all axes."""
ARM_MM, ARM_GAP_MM, TABLE_MM, TABLE_GAP_MM = 70.0, 12.0, 8.0, 8.0
SKIN_HU, SOFT_HU, BONE_HU, TABLE_HU = -300.0, 40.0, 700.0, -100.0
Row = dict[str, Any]
Vary = Callable[[Volume, Volume], tuple[Volume, Volume]]


def list_variations(group: str) -> dict[str, Vary]:
    """List the variations of the pairs of a set: name -> function of both volumes."""
    low, high = CROPPED
    variations: dict[str, Vary] = {
        AS_LOADED: lambda fixed, moving: (fixed, moving),
        "cropped": lambda fixed, moving: (crop_all(fixed, low, high), crop_all(moving, 1 - high, 1 - low)),
        "canvas of 40 voxels": lambda fixed, moving: (add_canvas(fixed), add_canvas(moving)),
        "other spacings": lambda fixed, moving: (
            resample(fixed, (FINE_SLICES,) * 3),
            resample(moving, (1, 1, THICK_SLICES)),
        ),
    }
    if group.endswith("_ct"):
        variations["table and arms"] = lambda fixed, moving: (add_table_and_arms(fixed), add_table_and_arms(moving))
    return variations


def crop_all(volume: Volume, low: float, high: float) -> Volume:
    """Keep the same part of a volume, as fractions of its extent, along R, A and S."""
    for axis in (R, A, S):
        volume = crop(volume, axis, low, high)
    return volume


def resample(volume: Volume, factors: Sequence[float]) -> Volume:
    """Resample a volume to spacings that are longer by factors (i, j, k), by averages where they are above 1."""
    source = volume.array.astype(np.float32)
    sigma = [0.5 * factor if factor > 1 else 0.0 for factor in factors][::-1]
    size = [max(2, round(n / f)) for n, f in zip(volume.geometry.size_ijk, factors, strict=True)]
    steps = np.array(factors, float)
    array = ndimage.affine_transform(
        ndimage.gaussian_filter(source, sigma), steps[::-1], output_shape=size[::-1], order=1, mode="nearest"
    )
    return replace(volume, array=array, affine=volume.affine @ homogeneous(np.diag(steps), np.zeros(3)))


def add_table_and_arms(volume: Volume) -> Volume:
    """Put a table below a CT's body and an arm on both sides, in a field of view that is widened for them."""
    spacing = float(volume.geometry.spacing_mm[:2].max())
    sides, back = (int(np.ceil(mm / spacing)) for mm in (ARM_MM + 2 * ARM_GAP_MM, TABLE_MM + 2 * TABLE_GAP_MM))
    widened = pad(volume, (sides, back, 0), (sides, back, 0))
    points = widened.geometry.points_mm
    array = widened.array.astype(np.float32)
    body = points[ndimage.binary_opening(array > SKIN_HU)]
    low, high = body.min(0), body.max(0)
    for center in (low[R] - ARM_GAP_MM - ARM_MM / 2, high[R] + ARM_GAP_MM + ARM_MM / 2):
        distance = np.hypot(points[..., R] - center, points[..., A] - (low[A] + high[A]) / 2)
        array[distance < ARM_MM / 2] = SOFT_HU
        array[distance < ARM_MM / 6] = BONE_HU
    array[np.abs(points[..., A] - (low[A] - TABLE_GAP_MM - TABLE_MM / 2)) < TABLE_MM / 2] = TABLE_HU
    return replace(widened, array=array)


def list_pairs(data: Path, work: Path, group: str) -> Sequence[EvaluationPair]:
    """List the pairs of a set; those of abdomens are drawn into the working folder first."""
    if group == ABDOMEN:
        return [replace(pair, group=ABDOMEN) for pair in abdomen(data, work)]
    return read_set(data, group)


class Benchmark:
    """Registers pairs with `auto` and with each model that it could have taken."""

    def __init__(self, threads: int) -> None:
        self._threads, self._registry = threads, ModelRegistry()

    def list_models(self, group: str) -> list[str]:
        """List the models for the modality of a set, or for any."""
        wanted = {"CT" if group.endswith("_ct") else "MRI", "any"}
        cards = self._registry.cards.values()
        return [card.name for card in cards if wanted & {entry.modality for entry in card.covers}]

    def measure(self, pair: EvaluationPair, names: Sequence[str]) -> Iterator[Row]:
        """Measure one pair under the named variations."""
        case = load_named_case(pair)
        scorer = Scorer(case)
        reference: DisplacementField | None = None
        for name in names:
            fixed, moving = list_variations(pair.group)[name](case.fixed, case.moving)
            variation = Variation(name, fixed, moving, moving.geometry)
            chosen = self._register(fixed, moving, AUTO_MODEL)
            reference = reference or chosen.field  # the first one is as loaded
            auto = scorer.score(chosen.field, variation, reference)
            if auto is None:
                continue
            scores = {}
            for model in self.list_models(pair.group):
                is_same = model == chosen.model and not self._has_rivals(fixed, moving)
                field = chosen.field if is_same else self._register(fixed, moving, model).field
                scores[model] = scorer.score(field, variation, reference)
            yield describe(pair, name, scorer.measure, chosen.model, auto, scores)

    def _has_rivals(self, fixed: Volume, moving: Volume) -> bool:
        statistics = measure_image_statistics(fixed), measure_image_statistics(moving)
        return bool(choose_model(self._registry.cards, statistics).rivals)

    def _register(self, fixed: Volume, moving: Volume, model: str) -> RegistrationResult:
        settings = RegistrationSettings(threads=self._threads, model=model)
        return register(fixed, moving, settings, registry=self._registry)


def describe(
    pair: EvaluationPair, variation: str, measure: str, chosen: str, auto: float, scores: Mapping[str, float | None]
) -> Row:
    """Make the row of one varied pair; scores: of the models by name, None if too little is shown."""
    known = {model: score for model, score in scores.items() if score is not None}
    sign = 1 if measure == DICE else -1
    best = max(known, key=lambda model: sign * known[model])
    return {
        "set": pair.group,
        "pair": pair.name,
        "variation": variation,
        "measure": measure,
        "chosen": chosen,
        "auto": auto,
        "best_model": best,
        "best": known[best],
        "regret_percent": 100 * sign * (known[best] - auto) / known[best],
        **{f"score {model}": score for model, score in known.items()},
    }


def format_report(rows: Sequence[Row]) -> str:
    """Write the tables: regret by set and variation, and each pair with a regret above the aim."""
    lines = []
    keys = list(dict.fromkeys((r["set"], r["variation"]) for r in rows))
    for group, variation in keys:
        own = [r for r in rows if (r["set"], r["variation"]) == (group, variation)]
        lines.append([f"{group} ({own[0]['measure']})", variation, *_summarize(own)])
    lines.append(["all", "", *_summarize(rows, with_means=False)])
    header = ["set", "variation", "pairs", "auto, mean", "best single, mean", "regret %, mean", "regret %, largest"]
    parts = [
        "Regret of `auto` against the best single model of each pair, without refinement. Aim: below "
        f"{MAX_MEAN_PERCENT:g} % on average, no pair above {MAX_PERCENT:g} %. Negative: `auto` ends better than each "
        "model by its name.",
        format_markdown_table([*header, f"above {MAX_PERCENT:g} %", "models taken"], lines),
    ]
    above = [r for r in rows if r["regret_percent"] > MAX_PERCENT]
    if above:
        table = [
            [r["set"], r["pair"], r["variation"], r["chosen"], f"{r['auto']:.3f}", r["best_model"], f"{r['best']:.3f}"]
            for r in above
        ]
        parts += [
            f"Above {MAX_PERCENT:g} %:",
            format_markdown_table(["set", "pair", "variation", "taken", "auto", "best model", "best"], table),
        ]
    return "\n\n".join(parts)


def _summarize(rows: Sequence[Row], with_means: bool = True) -> list[str]:
    regrets = [r["regret_percent"] for r in rows]
    means = [f"{np.mean([r[key] for r in rows]):.3f}" if with_means else "" for key in ("auto", "best")]
    taken = Counter(r["chosen"] for r in rows)
    return [
        str(len(rows)),
        *means,
        f"{np.mean(regrets):.2f}",
        f"{max(regrets):.2f}",
        str(sum(r > MAX_PERCENT for r in regrets)),
        ", ".join(f"{model} {count}" for model, count in taken.most_common()),
    ]


def plot(rows: Sequence[Row]) -> Any:
    """Plot the regret of each varied pair, by set."""
    groups = list(dict.fromkeys(r["set"] for r in rows))
    variations = list(dict.fromkeys(r["variation"] for r in rows))[::-1]
    figure, (row,) = new_figure(len(groups), width=2 + 2.4 * len(groups), height=3)
    for axes, group in zip(row, groups, strict=True):
        own = [r for r in rows if r["set"] == group]
        axes.plot([r["regret_percent"] for r in own], [variations.index(r["variation"]) for r in own], ".")
        axes.axvline(MAX_PERCENT, color="tab:red", linewidth=0.8)
        axes.set_yticks(range(len(variations)), variations if axes is row[0] else [])
        axes.set(title=group, xlabel="regret, %", ylim=(-0.7, len(variations) - 0.3))
        axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """Run the command."""
    parser = benchmark_parser(__doc__, Path("runs") / NAME)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--pairs", type=int, default=6, help="of each set, as loaded (default: 6)")
    parser.add_argument("--varied", type=int, default=2, help="of each set, also varied (default: 2)")
    parser.add_argument("--work", type=Path, default=Path("runs") / NAME, help=f"default: runs/{NAME}")
    arguments = parse(parser)
    benchmark = Benchmark(arguments.threads)
    rows = (
        row
        for group in arguments.sets
        for number, pair in enumerate(list_pairs(arguments.data, arguments.work, group)[: arguments.pairs])
        for row in benchmark.measure(pair, list(list_variations(group)) if number < arguments.varied else [AS_LOADED])
    )
    print_and_write(rows, arguments.output, NAME, format_report, plot)


if __name__ == "__main__":
    main()
