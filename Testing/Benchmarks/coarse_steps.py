"""How many coarse steps the refinement of brains is worth: `coarse_steps` of the card, on data for training.

    LIGHTREG_DATA=<data> .venv/bin/python Testing/Benchmarks/coarse_steps.py --output Testing/Benchmarks/results \
      --threads 1

Registers pairs with `fast` and each number of coarse steps, in turns: brains synthesized as in the training of
brain-mri, and crops around the hippocampus that it was trained on. No pair is one that results are measured on. Dice:
mean over the structures of both images; `above`: mean over the pairs of the difference to the least number of steps,
with its standard error. CPU seconds: of the whole registration, mean over the pairs.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from cascade_curve import read_card
from common import benchmark_parser, new_figure, parse, write_report
from synthesized import CONFIGS, write_pairs

from LightRegistrationLib.core.models.registry import ModelRegistry, Student
from LightRegistrationLib.core.network.intensity import IntensityNormalization
from LightRegistrationLib.core.registration import register
from LightRegistrationLib.core.result.settings import RefinementPreset, RegistrationSettings
from LightRegistrationLib.training.configuration import StudentTrainingConfig
from LightRegistrationLib.training.configuration_file import load_config_as
from LightRegistrationLib.training.evaluation.cases import evaluate_field, load_case, score
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair
from LightRegistrationLib.training.evaluation.tables import format_markdown_table
from LightRegistrationLib.training.sources import LabelMapSourceConfig

MODEL = "brain-mri"
MAPS = "brain_labelmap/synthseg_0[1-6]*.nii.gz"
"""Six of the label maps: fractions of all 20 on this grid would take two gigabytes."""
SPACING_MM, SEED = 1.6, 1


class _Registry(ModelRegistry):
    """The bundled models, one of them refined with other settings."""

    def __init__(self, coarse_steps: int) -> None:
        super().__init__()
        student = self.load(MODEL)
        changed = replace(student.refinement, coarse_steps=coarse_steps)
        self._loaded[MODEL] = Student(student.card, student.network, student.grid, student.intensity, changed)


def draw_brains(data: Path, folder: Path, count: int) -> list[EvaluationPair]:
    """Draw brains like those of the training of brain-mri, with usual scanner effects."""
    config = load_config_as(CONFIGS / f"{MODEL}.toml", StudentTrainingConfig)
    source = next(s for s in config.sources if isinstance(s, LabelMapSourceConfig))
    synthesis = replace(source.synthesis, same=0.0)
    own = (replace(source, files=MAPS, synthesis=synthesis),)
    return write_pairs(own, IntensityNormalization(), SPACING_MM, data, folder, "synthesized brains", count, SEED)


def pair_crops(data: Path, count: int) -> list[EvaluationPair]:
    """Pair each crop for training (fixed) with the next one."""
    records = json.loads((data / "manifest.json").read_text(encoding="utf-8"))["records"]
    crops = [r for r in records if r["anatomy"] == "hippocampus_t1" and r["use"] == "train"][: count + 1]
    return [
        EvaluationPair(
            f"{fixed['id']}__{moving['id']}",
            *(data / record["image"] for record in (fixed, moving)),
            *(data / record["labels"] for record in (fixed, moving)),
            group="hippocampus crops",
        )
        for fixed, moving in pairwise(crops)
    ]


def measure(pairs: Sequence[EvaluationPair], steps: Sequence[int], threads: int) -> list[dict[str, Any]]:
    """Register each pair with each number of steps, in turns; a row for each."""
    registries = {number: _Registry(number) for number in steps}
    settings = RegistrationSettings(MODEL, threads=threads, refine=RefinementPreset.FAST)
    rows = []
    for pair in pairs:
        case = load_case(pair)
        for number, registry in registries.items():
            started = time.process_time()
            result = register(case.fixed, case.moving, settings, registry=registry)
            seconds = time.process_time() - started
            scores = score(case, {"fast": evaluate_field(case, result.field, result.jacobian)}, surfaces=False)["fast"]
            row = {"set": pair.group, "pair": pair.name, "coarse_steps": number, "dice": scores.dice}
            rows.append(row | {"cpu_seconds": seconds, "folding_percent": scores.folding_percent})
        print(pair.name, *(f"{row['dice']:.4f}" for row in rows[-len(registries) :]), flush=True)
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write a line for each set and number of steps."""
    body = []
    for group in dict.fromkeys(row["set"] for row in rows):
        own = [row for row in rows if row["set"] == group]
        steps = sorted({row["coarse_steps"] for row in own})
        dice = {n: np.array([row["dice"] for row in own if row["coarse_steps"] == n]) for n in steps}
        for number in steps:
            gains = dice[number] - dice[steps[0]]
            error = float(np.std(gains, ddof=1)) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
            above = "" if number == steps[0] else f"{gains.mean():+.4f} ± {error:.4f}"
            seconds, folding = (
                np.mean([row[name] for row in own if row["coarse_steps"] == number])
                for name in ("cpu_seconds", "folding_percent")
            )
            numbers = [str(number), str(len(gains)), f"{dice[number].mean():.4f}", above]
            body.append([group, *numbers, f"{seconds:.1f}", f"{folding:.4f}"])
    return format_markdown_table(["set", "coarse steps", "pairs", "Dice", "above", "CPU s", "folding %"], body)


def plot(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Plot the gain of each pair over the least number of steps."""
    groups = list(dict.fromkeys(row["set"] for row in rows))
    figure, (panels,) = new_figure(len(groups), width=5 * len(groups), height=3.5)
    for axes, group in zip(panels, groups, strict=True):
        for pair in dict.fromkeys(row["pair"] for row in rows if row["set"] == group):
            own = sorted((row["coarse_steps"], row["dice"]) for row in rows if row["pair"] == pair)
            axes.plot([n for n, _ in own], [dice - own[0][1] for _, dice in own], ".-", color="gray", alpha=0.6)
        axes.set(title=group, xlabel="coarse steps", ylabel="Dice, gain")
        axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """Run the command."""
    parser = benchmark_parser(__doc__, Path("runs/coarse_steps"))
    parser.add_argument("--steps", nargs="+", type=int, default=[10, 20, 40])
    parser.add_argument("--brains", type=int, default=10, help="number of synthesized pairs")
    parser.add_argument("--crops", type=int, default=20, help="number of pairs of crops")
    arguments = parse(parser)
    with tempfile.TemporaryDirectory() as work:
        brains = draw_brains(arguments.data, Path(work), arguments.brains) if arguments.brains else []
        pairs = [*brains, *pair_crops(arguments.data, arguments.crops)]
        rows = measure(pairs, arguments.steps, arguments.threads)
    now = read_card(MODEL)["refinement"]["coarse_steps"]
    text = f"`fast` with {MODEL}, whose card says {now}, {arguments.threads} thread(s).\n\n" + table(rows)
    write_report(arguments.output, "coarse_steps", text, rows, plot(rows))
    print(text)


if __name__ == "__main__":
    main()
