"""What a smaller student costs: the published one, ours, and a tiny one, trained on the same pairs in the same steps.

    LIGHTREG_DATA=<data> .venv/bin/python Testing/Benchmarks/student_sizes.py --output Testing/Benchmarks/results \
      --threads 1

The students are trained as those of the ablation (ablation.py) without a teacher, with its loss (l_rec), store and
steps, and registered on the brain ring in the same way; they differ in nothing but their network. `ours` is the
ablation's own `l_rec only`. Finished runs are kept in ablation.csv as the ablation keeps its own, and are not repeated.

Multiply-adds and CPU seconds are of one cascade on a grid of --shape, from the two images to the deformation, with the
integration of a velocity; multiply-adds are those of convolutions alone. CPU seconds are medians over --repetitions in
which all students take turns, in bfloat16 where the CPU has it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ablation import add_options, carry_out, config_of, make_plan
from ablation_rows import PARTS, STUDENTS, Finished, Run
from common import benchmark_parser, new_figure, parse, write_report
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.network.cascade import RecursiveCascade
from LightRegistrationLib.core.network.inference import has_fast_bfloat16
from LightRegistrationLib.training.evaluation.cases import AFFINE
from LightRegistrationLib.training.evaluation.tables import format_markdown_table, summarize_method

TITLES = {"published": "published (displacement at full resolution)", "": "ours (velocity, symmetric)", "tiny": "tiny"}


def measure_costs(
    networks: Mapping[str, RecursiveCascade], shape: tuple[int, ...], repetitions: int
) -> dict[str, dict[str, float]]:
    """Count parameters and multiply-adds, and measure the CPU seconds of one cascade, by student."""
    generator = torch.Generator().manual_seed(1)
    layout = torch.channels_last_3d
    images = [torch.rand(1, 1, *shape, generator=generator).to(memory_format=layout) for _ in range(2)]
    costs: dict[str, dict[str, float]] = {}
    for name, network in networks.items():
        network.eval().requires_grad_(False).to(memory_format=layout)  # type: ignore[call-overload]
        with FlopCounterMode(display=False) as counter:
            _run(network, images)
        parameters = sum(p.numel() for p in network.parameters())
        costs[name] = {"parameters": parameters, "macs": counter.get_total_flops() // 2}
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(repetitions):
        for name, network in networks.items():
            started = time.process_time()
            _run(network, images)
            seconds[name].append(time.process_time() - started)
    return {name: {**own, "cpu_seconds": float(np.median(seconds[name]))} for name, own in costs.items()}


def _run(network: RecursiveCascade, images: Sequence[Tensor]) -> None:
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_fast_bfloat16()):
        network(images[0], images[1], 1)


def row_of(name: str, costs: Mapping[str, float], runs: Sequence[Finished]) -> dict[str, Any]:
    """Gather the costs of a student and the results of its seeds: means over the pairs."""
    seeds = {}
    for run in runs:
        mean = summarize_method(run.run.name, run.records).mean
        values = {measure: mean[measure] for measure in ("dice", "folding_percent", "std_log_jacobian")}
        synthesized = run.curve[-1].get("dice") if run.curve else None
        seeds[run.run.seed] = {**values, **run.parts, "synthesized": synthesized, "training": run.cpu_seconds}
    return {"name": name, "title": TITLES[name], **costs, "seeds": seeds}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write a line for each student: its costs, and mean ± standard deviation over the seeds of its measures."""
    header = ["student", "parameters", "GMAC", "CPU s of a cascade", "seeds", "Dice", "Dice, subcortical"]
    header += ["Dice, cortical", "Dice, synthesized", "folding %", "SD log J", "CPU s of training"]
    measures = {"dice": 4, **dict.fromkeys(PARTS, 4), "synthesized": 4, "folding_percent": 4, "std_log_jacobian": 4}
    body = []
    for row in rows:
        costs = [f"{row['parameters'] / 1e6:.3f} M", f"{row['macs'] / 1e9:.2f}", f"{row['cpu_seconds']:.3f}"]
        seeds = list(row["seeds"].values())
        cells = [_spread(seeds, name, digits) for name, digits in {**measures, "training": 0}.items()]
        body.append([row["title"], *costs, str(len(seeds)), *cells])
    return format_markdown_table(header, body)


def _spread(seeds: Sequence[Mapping[str, Any]], name: str, digits: int) -> str:
    values = [seed[name] for seed in seeds if seed.get(name) is not None]
    if not values:
        return ""
    text = f"{np.mean(values):.{digits}f}"
    return f"{text} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else text


def plot(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Plot the Dice of each seed over parameters and over CPU seconds."""
    figure, (panels,) = new_figure(2, width=10, height=4)
    for row in rows:
        dice = [seed["dice"] for seed in row["seeds"].values()]
        for axes, key, scale in zip(panels, ("parameters", "cpu_seconds"), (1e6, 1), strict=True):
            axes.plot([row[key] / scale] * len(dice), dice, "o", label=row["title"])
    for axes, label in zip(panels, ("parameters, M", "CPU s of a cascade"), strict=True):
        axes.set(xlabel=label, ylabel="Dice of the brain ring")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    return figure


def main() -> None:
    """Run the command."""
    parser = benchmark_parser(__doc__, Path("runs/ablation/results"))
    add_options(parser)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--shape", nargs=3, type=int, default=(128, 128, 128), help="voxels, multiples of 16")
    parser.add_argument("--repetitions", type=int, default=9)
    arguments = parse(parser)
    finished: list[Finished] = []
    try:
        plan = make_plan(arguments, "refinement")
        runs = [Run("none", "", 1, seed, student=name) for seed in arguments.seeds for name in STUDENTS]
        for results in carry_out(plan, runs, arguments.output):
            finished = results
    except InputError as error:
        parser.exit(2, f"{error}\n")
    names = [name for name in TITLES if any(f.run.student == name for f in finished)]
    networks = {name: RecursiveCascade(config_of(plan, Run("none", "", 1, 1, student=name)).student) for name in names}
    costs = measure_costs(networks, tuple(arguments.shape), arguments.repetitions)
    rows = [row_of(name, costs[name], [f for f in finished if f.run.student == name]) for name in names]
    affine = summarize_method(AFFINE, finished[0].records).mean["dice"]
    grid = " x ".join(map(str, arguments.shape))
    text = (
        f"{len(plan.pairs)} validation pairs, Dice after the affine stage {affine:.4f}; {finished[0].steps} steps for "
        f"every student, one cascade. Multiply-adds and CPU seconds of one cascade on {grid} voxels, threads: "
        f"{arguments.threads}.\n\n{table(rows)}"
    )
    write_report(arguments.output, "student_sizes", text, {"rows": rows}, plot(rows))
    print(text)


if __name__ == "__main__":
    main()
