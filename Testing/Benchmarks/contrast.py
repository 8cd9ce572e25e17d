"""Multimodal pairs: T1 with FLAIR of one head, T1 scans remapped to other contrasts, and the choice of the metric.

    LIGHTREG_DATA=<data folder> .venv/bin/python Testing/Benchmarks/contrast.py --output Testing/Benchmarks/results

Methods: no registration, the affine stage, the model that `auto` takes, the same refined (`fast`) with the metric that
the images ask for, and, from the affine stage without a model, refined with MIND and with local correlation.
`known`: T1 with the FLAIR (for comparison also the T1) of the same visit, deformed by a known field of up to 6 mm:
distance to the true position in the brain, mm. The motion of the head between the two scans is known to about 0.6 mm.
`visits`: T1 of one visit with the FLAIR of the other: distance to the result of T1 with T1, mm; the truth is not known.
`remapped`: pairs of the brain ring, the moving scan's intensities remapped to T2 and FLAIR: Dice of all labels. That is
no real contrast: each intensity stands for one tissue.
`choice`: the metric chosen for the manifest's pairs after the affine stage, and the number on which the choice depends.
`ct`: head and neck CT with CT remapped so that bone and air are dark and fat is bright, as in MRI. There is no real
pair of CT and MRI in the data: not measured. With `--syn N`, also ANTs SyN (mutual information, ANTsPy's default) on N
pairs of `remapped`; for its environment see comparison.py. Failed: runs that `failures.py` counts as such.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from brain_ring import dice
from common import PEERS, benchmark_parser, brain_ring, new_figure, parse, write_report
from contrast_pairs import CONTRASTS, ct_as_mri, known_pairs, remapped, visit_pairs
from failures import failure_reason

from LightRegistrationLib.core.affine.stage import align_affine
from LightRegistrationLib.core.deformation.folding import repair_folding
from LightRegistrationLib.core.deformation.jacobian import summarize_jacobian
from LightRegistrationLib.core.geometry.geometry import FloatArray
from LightRegistrationLib.core.geometry.transforms import DisplacementField
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.models.image_statistics import measure_image_statistics
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.models.selection import choose_model
from LightRegistrationLib.core.network.flow_conversion import Deformation, convert_flow_to_field
from LightRegistrationLib.core.network.grid import compute_network_grid, resample_to_grid
from LightRegistrationLib.core.refinement.images import RefinementImages, ShrunkPair
from LightRegistrationLib.core.refinement.local_correlation import LocalCorrelation
from LightRegistrationLib.core.refinement.mind import MindSimilarity
from LightRegistrationLib.core.refinement.multimodal import measure_multimodality
from LightRegistrationLib.core.refinement.optimizer import Start, refine
from LightRegistrationLib.core.refinement.settings import REFINEMENT, RefinementSettings
from LightRegistrationLib.core.registration import register
from LightRegistrationLib.core.result.progress import ignore_progress
from LightRegistrationLib.core.result.result import JacobianSummary, Metric, RegistrationResult
from LightRegistrationLib.core.result.settings import NO_GUIDANCE, RegistrationSettings
from LightRegistrationLib.training.evaluation.cases import Case, evaluate_field, load_case
from LightRegistrationLib.training.evaluation.files import read_volume
from LightRegistrationLib.training.evaluation.pairs import read_pairs
from LightRegistrationLib.training.evaluation.tables import format_markdown_table

SETS = ["known", "visits", "remapped", "ct", "choice"]
UNREGISTERED = "no registration"
MEASURES = {"mean_mm": 2, "p95_mm": 2, "dice": 3, "folding_percent": 4, "std_log_jacobian": 3, "cpu_seconds": 1}
STIFF = RefinementSettings(
    update_voxels=REFINEMENT.multimodal_update_voxels, elastic_voxels=REFINEMENT.multimodal_elastic_voxels
)
FORCED = {
    "MIND alone": (MindSimilarity, STIFF),
    "local correlation alone": (partial(LocalCorrelation, radius=2), RefinementSettings()),
    "local correlation alone, as stiff as MIND": (partial(LocalCorrelation, radius=2), STIFF),
}


@dataclass(frozen=True, eq=False)
class Found:
    """The field that a method found for a pair; seconds: of CPU time."""

    method: str
    field: DisplacementField
    seconds: float
    metric: str = ""


def methods_of(fixed: Volume, moving: Volume, registry: ModelRegistry) -> Iterator[Found]:
    """Run every method on one pair; the product's own methods twice, without and with refinement."""
    no_displacement = np.zeros((2, 2, 2, 3), np.float32)
    yield Found(UNREGISTERED, DisplacementField(no_displacement, fixed.affine), 0.0)
    plain: RegistrationResult | None = None
    for title, preset in (("model", "none"), ("model, refined", "fast")):
        started = time.process_time()
        result = register(fixed, moving, RegistrationSettings(refine=preset), registry=registry)
        seconds = time.process_time() - started
        if plain is None:
            plain = result
            points = result.field.geometry.points_mm
            yield Found("affine", DisplacementField(result.initial(points) - points, result.field.affine), 0.0)
        metric = result.refinement.metric if result.refinement else ""
        yield Found(title, result.field, seconds, metric)
    assert plain is not None
    for title in FORCED:
        yield forced(title, fixed, moving, plain, registry)


def forced(title: str, fixed: Volume, moving: Volume, plain: RegistrationResult, registry: ModelRegistry) -> Found:
    """Refine from the affine stage with one metric, whatever the images ask for."""
    started = time.process_time()
    similarity, rule = FORCED[title]
    student = registry.load(plain.model)
    grid = compute_network_grid(fixed.geometry, student.grid)
    images = RefinementImages(ShrunkPair(fixed, moving, student.intensity), plain.initial, grid, NO_GUIDANCE)
    with torch.inference_mode():
        start = Start(Deformation(torch.zeros(1, 3, *grid.shape), grid), images)
        found, _ = refine([start], similarity, "fast", rule, ignore_progress)
    field, _ = repair_folding(convert_flow_to_field(found.flow, found.geometry, plain.initial))
    return Found(title, field, time.process_time() - started, found.summary.metric if found.summary else "")


def row(kind: str, pair: str, fixed: Volume, found: Found, **measures: float) -> dict[str, Any]:
    """Make one line of the results."""
    jacobian = summarize_jacobian(found.field, fixed.geometry)
    line = {"set": kind, "pair": pair, "method": found.method, "metric": found.metric, **measures}
    line |= {"folding_percent": jacobian.percent_nonpositive, "std_log_jacobian": jacobian.std_log}
    print(" ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in line.values()), flush=True)
    return {**line, "cpu_seconds": found.seconds}


def distances(errors_mm: FloatArray) -> dict[str, float]:
    """Compute the mean and the 95th percentile."""
    return {"mean_mm": float(errors_mm.mean()), "p95_mm": float(np.percentile(errors_mm, 95))}


def measure_known(data: Path, registry: ModelRegistry) -> Iterator[dict[str, Any]]:
    """Measure the distance to a known deformation."""
    for pair in known_pairs(data):
        kind = f"known, T1 with {pair.moving.name}"
        for found in methods_of(pair.fixed, pair.moving, registry):
            yield row(kind, pair.name, pair.fixed, found, **distances(pair.errors_mm(found.field)))


def measure_visits(data: Path, registry: ModelRegistry) -> Iterator[dict[str, Any]]:
    """Measure the distance to the registration of T1 with T1."""
    for pair in visit_pairs(data):
        reference = register(pair.fixed, pair.same, RegistrationSettings(refine="fast"), registry=registry)
        target = pair.between(reference.field(pair.points_mm))
        for found in methods_of(pair.fixed, pair.other, registry):
            errors = np.linalg.norm(found.field(pair.points_mm) - target, axis=1)
            yield row("visits, T1 with FLAIR", pair.name, pair.fixed, found, **distances(errors))


def measure_remapped(data: Path, registry: ModelRegistry, count: int, with_syn: int) -> Iterator[dict[str, Any]]:
    """Measure the Dice of all labels."""
    for number, pair in enumerate(brain_ring(data)[:: 15 // count][:count]):
        case = load_case(pair)
        for contrast in ("T1", *CONTRASTS):
            moving = case.moving
            if contrast != "T1":
                moving = remapped(case.moving, case.moving_labels, contrast, number)
            for found in methods_of(case.fixed, moving, registry):
                overlap = mean_dice(case, found.field)
                yield row(f"remapped, T1 with {contrast}", pair.name, case.fixed, found, dice=overlap)
            if number < with_syn:
                yield syn_row(case, moving, contrast)


def measure_ct_as_mri(data: Path, registry: ModelRegistry) -> Iterator[dict[str, Any]]:
    """Measure the Dice of the organs; also of the same pairs as they are, for comparison."""
    for number, pair in enumerate(read_pairs(data / "manifest.json", ["headneck_ct"])[:3]):
        case = load_case(pair)
        for kind, moving in (("CT with CT", case.moving), ("CT with CT as MRI", ct_as_mri(case.moving, number))):
            for found in methods_of(case.fixed, moving, registry):
                yield row(kind, pair.name, case.fixed, found, dice=mean_dice(case, found.field))


def mean_dice(case: Case, field: DisplacementField) -> float:
    """Average the Dice over all labels of at least 100 voxels."""
    return float(np.mean(list(dice(case, evaluate_field(case, field, JacobianSummary(0, 1, 0, 1, 1))).values())))


def syn_row(case: Case, moving: Volume, contrast: str) -> dict[str, Any]:
    """Run ANTs SyN on a pair of `remapped`."""
    outcome = PEERS["syn"].run(replace(case, moving=moving), None)
    line = {"set": f"remapped, T1 with {contrast}", "pair": case.pair.name, "method": "ANTs SyN (MI)", "metric": ""}
    line["dice"] = float(np.mean(list(dice(case, outcome).values())))
    print(*line.values(), flush=True)
    return {**line, "folding_percent": outcome.jacobian.percent_nonpositive, "cpu_seconds": float("nan")}


def measure_choice(data: Path, registry: ModelRegistry) -> Iterator[dict[str, Any]]:
    """Choose the metric for the manifest's pairs; for the follow-up scans every pair of them."""
    scans = sorted((data / "brain_followup").glob("*.nii.gz"))
    pairs = [(a, b, "brain_followup, " + _contrasts(a, b)) for a in scans for b in scans if a != b]
    pairs += [(p.fixed, p.moving, "brain ring, T1") for p in brain_ring(data)]
    others = read_pairs(data / "manifest.json", ["hippocampus_t1", "headneck_ct", "lung_ct", "liver_mri"])
    pairs += [(p.fixed, p.moving, p.group) for p in others]
    for fixed_file, moving_file, kind in pairs:
        fixed, moving = read_volume(fixed_file), read_volume(moving_file)
        gain = gain_of(fixed, moving, registry)
        line = {"set": f"choice: {kind}", "pair": f"{fixed_file.name} <- {moving_file.name}", "gain": gain}
        line["metric"] = Metric.MIND if gain > REFINEMENT.multimodal.max_single_contrast_gain else Metric.CORRELATION
        print(*line.values(), flush=True)
        yield line


def _contrasts(first: Path, second: Path) -> str:
    return "multimodal" if ("flair" in first.name) != ("flair" in second.name) else "single contrast"


def gain_of(fixed: Volume, moving: Volume, registry: ModelRegistry) -> float:
    """Compute the number on which the choice of the metric depends, as in the product."""
    student = registry.load(
        choose_model(registry.cards, (measure_image_statistics(fixed), measure_image_statistics(moving))).card.name
    )
    grid = compute_network_grid(fixed.geometry, student.grid)
    pair = ShrunkPair(fixed, moving, student.intensity)
    initial = align_affine(fixed, moving, student.intensity).transform
    target, source = pair.shrink_to(float(grid.spacing_mm[0]))
    return measure_multimodality(
        resample_to_grid(target, grid, np.eye(4)).tensor, resample_to_grid(source, grid, initial.matrix).tensor
    )


def summary(rows: list[dict[str, Any]]) -> str:
    """Write the means and medians over the pairs of each set and method, and the choices."""
    lines = []
    for kind, method in dict.fromkeys((r["set"], r["method"]) for r in rows if "method" in r):
        own = [r for r in rows if (r["set"], r.get("method")) == (kind, method)]
        metric = ", ".join(sorted({r["metric"] for r in own}))
        values = [_mean(own, key, digits) for key, digits in MEASURES.items()]
        medians = [_median(own, key, MEASURES[key]) for key in ("mean_mm", "dice")]
        lines.append([kind, str(len(own)), str(_failed(rows, own)), method, metric, *medians, *values])
    choices = []
    for kind in dict.fromkeys(r["set"] for r in rows if "gain" in r):
        own = [r for r in rows if r["set"] == kind]
        gains, metrics = [r["gain"] for r in own], [r["metric"] for r in own]
        counts = ", ".join(f"{m}: {metrics.count(m)}" for m in dict.fromkeys(metrics))
        choices.append([kind, str(len(own)), f"{min(gains):.3f} to {max(gains):.3f}", counts])
    header = ["set", "pairs", "failed", "method", "metric", "median mm", "median Dice", "mean mm", "p95 mm"]
    header += ["mean Dice", "folding %", "SD log J", "CPU s"]
    found = [format_markdown_table(header, lines)] if lines else []
    return "\n\n".join(
        found + ([format_markdown_table(["set", "pairs", "gain", "metric"], choices)] if choices else [])
    )


def _mean(rows: list[dict[str, Any]], key: str, digits: int) -> str:
    values = _finite(rows, key)
    return f"{np.mean(values):.{digits}f}" if values else ""


def _median(rows: list[dict[str, Any]], key: str, digits: int) -> str:
    values = _finite(rows, key)
    return f"{np.median(values):.{digits}f}" if values else ""


def _finite(rows: list[dict[str, Any]], key: str) -> list[float]:
    return [r[key] for r in rows if key in r and np.isfinite(r[key])]


def _failed(rows: list[dict[str, Any]], own: list[dict[str, Any]]) -> int:
    """Count the failed runs of a method among all rows."""
    loaded = {(r["set"], r["pair"]): r for r in rows if r.get("method") == UNREGISTERED}
    reasons = []
    for r in own:
        before = loaded.get((r["set"], r["pair"]), {})
        reason = failure_reason(
            dice=r.get("dice"),
            tre_mm=r.get("mean_mm"),
            folding_percent=r.get("folding_percent"),
            loaded_dice=before.get("dice"),
            loaded_tre_mm=before.get("mean_mm"),
        )
        reasons.append(reason)
    return sum(map(bool, reasons))


def plot(rows: list[dict[str, Any]]) -> Any:
    """Plot one panel for each set: every pair a dot over each method."""
    kinds = list(dict.fromkeys(r["set"] for r in rows if "method" in r))
    figure, (panels,) = new_figure(max(1, len(kinds)), width=2 + 2.6 * len(kinds), height=5)
    for axes, kind in zip(panels, kinds, strict=False):
        own = [r for r in rows if r["set"] == kind]
        measure = "dice" if "dice" in own[0] else "mean_mm"
        names = list(dict.fromkeys(r["method"] for r in own))
        axes.plot([names.index(r["method"]) for r in own], [r[measure] for r in own], "o", alpha=0.6)
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=7)
        axes.set_title(kind, fontsize=8)
        axes.set_ylabel("Dice" if measure == "dice" else "distance, mm")
        axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """Run the command."""
    parser = benchmark_parser(__doc__, Path("runs/contrast"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--pairs", type=int, default=5, help="of `remapped`, 1 to 15")
    parser.add_argument("--syn", type=int, default=0, metavar="N", help="ANTs SyN on so many pairs of `remapped`")
    arguments = parse(parser)
    registry = ModelRegistry()
    measures = {
        "known": partial(measure_known, arguments.data, registry),
        "visits": partial(measure_visits, arguments.data, registry),
        "remapped": partial(measure_remapped, arguments.data, registry, arguments.pairs, arguments.syn),
        "ct": partial(measure_ct_as_mri, arguments.data, registry),
        "choice": partial(measure_choice, arguments.data, registry),
    }
    rows = [line for name in arguments.sets for line in measures[name]()]
    write_report(arguments.output, "contrast", summary(rows), rows, plot(rows))
    print(summary(rows))


if __name__ == "__main__":
    main()
