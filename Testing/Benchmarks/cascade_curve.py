"""Accuracy over CPU seconds of the network alone: spacing of its grid, cascades on it, and cascades on coarser grids.

    LIGHTREG_DATA=<data folder> .venv/bin/python Testing/Benchmarks/cascade_curve.py \\
        --output Testing/Benchmarks/results

Each set of the comparison is registered without refinement by the weights of its model and of the model before it, in
every variant below. CPU seconds: of the whole registration, one thread, mean over the pairs. Cascades are written as
the factors of their grids: `4 2 2 1` runs on a grid of four times the spacing, twice on one of two times, and once on
the network grid.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import benchmark_parser, new_figure, parse, write_report
from compare.plan import SETS

from LightRegistrationLib.core.models.cards import BUNDLED_MODELS_FOLDER, CARD_FILE, WEIGHTS_FILE
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.registration import register
from LightRegistrationLib.core.result.settings import RegistrationSettings
from LightRegistrationLib.training.evaluation.cases import Case, evaluate_field, load_case, score

MODELS = {
    "brain": ("brain-mri", "brain-mri-intensity"),
    "hippocampus": ("brain-mri", "brain-mri-intensity"),
    "headneck": ("head-neck-ct", "abdomen-ct-intensity"),
    "abdomen": ("abdomen-ct", "abdomen-ct-intensity"),
    "lung": ("lung-ct", "abdomen-ct-intensity"),
    "liver": ("general", "brain-mri-intensity"),
}
"""For each set: the model whose card is varied, and the one whose weights are tried in its place."""

CASCADES = ((1,), (1, 1), (1, 1, 1), (2, 1), (2, 2, 1), (4, 2, 2, 1), (2, 2, 1, 1), (4, 2, 2, 1, 1), (8, 4, 4, 2, 2, 1))
SPACING_FACTORS = (1.0, 1.4, 2.0)


@dataclass(frozen=True)
class Variant:
    """A card's model with other weights, another spacing of the network grid (mm), and other cascades."""

    card: str
    weights: str
    spacing_mm: float
    factors: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of its temporary model."""
        cascades = "-".join(map(str, self.factors))
        return f"{self.card}.{self.weights}.{self.spacing_mm:g}.{cascades}".replace(".", "_")

    def write(self, folder: Path) -> None:
        """Write the variant as a model."""
        card, source = read_card(self.card), read_card(self.weights)
        coarse = [factor for factor in self.factors if factor > 1]
        network = {**source["network"], "coarse_factors": coarse, "cascades": len(self.factors) - len(coarse)}
        grid = {**card["grid"], "spacing_mm": self.spacing_mm}
        target = folder / self.name
        target.mkdir()
        shutil.copy(BUNDLED_MODELS_FOLDER / source.get("weights_of", self.weights) / WEIGHTS_FILE, target)
        own = {key: value for key, value in card.items() if key not in ("covers", "weights_of", "results")}
        values = {**own, "title": self.name, "sha256": source["sha256"], "network": network, "grid": grid}
        (target / CARD_FILE).write_text(json.dumps(values), encoding="utf-8")


def read_card(name: str) -> dict[str, Any]:
    """Read the card of a bundled model."""
    values: dict[str, Any] = json.loads((BUNDLED_MODELS_FOLDER / name / CARD_FILE).read_text(encoding="utf-8"))
    return values


def list_variants(group: str) -> list[Variant]:
    """List the variants of a set."""
    card, before = MODELS[group]
    spacing_mm = read_card(card)["grid"]["spacing_mm"]
    return [
        Variant(card, weights, round(spacing_mm * factor, 2), cascades)
        for weights in (card, before)
        for factor in SPACING_FACTORS
        for cascades in CASCADES
    ]


def measure(case: Case, variant: Variant, registry: ModelRegistry) -> dict[str, Any]:
    """Register one pair; Dice or target registration error, and CPU seconds."""
    settings = RegistrationSettings(model=variant.name, threads=1)
    started = time.process_time()
    result = register(case.fixed, case.moving, settings, registry=registry)
    seconds = time.process_time() - started
    scores = score(case, {"result": evaluate_field(case, result.field, result.jacobian)}, surfaces=False)["result"]
    value = scores.dice if scores.tre_mm is None else scores.tre_mm
    return {"value": value, "seconds": seconds, "folding_percent": scores.folding_percent}


def measure_set(group: str, data: Path, work: Path, pairs: int) -> list[dict[str, Any]]:
    """Measure all variants on a set; one row for each."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        variants = list_variants(group)
        for variant in variants:
            variant.write(Path(name))
        registry = ModelRegistry((Path(name),))
        found: dict[Variant, list[dict[str, Any]]] = {variant: [] for variant in variants}
        for pair in list(SETS[group].pairs(data, work))[:pairs]:
            case = load_case(pair)
            for variant in variants:
                found[variant].append(measure(case, variant, registry))
            print(group, pair.name, flush=True)
    for variant, measured in found.items():
        means = {key: float(np.mean([row[key] for row in measured])) for key in measured[0]}
        cascades = " ".join(map(str, variant.factors))
        rows.append(
            {"set": group, "weights": variant.weights, "spacing_mm": variant.spacing_mm, "cascades": cascades, **means}
        )
    return rows


def format_rows(rows: list[dict[str, Any]]) -> str:
    """Format one table for each set."""
    parts = ["# Cascades, grids and accuracy", "Network alone, CPU seconds of one thread, means over the pairs."]
    for group in dict.fromkeys(row["set"] for row in rows):
        measure_name = "TRE mm" if SETS[group].measure == "tre_mm" else "Dice"
        head = f"| weights | grid mm | cascades | {measure_name} | CPU s | folding % |"
        lines = [f"## {SETS[group].title}", "", head, "|---|---|---|---|---|---|"]
        lines += [
            f"| {r['weights']} | {r['spacing_mm']:g} | {r['cascades']} | {r['value']:.3f} | {r['seconds']:.2f} "
            f"| {r['folding_percent']:.4f} |"
            for r in sorted((r for r in rows if r["set"] == group), key=lambda r: (r["weights"], r["seconds"]))
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def plot(rows: list[dict[str, Any]]) -> Any:
    """Draw accuracy over CPU seconds, one panel for each set; filled: with coarse cascades."""
    groups = list(dict.fromkeys(row["set"] for row in rows))
    figure, axes = new_figure(columns=len(groups), width=4.5 * len(groups))
    for axis, group in zip(axes[0], groups, strict=True):
        for color, weights in zip(("tab:red", "tab:gray"), MODELS[group], strict=True):
            for has_coarse in (True, False):
                own = [r for r in rows if r["set"] == group and r["weights"] == weights]
                points = [r for r in own if (r["cascades"][0] != "1") == has_coarse]
                axis.scatter(
                    [r["seconds"] for r in points],
                    [r["value"] for r in points],
                    facecolors=color if has_coarse else "none",
                    edgecolors=color,
                    label=f"{weights}, {'with' if has_coarse else 'without'} coarse cascades",
                )
        axis.set(title=SETS[group].title, xlabel="CPU seconds")
        axis.set_ylabel("TRE mm" if SETS[group].measure == "tre_mm" else "Dice")
        axis.legend(fontsize="x-small", loc="upper center", bbox_to_anchor=(0.5, -0.16))
    return figure


def main() -> None:
    """Run the command."""
    parser = benchmark_parser(__doc__, Path("runs/cascade_curve"))
    parser.add_argument("--sets", nargs="+", choices=sorted(MODELS), default=list(MODELS))
    parser.add_argument("--pairs", type=int, default=3, help="of each set (default: 3)")
    arguments = parse(parser)
    work = arguments.output / "drawn"
    rows = [row for group in arguments.sets for row in measure_set(group, arguments.data, work, arguments.pairs)]
    text = format_rows(rows)
    write_report(arguments.output, "cascade_curve", text, rows, plot(rows))
    print("", text, sep="\n")


if __name__ == "__main__":
    main()
