"""The validation pairs of six anatomies, and the bars for them.

    LIGHTREG_DATA=<data> .venv/bin/python Testing/Benchmarks/validation_pairs.py --output Testing/Benchmarks/results

Every pair as loaded, after the affine stage, and after the model (`auto` unless --model names one), each with the
measures of `light-registration evaluate`. Written: validation_pairs.md (bars, summary, every pair), .csv (all numbers),
.json and .png. Can be stopped and run again: what is done is kept in the folder --work until files, model or code
change. Peers (--peers demons syn) as in brain_ring.py. The abdomen pairs are images synthesized from label maps that
the configuration abdomen-ct.toml keeps out of training (its [[validation]] sources): real labeled CT is nearly absent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import PEERS, RESULTS, benchmark_parser, brain_ring, new_figure, parse, write_report, write_to_card
from synthesized import CONFIGS, synthesized_pairs

from LightRegistrationLib.commands.progress import progress_bar
from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.models import ModelRegistry
from LightRegistrationLib.training.evaluation import AFFINE, BEFORE
from LightRegistrationLib.training.evaluation_methods import product_methods
from LightRegistrationLib.training.evaluation_pairs import EvaluationPair, read_pairs
from LightRegistrationLib.training.evaluation_run import EvaluationOptions, PairRecord, evaluate_pairs
from LightRegistrationLib.training.evaluation_tables import (
    MethodSummary,
    below_affine,
    markdown,
    pairs_table,
    results_csv,
    summarize,
    summary_table,
)

NAME = "validation_pairs"
WITHIN_SYN = 0.02
CARD_MEASURES = ("dice", "jaccard", "hd95_mm", "tre_mm", "folding_percent")


@dataclass(frozen=True)
class Bar:
    """What a set of pairs has to reach: whether it did, from the summaries of a method and of all methods."""

    wanted: str
    found: Callable[[MethodSummary, dict[str, MethodSummary]], tuple[str, bool]]


@dataclass(frozen=True)
class PairSet:
    """Pairs of one anatomy and their bars; `pairs` takes the data folder and the working folder."""

    title: str
    pairs: Callable[[Path, Path], Sequence[EvaluationPair]]
    bars: tuple[Bar, ...] = ()


def from_manifest(anatomy: str, with_landmarks: bool = False) -> Callable[[Path, Path], list[EvaluationPair]]:
    """The manifest's pairs of an anatomy."""
    return lambda data, work: [
        pair
        for pair in read_pairs(data / "manifest.json", [anatomy])
        if pair.landmarks is not None or not with_landmarks
    ]


def least_dice(value: float) -> Bar:
    """The mean Dice over the pairs is at least a value."""
    return Bar(f"mean Dice ≥ {value:.3f}", lambda own, _: _least(own.mean["dice"], value))


def near_syn(own: MethodSummary, methods: dict[str, MethodSummary]) -> tuple[str, bool]:
    """Mean Dice against that of ANTs SyN: of this run, else of the last run of brain_ring.py that had it."""
    reference = syn_dice(methods)
    if reference is None:
        return "there is no run of ANTs SyN to compare with", False
    text, reached = _least(own.mean["dice"], reference - WITHIN_SYN)
    return f"{text} (ANTs SyN {reference:.3f})", reached


def syn_dice(methods: dict[str, MethodSummary]) -> float | None:
    """Mean Dice of ANTs SyN on the brain ring."""
    title = PEERS["syn"].name
    if title in methods:
        return methods[title].mean["dice"]
    file = RESULTS / "brain_ring.json"
    rows = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    dice = [row["dice"] for row in rows if row["method"] == title]
    return float(np.mean(dice)) if len(dice) == 15 else None


def _least(value: float | None, wanted: float) -> tuple[str, bool]:
    return ("not measured", False) if value is None else (f"{value:.3f}", value >= wanted)


def _half_tre(own: MethodSummary, methods: dict[str, MethodSummary]) -> tuple[str, bool]:
    after, before = own.mean["tre_mm"], methods[BEFORE].mean["tre_mm"]
    if after is None or before is None:
        return "not measured", False
    return f"{before:.2f} → {after:.2f} mm", after <= before / 2


ABOVE_AFFINE = Bar("no pair below affine", lambda own, _: (f"{len(own.below_affine)} pairs", not own.below_affine))
NO_FOLDING = Bar(
    "folding 0 %",
    lambda own, _: (f"{own.mean['folding_percent']:.5f} %", own.mean["folding_percent"] == 0),
)
SETS = {
    "brain": PairSet(
        "brain T1, ring of 15",
        lambda data, work: brain_ring(data),
        (Bar(f"Dice within {WITHIN_SYN} of ANTs SyN", near_syn), NO_FOLDING, ABOVE_AFFINE),
    ),
    "hippocampus": PairSet(
        "hippocampus crops", from_manifest("hippocampus_t1"), (least_dice(0.72), NO_FOLDING, ABOVE_AFFINE)
    ),
    "head-neck": PairSet(
        "head and neck CT", from_manifest("headneck_ct"), (least_dice(0.55), NO_FOLDING, ABOVE_AFFINE)
    ),
    "lung": PairSet(
        "lung CT, inhale to exhale",
        from_manifest("lung_ct", with_landmarks=True),
        (Bar("TRE at most half of the start", _half_tre), NO_FOLDING, ABOVE_AFFINE),
    ),
    "liver": PairSet(
        "liver MRI, breathing", from_manifest("liver_mri", with_landmarks=True), (NO_FOLDING, ABOVE_AFFINE)
    ),
    "abdomen": PairSet(
        "abdomen CT, synthesized",
        lambda data, work: synthesized_pairs(CONFIGS / "abdomen-ct.toml", data, work / "synthesized", "abdomen"),
        (NO_FOLDING, ABOVE_AFFINE),
    ),
}


def measure(arguments: Any) -> tuple[list[PairRecord], dict[str, str]]:
    """The records of all sets, and why a set was not measured."""
    methods = product_methods(arguments.model, arguments.cascades, arguments.threads)
    methods += [PEERS[name] for name in arguments.peers]
    records: list[PairRecord] = []
    missing = {}
    for name in arguments.sets:
        try:
            pairs = list(SETS[name].pairs(arguments.data, arguments.work))[: arguments.pairs]
        except InputError as error:
            missing[name] = str(error)
            continue
        with progress_bar() as progress:
            options = EvaluationOptions(pictures=arguments.pictures)
            found = evaluate_pairs(pairs, methods, arguments.work / name, options, progress)
        records += [PairRecord(**{**vars(record), "group": name}) for record in found]
        print(pairs_table(found), end="\n\n", flush=True)
    return records, missing


def bars_table(records: Sequence[PairRecord], missing: dict[str, str]) -> str:
    """Each bar with what was found by each method that is ours."""
    rows = []
    for name, methods in summarize(records).items():
        for method, summary in methods.items():
            if method in (BEFORE, AFFINE) or method in {peer.name for peer in PEERS.values()}:
                continue
            for bar in SETS[name].bars:
                found, reached = bar.found(summary, methods)
                rows.append([SETS[name].title, method, bar.wanted, found, "reached" if reached else "MISSED"])
    rows += [[SETS[name].title, "", "", f"not measured: {why}", ""] for name, why in missing.items()]
    return markdown(["pairs", "method", "bar", "found", ""], rows)


def plot(records: Sequence[PairRecord]) -> Any:
    """Each pair of each set under each method: Dice, or TRE where there are only landmarks; a cross is below affine."""
    groups = list(dict.fromkeys(r.group for r in records))
    figure, (row,) = new_figure(len(groups), width=1 + 3.2 * len(groups), height=4.2)
    for axes, group in zip(row, groups, strict=True):
        own = [r for r in records if r.group == group and r.scores]
        measure = "dice" if any(s.dice is not None for r in own for s in r.scores.values()) else "tre_mm"
        for method in dict.fromkeys(m for r in own for m in r.scores):
            values = [getattr(r.scores[method], measure) for r in own]
            (line,) = axes.plot(values, marker=".", label=method)
            worse = [n for n, r in enumerate(own) if method in below_affine(r)]
            axes.plot(worse, [values[n] for n in worse], "x", color=line.get_color(), markersize=10)
        axes.set_title(SETS[group].title, fontsize=9)
        axes.set_xlabel("pair")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel("Dice" if measure == "dice" else "TRE, mm")
        axes.grid(alpha=0.3)
    if groups:
        row[-1].legend(fontsize=8)
    return figure


def main() -> None:
    """Command line."""
    parser = benchmark_parser(__doc__, Path("runs/validation_pairs"))
    parser.add_argument(
        "--work", type=Path, default=Path("runs/validation_pairs/work"), help="what is done is kept here"
    )
    parser.add_argument("--model", default="auto")
    parser.add_argument("--cascades", type=int, nargs="*", default=[], help="default: as trained")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--pairs", type=int, help="take only so many pairs of each set")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=[])
    parser.add_argument("--pictures", action="store_true", help="also draw each pair, into the folder --work")
    parser.add_argument("--to-card", action="store_true", help="also write the means into the cards of the models")
    arguments = parse(parser)
    records, missing = measure(arguments)
    bars = bars_table(records, missing)
    used = sorted({s.model for r in records for s in r.scores.values() if s.model})
    text = "\n\n".join(
        [
            f"Models: {', '.join(used)}; {arguments.threads} threads. Dice: mean over all structures of at least 100 "
            "voxels in both volumes, mean ± sd over the pairs.",
            bars,
            summary_table(records),
            pairs_table(records),
        ]
    )
    write_report(arguments.output, NAME, text, _values(records, missing), plot(records))
    (arguments.output / f"{NAME}.csv").write_text(results_csv(records) + "\n", encoding="utf-8")
    if arguments.to_card:
        write_to_cards(records)
    print(summary_table(records), bars, sep="\n\n")


def write_to_cards(records: Sequence[PairRecord]) -> None:
    """Put the means of each set into the card of the model that registered all of its pairs."""
    registry = ModelRegistry()
    for group, methods in summarize(records).items():
        models = {s.model for r in records if r.group == group for s in r.scores.values() if s.model}
        if len(models) == 1:
            means = {
                name: {k: v for k, v in summary.mean.items() if v is not None and k in CARD_MEASURES}
                for name, summary in methods.items()
            }
            pairs = sum(r.group == group for r in records)
            result = {"command": "Testing/Benchmarks/validation_pairs.py", "pairs": pairs, "means": means}
            write_to_card(registry.card(models.pop()).folder, SETS[group].title, result)


def _values(records: Sequence[PairRecord], missing: dict[str, str]) -> dict[str, Any]:
    groups = {group: {m: vars(s) for m, s in methods.items()} for group, methods in summarize(records).items()}
    return {"groups": groups, "failed": {r.name: r.error for r in records if r.error}, "not_measured": missing}


if __name__ == "__main__":
    main()
