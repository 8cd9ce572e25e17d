"""Brain T1, 15 ordered pairs taken in a ring: no registration, affine stage, student with 1-3 cascades, and peers.

    LIGHTREG_DATA=<data folder> .venv/bin/python Testing/Benchmarks/brain_ring.py --output Testing/Benchmarks/results

Every method starts from the same files in one run. Dice: mean over all labels that have at least 100 voxels in both
volumes, labels warped by nearest neighbor onto the fixed grid, counted here and not by the product. Folding: percent of
cell corners of the field with a raw Jacobian determinant <= 0. Failed: runs that `failures.py` counts as such. Seconds:
wall time, the affine stage included, median over the pairs; `grid` is the network with all work on its grid
(resampling, cascades, composition, field). Peers: SimpleITK's diffeomorphic demons, started from our affine map; with
`--peers demons syn` also ANTs SyN as ANTsPy runs it by default at the full 1 mm, with an affine stage of its own
(settings in `peers/settings.py`, environment in `comparison.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import PEERS, benchmark_parser, brain_ring, new_figure, parse, write_report
from failures import failure_reason

from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.result.settings import RegistrationSettings
from LightRegistrationLib.training.evaluation.cases import Case, Method, Outcome, load_case, run_methods
from LightRegistrationLib.training.evaluation.methods import build_model_method
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair

MINIMUM_VOXELS = 100
FIRST_CORTICAL_LABEL = 100
TITLES = {"before": "no registration", "affine": "affine only"}


def dice(case: Case, outcome: Outcome) -> dict[int, float]:
    """Compute the Dice of each label with enough voxels in both scans."""
    target, moving, warped = (
        s.layers[0].ravel() for s in (case.fixed_labels, case.moving_labels, outcome.warped_labels)
    )
    size = int(max(target.max(), moving.max())) + 1
    counts = [np.bincount(a, minlength=size) for a in (target, moving, warped)]
    common = np.bincount(target[target == warped], minlength=size)
    labels = [v for v in range(1, size) if min(counts[0][v], counts[1][v]) >= MINIMUM_VOXELS]
    return {v: float(2 * common[v] / (counts[0][v] + counts[2][v])) for v in labels}


def measure(pairs: list[EvaluationPair], methods: list[Method]) -> list[dict[str, Any]]:
    """Run every method on every pair; one row for each."""
    rows = []
    for pair in pairs:
        case = load_case(pair, MINIMUM_VOXELS)
        for name, outcome in run_methods(case, methods).items():
            rows.append(row_of(case, TITLES.get(name, name), outcome))
            print(f"{rows[-1]['pair']:<28} {rows[-1]['method']:<20} {rows[-1]['dice']:.4f}", flush=True)
    return rows


def row_of(case: Case, method: str, outcome: Outcome) -> dict[str, Any]:
    """Collect the numbers of a method on a pair."""
    scores = dice(case, outcome)
    # The affine stage is not a method that is timed against the others.
    timed = method not in TITLES.values()
    return {
        "pair": case.pair.name.replace("__", " <- "),
        "method": method,
        "dice": float(np.mean(list(scores.values()))),
        "dice_subcortical": float(np.mean([d for v, d in scores.items() if v < FIRST_CORTICAL_LABEL])),
        "dice_cortical": float(np.mean([d for v, d in scores.items() if v >= FIRST_CORTICAL_LABEL])),
        "labels": len(scores),
        "folding_percent": outcome.jacobian.percent_nonpositive,
        "std_log_jacobian": outcome.jacobian.std_log,
        "seconds": outcome.seconds if timed else 0.0,
        "grid_seconds": outcome.grid_seconds,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Write a Markdown table: means and median over the pairs, failed runs, worst pair against affine, seconds."""
    lines = [
        "| method | Dice, all labels | median | failed | subcortical | cortical | above affine (least pair) "
        "| folding % | SD log J | seconds | of these on the grid |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    base = _dice_by_pair(rows, TITLES["affine"])
    loaded = _dice_by_pair(rows, TITLES["before"])
    for name in dict.fromkeys(r["method"] for r in rows):
        own = [r for r in rows if r["method"] == name]
        mean = {key: np.mean([r[key] for r in own]) for key in own[0] if key not in ("pair", "method")}
        gain = [r["dice"] - base[r["pair"]] for r in own]
        wall, grid = (np.median([r[key] for r in own]) for key in ("seconds", "grid_seconds"))
        lines.append(
            f"| {name} | {mean['dice']:.3f} | {np.median([r['dice'] for r in own]):.3f} | {_failed(own, loaded)} "
            f"| {mean['dice_subcortical']:.3f} | {mean['dice_cortical']:.3f} "
            f"| {np.mean(gain):+.3f} ({min(gain):+.3f}) | {mean['folding_percent']:.4f} "
            f"| {mean['std_log_jacobian']:.3f} | {wall:.2f} | {grid:.2f} |"
        )
    return "\n".join(lines)


def _dice_by_pair(rows: list[dict[str, Any]], method: str) -> dict[str, float]:
    return {r["pair"]: r["dice"] for r in rows if r["method"] == method}


def _failed(rows: list[dict[str, Any]], loaded: dict[str, float]) -> int:
    """Count the failed runs; loaded: Dice before any registration, by pair."""
    reasons = (
        failure_reason(dice=r["dice"], folding_percent=r["folding_percent"], loaded_dice=loaded.get(r["pair"]))
        for r in rows
    )
    return sum(map(bool, reasons))


def plot(rows: list[dict[str, Any]]) -> Any:
    """Plot the Dice of each pair, one line for each method."""
    figure, ((axes,),) = new_figure()
    for name in dict.fromkeys(r["method"] for r in rows):
        own = [r for r in rows if r["method"] == name]
        axes.plot([r["dice"] for r in own], marker="o", label=f"{name}: {np.mean([r['dice'] for r in own]):.3f}")
    axes.set_xticks(range(len(own)), [r["pair"].replace("oasis_", "") for r in own], rotation=45, ha="right")
    axes.set_ylabel("Dice, mean over all labels")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def main() -> None:
    """Run the command."""
    parser = benchmark_parser(__doc__, Path("runs/brain_ring"))
    parser.add_argument("--model", default="brain-mri")
    parser.add_argument("--models", type=Path, help="folder of models, default: the bundled ones")
    parser.add_argument("--pairs", type=int, default=15, help="take only so many subjects")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=["demons"])
    arguments = parse(parser)
    registry = ModelRegistry((arguments.models,)) if arguments.models else ModelRegistry()
    methods = [
        build_model_method(
            f"student, {n} cascade{'s' * (n > 1)}", "", RegistrationSettings(arguments.model, n), registry
        )
        for n in (1, 2, 3)
    ]
    pairs = brain_ring(arguments.data, arguments.pairs)
    rows = measure(pairs, methods + [PEERS[name] for name in arguments.peers])
    card = registry.card(arguments.model)
    heading = f"Model {arguments.model}, weights {card.sha256[:12]}, {len(pairs)} pairs, {arguments.threads} threads"
    text = f"{heading}\n\n{table(rows)}"
    write_report(arguments.output, "brain_ring", text, rows, plot(rows))
    print("\n" + text)


if __name__ == "__main__":
    main()
