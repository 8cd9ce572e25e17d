"""T1 and T2 with FLAIR of one visit: distance to the reference transforms of the data, where headers are nearly right.

    LIGHTREG_DATA=<data folder> .venv/bin/python Testing/Benchmarks/same_visit.py --output Testing/Benchmarks/results

As loaded, after the affine stage and after a registration without refinement: distance in mm to the place where the
reference transform takes points deep inside the head. The references are nearly rigid and come with the data. Measures
of the match often cannot tell as loaded from a reference, so that distances below 1 mm say little: better than as
loaded is hardly possible where that lies within 1 mm. What counts is that nothing becomes worse. Written:
same_visit.md, .csv, .json and .png.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from common import benchmark_parser, new_figure, parse, print_and_write
from contrast_pairs import points_in_brain

from LightRegistrationLib.core.geometry.geometry import FloatArray
from LightRegistrationLib.core.registration import register
from LightRegistrationLib.core.result.settings import RefinementPreset, RegistrationSettings
from LightRegistrationLib.training.evaluation.files import read_volume
from LightRegistrationLib.training.evaluation.tables import format_markdown_table

NAME = "same_visit"
STAGES = ("as loaded", "affine", "none")
TO_LPS = np.array([-1.0, -1.0, 1.0])
POINT_STEP = 12
Row = dict[str, Any]


def map_points(transform: sitk.Transform, points_mm: FloatArray) -> FloatArray:
    """Map points (n, 3), RAS mm, by a SimpleITK transform."""
    return np.array([transform.TransformPoint(tuple(map(float, p))) for p in points_mm * TO_LPS]) * TO_LPS


def measure(data: Path, threads: int) -> Iterator[Row]:
    """Measure the pairs that have a reference transform."""
    for pair in json.loads((data / "manifest.json").read_text(encoding="utf-8"))["pairs"]:
        if not pair.get("reference_transform"):
            continue
        fixed, moving = (read_volume(data / pair[role]) for role in ("fixed", "moving"))
        points = points_in_brain(fixed, POINT_STEP)
        truth = map_points(sitk.ReadTransform(str(data / pair["reference_transform"])), points)
        result = register(fixed, moving, RegistrationSettings(refine=RefinementPreset.NONE, threads=threads))
        places = (points, result.initial(points), result.field(points))
        row: Row = {"pair": pair["id"]}
        for stage, found in zip(STAGES, places, strict=True):
            distances = np.linalg.norm(found - truth, axis=1)
            row |= {f"{stage}, mean mm": float(distances.mean()), f"{stage}, max mm": float(distances.max())}
        yield row | {"warnings": " ".join(result.warnings)}


def format_report(rows: Sequence[Row]) -> str:
    """Write the table: mean and largest distance at each stage."""
    keys = [f"{stage}, {kind} mm" for stage in STAGES for kind in ("mean", "max")]
    lines = [[r["pair"], *(f"{r[key]:.2f}" for key in keys)] for r in rows]
    lines.append(["mean", *(f"{np.mean([r[key] for r in rows]):.2f}" for key in keys)])
    title = "Distance to the reference transform in the brain, mm."
    return f"{title}\n\n{format_markdown_table(['pair', *keys], lines)}"


def plot(rows: Sequence[Row]) -> Any:
    """Plot the mean distance at each stage against that as loaded."""
    figure, ((axes,),) = new_figure(width=5, height=4)
    limit = 1.1 * max(r["as loaded, mean mm"] for r in rows)
    for stage in STAGES[1:]:
        axes.plot([r["as loaded, mean mm"] for r in rows], [r[f"{stage}, mean mm"] for r in rows], "o", label=stage)
    axes.plot([0, limit], [0, limit], color="black", linewidth=0.8)
    axes.set(xlabel="as loaded, mean mm", ylabel="after registration, mean mm", xlim=(0, limit), ylim=(0, limit))
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """Run the command."""
    arguments = parse(benchmark_parser(__doc__, Path("runs") / NAME))
    rows = measure(arguments.data, arguments.threads)
    print_and_write(rows, arguments.output, NAME, format_report, plot)


if __name__ == "__main__":
    main()
