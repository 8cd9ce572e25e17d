"""Compare the affine stage with SimpleITK's multi-resolution affine registration, as loaded and with wrong headers.

    LIGHTREG_DATA=<data> .venv/bin/python Testing/Benchmarks/affine_start.py --output Testing/Benchmarks/results

The validation pairs of five anatomies, and the first of each with a moving header that is off by 31 cm, turned by 180°
about the S axis or tilted by 20°, and with the lower 40 % of the moving slices cut off. SimpleITK: affine transform
from CenteredTransformInitializer (moments or geometry), Mattes mutual information with 50 bins on a fifth of the
voxels, three levels (shrink factors 4, 2, 1, smoothing 2, 1, 0 mm), gradient descent with step 1 and at most 100
iterations a level, scales from physical shifts. Both start from the same two volumes. Failed: runs that `failures.py`
counts as such, measured against the volumes as loaded. Written: affine_start.md, .json and .png.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from common import benchmark_parser, brain_ring, new_figure, parse, write_report
from failures import failure_reason
from scipy.spatial.transform import Rotation

from LightRegistrationLib.core.affine.stage import align_affine
from LightRegistrationLib.core.geometry.geometry import FloatArray, homogeneous
from LightRegistrationLib.core.geometry.transforms import AffineTransform
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.models.image_statistics import measure_image_statistics
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.models.selection import choose_model
from LightRegistrationLib.training.evaluation.cases import Case, evaluate_affine, load_case, score
from LightRegistrationLib.training.evaluation.files import LPS, to_sitk_image
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair, read_pairs
from LightRegistrationLib.training.evaluation.tables import format_markdown_table

NAME = "affine_start"
OURS, MOMENTS, GEOMETRY = "ours", "SimpleITK, moments", "SimpleITK, geometry"
SETS = ("brain_t1", "hippocampus_t1", "headneck_ct", "lung_ct", "liver_mri")
AS_LOADED = "as loaded"
Row = dict[str, Any]
Align = Callable[[Volume, Volume], tuple[FloatArray, tuple[str, ...]]]


def ours(fixed: Volume, moving: Volume, registry: ModelRegistry) -> tuple[FloatArray, tuple[str, ...]]:
    """Run the product's affine stage with the intensities of the model that it would choose; on one thread."""
    model = choose_model(registry.cards, (measure_image_statistics(fixed), measure_image_statistics(moving))).card.name
    rule = registry.load(model).intensity
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        found = align_affine(fixed, moving, rule)
    torch.set_num_threads(threads)
    return found.transform.matrix, found.warnings


def simpleitk(fixed: Volume, moving: Volume, start: str) -> tuple[FloatArray, tuple[str, ...]]:
    """Run SimpleITK as described above; start: MOMENTS or GEOMETRY. If it raises an error, its start is the result."""
    images = [sitk.Cast(to_sitk_image(volume), sitk.sitkFloat32) for volume in (fixed, moving)]
    mode = getattr(sitk.CenteredTransformInitializerFilter, start)
    transform = sitk.CenteredTransformInitializer(*images, sitk.AffineTransform(3), mode)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(50)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.2, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsGradientDescent(1.0, 100, 1e-6, 10)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(transform, True)
    notes: tuple[str, ...] = ()
    try:
        method.Execute(*images)
    except RuntimeError as error:
        notes = (str(error).strip().splitlines()[-1],)
    return LPS @ _matrix(sitk.AffineTransform(transform)) @ LPS, notes


def _matrix(transform: sitk.AffineTransform) -> FloatArray:
    linear, center = np.array(transform.GetMatrix()).reshape(3, 3), np.array(transform.GetCenter())
    return homogeneous(linear, np.array(transform.GetTranslation()) + center - linear @ center)


def change_header(moving: Volume) -> Iterator[tuple[str, Volume, FloatArray]]:
    """Yield the moving volume as loaded, with wrong headers and cut off: title, volume, and the header's error."""
    center = moving.geometry.center_mm
    wrong = {
        AS_LOADED: np.eye(4),
        "header off by 31 cm": homogeneous(np.eye(3), (180, -180, 180)),
        "turned by 180°": _about(center, (0, 0, 180)),
        "tilted by 20°": _about(center, 20 * np.array((0.6, 0.64, 0.48))),
    }
    for title, matrix in wrong.items():
        yield title, replace(moving, affine=matrix @ moving.affine), matrix
    cut = int(0.4 * moving.array.shape[0])
    affine = moving.affine @ homogeneous(np.eye(3), (0, 0, cut))
    yield "40 % of the slices cut off", replace(moving, array=moving.array[cut:], affine=affine), np.eye(4)


def _about(center: FloatArray, degrees: Any) -> FloatArray:
    turn = Rotation.from_rotvec(degrees, degrees=True).as_matrix()
    return homogeneous(turn, center - turn @ center)


def rows_of(case: Case, methods: dict[str, Align], with_changed: bool) -> Iterator[Row]:
    """Run each method on a pair as loaded and, if wanted, changed; it is scored with the header as loaded."""
    before = score(case, {"": evaluate_affine(case, AffineTransform.identity())}, surfaces=False)[""]
    for title, moving, header in change_header(case.moving):
        if title != AS_LOADED and not with_changed:
            return
        for name, align in methods.items():
            wall, cpu = time.perf_counter(), time.process_time()
            matrix, notes = align(case.fixed, moving)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            found = AffineTransform(np.linalg.inv(header) @ matrix)
            scores = score(case, {name: evaluate_affine(case, found)}, surfaces=False)[name]
            measured = {"dice": scores.dice, "tre_mm": scores.tre_mm, "seconds": wall, "cpu_seconds": cpu}
            measured["failure"] = failure_reason(
                dice=scores.dice,
                tre_mm=scores.tre_mm,
                folding_percent=scores.folding_percent,
                loaded_dice=before.dice,
                loaded_tre_mm=before.tre_mm,
            )
            yield {
                "group": case.pair.group,
                "pair": case.pair.name,
                "input": title,
                "method": name,
                **measured,
                "notes": notes,
            }


def pairs_of(data: Path, group: str, count: int | None) -> list[EvaluationPair]:
    """Read the validation pairs of an anatomy that can be scored."""
    pairs = brain_ring(data) if group == "brain_t1" else read_pairs(data / "manifest.json", [group])
    return [p for p in pairs if p.fixed_labels is not None or p.landmarks is not None][:count]


def summary(rows: Sequence[Row]) -> str:
    """Write for each anatomy and input: mean and median, failed runs, CPU seconds, and their ratio to SimpleITK's."""
    keys = dict.fromkeys((r["group"], r["input"]) for r in rows)
    lines = []
    for group, title in keys:
        chosen = [r for r in rows if (r["group"], r["input"]) == (group, title)]
        means = {m: _means([r for r in chosen if r["method"] == m]) for m in dict.fromkeys(r["method"] for r in chosen)}
        cells = [f"{m['shown']} ({m['cpu']:.2f} s){m['failed']}" for m in means.values()]
        peers = [m for name, m in means.items() if name != OURS]
        best = min(peers, key=lambda m: m["loss"])
        verdict = "ours" if means[OURS]["loss"] <= best["loss"] else "SimpleITK"
        lines.append(
            [
                group,
                title,
                str(len({r["pair"] for r in chosen})),
                *cells,
                verdict,
                f"{means[OURS]['cpu'] / best['cpu']:.3f}",
            ]
        )
    return format_markdown_table(
        ["pairs", "input", "n", OURS, MOMENTS, GEOMETRY, "better", "CPU time, ours / the better SimpleITK"], lines
    )


def _means(rows: Sequence[Row]) -> dict[str, Any]:
    dice = [r["dice"] for r in rows if r["dice"] is not None]
    tre = [r["tre_mm"] for r in rows if r["tre_mm"] is not None]
    shown = [f"Dice {np.mean(dice):.3f}, median {np.median(dice):.3f}"] if dice else []
    shown += [f"TRE {np.mean(tre):.2f} mm, median {np.median(tre):.2f} mm"] if tre else []
    failed = sum(bool(r["failure"]) for r in rows)
    loss = float(np.mean(tre)) if tre else -float(np.mean(dice))
    return {
        "shown": ", ".join(shown),
        "loss": loss,
        "cpu": float(np.mean([r["cpu_seconds"] for r in rows])),
        "failed": f", {failed} failed" if failed else "",
    }


def plot(rows: Sequence[Row]) -> Any:
    """Plot each pair as loaded: Dice, or TRE where there are only landmarks, by method."""
    groups = list(dict.fromkeys(r["group"] for r in rows))
    figure, (row,) = new_figure(len(groups), width=1 + 3 * len(groups))
    for axes, group in zip(row, groups, strict=True):
        own = [r for r in rows if r["group"] == group and r["input"] == AS_LOADED]
        measure = "dice" if any(r["dice"] is not None for r in own) and group != "lung_ct" else "tre_mm"
        for method in dict.fromkeys(r["method"] for r in own):
            values = [r[measure] for r in own if r["method"] == method and r[measure] is not None]
            axes.plot(values, marker=".", label=method)
        axes.set(title=group, xlabel="pair", ylabel="Dice" if measure == "dice" else "TRE, mm")
        axes.grid(alpha=0.3)
    row[-1].legend(fontsize=8)
    return figure


def main() -> None:
    """Run the command."""
    parser = benchmark_parser(__doc__, Path("runs") / NAME)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--pairs", type=int, help="take only so many pairs of each anatomy")
    parser.add_argument("--spoiled", type=int, default=1, help="pairs of each that also get wrong headers (default: 1)")
    arguments = parse(parser)
    registry = ModelRegistry()
    methods: dict[str, Align] = {
        OURS: lambda fixed, moving: ours(fixed, moving, registry),
        MOMENTS: lambda fixed, moving: simpleitk(fixed, moving, "MOMENTS"),
        GEOMETRY: lambda fixed, moving: simpleitk(fixed, moving, "GEOMETRY"),
    }
    rows: list[Row] = []
    for group in arguments.sets:
        for number, pair in enumerate(pairs_of(arguments.data, group, arguments.pairs)):
            for row in rows_of(load_case(pair), methods, number < arguments.spoiled):
                rows.append(row)
                print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    warnings = sorted(
        {f"{r['input']} ({r['group']}): {note}" for r in rows if r["method"] == OURS for note in r["notes"]}
    )
    text = "\n\n".join(
        [
            "Affine registration: mean Dice or landmark error, and CPU seconds per pair; SimpleITK on "
            f"{arguments.threads} threads, ours on 1.",
            summary(rows),
            "Warnings of ours about the headers:\n\n" + "\n".join(f"- {line}" for line in warnings),
        ]
    )
    write_report(arguments.output, NAME, text, rows, plot(rows))
    print(text)


if __name__ == "__main__":
    main()
