"""Brains whose left and right are exchanged: does the match tell them from the others? Brains are nearly symmetric.

    LIGHTREG_DATA=<data> .venv/bin/python Testing/Benchmarks/mirrored_brains.py --output Testing/Benchmarks/results

Each pair of brain T1 scans is registered as loaded and with the moving volume mirrored: its voxels change sides, its
header stays, as a lost sign in a header does. Measured after registration: correlation over the brain, mean local
correlation, and the standard deviation of log J, which is how much the deformation had to change. A measure tells the
two apart if it favors the pair as loaded on every pair, clearly. Warnings about mirrored or turned headers are counted.
Written: mirrored_brains.md, .csv, .json and .png.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import benchmark_parser, brain_ring, new_figure, parse, print_and_write
from robustness import load_named_case
from robustness_report import name_sentences

from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.refinement.local_correlation import LocalCorrelation
from LightRegistrationLib.core.registration import register
from LightRegistrationLib.core.result.settings import RefinementPreset, RegistrationSettings
from LightRegistrationLib.core.sampling.warping import warp_volume
from LightRegistrationLib.training.evaluation.tables import format_markdown_table

NAME = "mirrored_brains"
MEASURES = {"correlation": 1, "local correlation": 1, "SD log J": -1}
"""The measures; 1: more is a better match, -1: less is."""
AS_LOADED, MIRRORED = "as loaded", "mirrored"
HEADER_SENTENCES = {"mirror", "possible mirror", "turn"}
MIN_INTENSITY = 0.05
"""Darker voxels (share of the fixed volume's 99.5th percentile) are not compared. Chosen."""
Row = dict[str, Any]


def mirror(volume: Volume) -> Volume:
    """Exchange left and right of the voxels; the header stays."""
    index = int(np.argmax(np.abs(volume.affine[0, :3])))
    return replace(volume, array=np.ascontiguousarray(np.flip(volume.array, 2 - index)))


def measure(data: Path, threads: int, count: int, refine: RefinementPreset) -> Iterator[Row]:
    """Measure each pair as loaded and mirrored."""
    registry, settings = ModelRegistry(), RegistrationSettings(threads=threads, refine=refine)
    for pair in brain_ring(data)[:count]:
        case = load_named_case(pair)
        row: Row = {"pair": pair.name}
        for state, moving in ((AS_LOADED, case.moving), (MIRRORED, mirror(case.moving))):
            result = register(case.fixed, moving, settings, registry=registry)
            warped = warp_volume(moving, result.field, case.fixed.geometry)
            values = *_compare(case.fixed, warped), float(result.jacobian.std_log)
            row |= {f"{name}, {state}": value for name, value in zip(MEASURES, values, strict=True)}
            row[f"warned, {state}"] = bool(HEADER_SENTENCES & name_sentences(result.warnings))
        yield row


def _compare(fixed: Volume, warped: Volume) -> tuple[float, float]:
    """Compute the correlation over the fixed body, and the mean local correlation."""
    images = [torch.from_numpy(v.array.astype(np.float32) / np.percentile(v.array, 99.5)) for v in (fixed, warped)]
    is_body = images[0] > MIN_INTENSITY
    correlation = float(torch.corrcoef(torch.stack([image[is_body] for image in images]))[0, 1])
    first, second = (image[None, None] for image in images)
    return correlation, LocalCorrelation(first).evaluate(second, is_body[None, None].float()).value


def compute_gains(rows: Sequence[Row], name: str) -> np.ndarray:
    """Compute by how much each pair as loaded is better than mirrored, in one measure."""
    return MEASURES[name] * np.array([row[f"{name}, {AS_LOADED}"] - row[f"{name}, {MIRRORED}"] for row in rows])


def format_report(rows: Sequence[Row]) -> str:
    """Write the table: the measures, and how often they favor the pair as loaded."""
    lines = []
    for name in MEASURES:
        gains = compute_gains(rows, name)
        means = (f"{np.mean([row[f'{name}, {state}'] for row in rows]):.4f}" for state in (AS_LOADED, MIRRORED))
        lines.append(
            [name, *means, f"{(gains > 0).sum()} of {len(rows)}", f"{gains.min():+.4f}", f"{np.median(gains):+.4f}"]
        )
    header = ["measure", AS_LOADED, MIRRORED, "as loaded is better", "least gain", "median gain"]
    counts = {state: sum(row[f"warned, {state}"] for row in rows) for state in (AS_LOADED, MIRRORED)}
    warned = [f"{count} of {len(rows)} {state}" for state, count in counts.items()]
    return (
        "Pairs of brains as loaded, and with left and right of the moving volume exchanged, after registration.\n\n"
        f"{format_markdown_table(header, lines)}\n\nWarned of a mirrored or turned header: {', '.join(warned)}."
    )


def plot(rows: Sequence[Row]) -> Any:
    """Plot the gain of each pair as loaded over the mirrored one, by measure."""
    figure, (row_axes,) = new_figure(len(MEASURES), width=9, height=3)
    for axes, name in zip(row_axes, MEASURES, strict=True):
        axes.bar(range(len(rows)), compute_gains(rows, name))
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set(title=name, xlabel="pair", ylabel="better as loaded by")
        axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """Run the command."""
    parser = benchmark_parser(__doc__, Path("runs") / NAME)
    parser.add_argument("--pairs", type=int, default=15, help="of the ring (default: 15)")
    parser.add_argument("--refine", choices=list(RefinementPreset), default=RefinementPreset.NONE)
    arguments = parse(parser)
    rows = measure(arguments.data, arguments.threads, arguments.pairs, RefinementPreset(arguments.refine))
    print_and_write(rows, arguments.output, NAME, format_report, plot)


if __name__ == "__main__":
    main()
