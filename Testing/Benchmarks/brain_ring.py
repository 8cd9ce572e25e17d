"""Brain T1, 15 ordered pairs taken in a ring: no registration, affine stage, student in 1-3 cascades, and peers.

    LIGHTREG_DATA=<data folder> .venv/bin/python Testing/Benchmarks/brain_ring.py --output Testing/Benchmarks/results

Every method starts from the same files in one run. Dice: mean over all labels that have at least 100 voxels in both
volumes, labels warped by nearest neighbor onto the fixed grid, counted here and not by the product. Folding: percent of
cell corners of the field with a raw Jacobian determinant <= 0. Seconds: wall time, median over the pairs; `grid` is the
network with all work on its grid (resampling, cascades, composition, field). Peers: SimpleITK's diffeomorphic demons,
started from our affine map (settings in `demons`); with `--peers demons syn` also ANTs SyN as ANTsPy runs it by default
at the full 1 mm, with an affine stage of its own. ANTsPy wants an older numpy than we pin, so that it needs an
environment of its own: `pip install ".[benchmarks]"`, with LightRegistration/ on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from LightRegistrationLib.core.cards import CARD_FILE
from LightRegistrationLib.core.field import AffineTransform, DisplacementField
from LightRegistrationLib.core.field_tools import jacobian_summary
from LightRegistrationLib.core.geometry import Geometry
from LightRegistrationLib.core.models import ModelRegistry
from LightRegistrationLib.core.registration import register
from LightRegistrationLib.core.result import JacobianSummary, RegistrationSettings
from LightRegistrationLib.core.volume import Segmentation, Volume
from LightRegistrationLib.core.warping import warp_segmentation

MINIMUM_VOXELS = 100
FIRST_CORTICAL_LABEL = 100
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Subject:
    """One scan with its labels."""

    name: str
    volume: Volume
    labels: Segmentation
    image: sitk.Image


@dataclass(frozen=True)
class Outcome:
    """What a method made of a pair: the moving labels on the fixed grid, the determinants, wall seconds in all."""

    labels: NDArray[np.integer]
    jacobian: JacobianSummary
    seconds: float = 0.0
    grid_seconds: float = 0.0


def outcome_of(
    fixed: Subject, moving: Subject, field: DisplacementField, seconds: float = 0.0, grid_seconds: float = 0.0
) -> Outcome:
    """Warp the labels by a field and look at its determinants."""
    geometry = fixed.volume.geometry
    labels = warp_segmentation(moving.labels, field, geometry).layers[0]
    return Outcome(labels, jacobian_summary(field, geometry), seconds, grid_seconds)


def load_subject(data: Path, record: dict[str, Any]) -> Subject:
    """Read image and labels of a manifest record."""
    image = sitk.ReadImage(str(data / record["image"]))
    direction = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = direction, image.GetOrigin()
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(data / record["labels"])))
    affine = LPS @ affine
    volume = Volume(sitk.GetArrayFromImage(image), affine, record["id"])
    return Subject(record["id"], volume, Segmentation.from_labels(labels.astype(np.int32), affine), image)


def dice(fixed: Subject, moving: Subject, warped: NDArray[np.integer]) -> dict[int, float]:
    """Dice of each label with enough voxels in both scans."""
    target, warped = fixed.labels.layers[0].ravel(), warped.ravel()
    size = int(max(target.max(), moving.labels.layers[0].max())) + 1
    counts = [np.bincount(a.ravel(), minlength=size) for a in (target, moving.labels.layers[0], warped)]
    common = np.bincount(target[target == warped], minlength=size)
    labels = [v for v in range(1, size) if min(counts[0][v], counts[1][v]) >= MINIMUM_VOXELS]
    return {v: float(2 * common[v] / (counts[0][v] + counts[2][v])) for v in labels}


def nothing(fixed: Subject, moving: Subject, affine: AffineTransform) -> Outcome:
    """As loaded."""
    return linear(fixed, moving, AffineTransform.identity())


def linear(fixed: Subject, moving: Subject, affine: AffineTransform) -> Outcome:
    """An affine map alone."""
    geometry = fixed.volume.geometry
    to_corners = geometry.affine @ np.diag([*(geometry.size_ijk - 1), 1.0])
    corners = Geometry((2, 2, 2), to_corners).points_mm
    return outcome_of(fixed, moving, DisplacementField(affine(corners) - corners, to_corners))


def student(cascades: int, model: str, registry: ModelRegistry) -> Callable[..., Outcome]:
    """The bundled student in a number of cascades, its own affine stage included in the seconds."""

    def run(fixed: Subject, moving: Subject, affine: AffineTransform) -> Outcome:
        started = time.perf_counter()
        result = register(fixed.volume, moving.volume, RegistrationSettings(model, cascades), registry=registry)
        grid = sum(result.seconds[stage] for stage in ("resample", "network", "field"))
        return outcome_of(fixed, moving, result.field, time.perf_counter() - started, grid)

    return run


def demons(fixed: Subject, moving: Subject, affine: AffineTransform) -> Outcome:
    """SimpleITK diffeomorphic demons: 2 mm, histogram matching, 60 iterations, smoothing 1.5 voxels, 2 threads."""
    started = time.perf_counter()
    lps = LPS @ affine.matrix @ LPS
    start = sitk.AffineTransform(lps[:3, :3].ravel().tolist(), lps[:3, 3].tolist())
    size = [round(n / 2) for n in fixed.image.GetSize()]
    grid = sitk.Image(size, sitk.sitkFloat32)
    grid.SetSpacing([s * n / m for s, n, m in zip(fixed.image.GetSpacing(), fixed.image.GetSize(), size, strict=True)])
    grid.SetDirection(fixed.image.GetDirection())
    grid.SetOrigin(fixed.image.TransformContinuousIndexToPhysicalPoint([0.5] * 3))
    smooth = [sitk.SmoothingRecursiveGaussian(sitk.Cast(s.image, sitk.sitkFloat32), 0.8) for s in (fixed, moving)]
    target = sitk.Resample(smooth[0], grid)
    source = sitk.HistogramMatching(sitk.Resample(smooth[1], grid, start), target, 256, 15, True)
    method = sitk.DiffeomorphicDemonsRegistrationFilter()
    method.SetNumberOfIterations(60)
    method.SetStandardDeviations(1.5)
    vectors = sitk.GetArrayFromImage(method.Execute(target, source)) * np.array([-1.0, -1.0, 1.0])
    to_ras = np.eye(4)
    to_ras[:3, :3] = np.array(grid.GetDirection()).reshape(3, 3) * np.array(grid.GetSpacing())
    to_ras[:3, 3] = grid.GetOrigin()
    to_ras = LPS @ to_ras
    points = Geometry(vectors.shape[:3], to_ras).points_mm
    field = DisplacementField(affine(points + vectors) - points, to_ras)
    return outcome_of(fixed, moving, field, time.perf_counter() - started)


def syn(fixed: Subject, moving: Subject, affine: AffineTransform) -> Outcome:
    """ANTs SyN with ANTsPy's default settings (affine, then SyN on Mattes mutual information, 40-20-0 iterations)."""
    import ants

    def to_ants(array: NDArray, like: sitk.Image) -> Any:
        direction = np.array(like.GetDirection()).reshape(3, 3)
        values = array.transpose(2, 1, 0).astype(np.float32)
        return ants.from_numpy(values, list(like.GetOrigin()), list(like.GetSpacing()), direction)

    target, source = (to_ants(s.volume.array, s.image) for s in (fixed, moving))
    started = time.perf_counter()
    found = ants.registration(target, source, type_of_transform="SyN")
    seconds = time.perf_counter() - started
    labels = ants.apply_transforms(
        target, to_ants(moving.labels.layers[0], moving.image), found["fwdtransforms"], "nearestNeighbor"
    )
    warp = next(file for file in found["fwdtransforms"] if file.endswith(".nii.gz"))
    determinant = ants.create_jacobian_determinant_image(target, warp, do_log=False).numpy()[2:-2, 2:-2, 2:-2]
    summary = JacobianSummary(
        100 * float((determinant <= 0).mean()),
        float(determinant.min()),
        float(np.log(determinant[determinant > 0]).std()),
    )
    return Outcome(labels.numpy().transpose(2, 1, 0).round().astype(np.int32), summary, seconds)


def measure(subjects: list[Subject], methods: dict[str, Callable[..., Outcome]]) -> list[dict[str, Any]]:
    """Run every method on every pair; one row each."""
    rows = []
    for fixed, moving in zip(subjects, subjects[1:] + subjects[:1], strict=True):
        first = register(fixed.volume, moving.volume)
        for name, method in methods.items():
            outcome = method(fixed, moving, first.initial)
            scores = dice(fixed, moving, outcome.labels)
            cortical = [d for v, d in scores.items() if v >= FIRST_CORTICAL_LABEL]
            other = [d for v, d in scores.items() if v < FIRST_CORTICAL_LABEL]
            rows.append(
                {
                    "pair": f"{fixed.name} <- {moving.name}",
                    "method": name,
                    "dice": float(np.mean(list(scores.values()))),
                    "dice_subcortical": float(np.mean(other)),
                    "dice_cortical": float(np.mean(cortical)),
                    "labels": len(scores),
                    "folding_percent": outcome.jacobian.percent_nonpositive,
                    "std_log_jacobian": outcome.jacobian.std_log,
                    "seconds": outcome.seconds,
                    "grid_seconds": outcome.grid_seconds,
                }
            )
            print(f"{rows[-1]['pair']:<28} {name:<20} {rows[-1]['dice']:.4f}", flush=True)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table: means over pairs, worst pair against affine, medians of seconds."""
    lines = [
        "| method | Dice, all labels | subcortical | cortical | above affine (least pair) | folding % "
        "| SD log J | seconds | of these on the grid |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    base = {r["pair"]: r["dice"] for r in rows if r["method"] == "affine only"}
    for name in dict.fromkeys(r["method"] for r in rows):
        own = [r for r in rows if r["method"] == name]
        mean = {key: np.mean([r[key] for r in own]) for key in own[0] if key not in ("pair", "method")}
        gain = [r["dice"] - base[r["pair"]] for r in own]
        wall, grid = (np.median([r[key] for r in own]) for key in ("seconds", "grid_seconds"))
        lines.append(
            f"| {name} | {mean['dice']:.3f} | {mean['dice_subcortical']:.3f} | {mean['dice_cortical']:.3f} "
            f"| {np.mean(gain):+.3f} ({min(gain):+.3f}) | {mean['folding_percent']:.4f} "
            f"| {mean['std_log_jacobian']:.3f} | {wall:.2f} | {grid:.2f} |"
        )
    return "\n".join(lines)


def write_to_card(rows: list[dict[str, Any]], card: Path) -> None:
    """Put the means of every method into the model's card, beside the command that measured them."""
    values = json.loads(card.read_text(encoding="utf-8"))
    means = {
        name: {
            key: round(float(np.mean([r[key] for r in rows if r["method"] == name])), 4)
            for key in ("dice", "dice_subcortical", "dice_cortical", "folding_percent")
        }
        for name in dict.fromkeys(r["method"] for r in rows)
    }
    values["results"] = {
        "brain T1 ring": {
            "command": "Testing/Benchmarks/brain_ring.py",
            "pairs": len({r["pair"] for r in rows}),
            "data": "15 skull-stripped T1 scans (OASIS, MICCAI 2012), not used in training; mean over all labels",
            "means": means,
        }
    }
    card.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def plot(rows: list[dict[str, Any]], file: Path) -> None:
    """Dice of each pair, one line a method."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 4.5), layout="constrained")
    for name in dict.fromkeys(r["method"] for r in rows):
        own = [r for r in rows if r["method"] == name]
        axes.plot([r["dice"] for r in own], marker="o", label=f"{name}: {np.mean([r['dice'] for r in own]):.3f}")
    axes.set_xticks(range(len(own)), [r["pair"].replace("oasis_", "") for r in own], rotation=45, ha="right")
    axes.set_ylabel("Dice, mean over all labels")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(file, dpi=110)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LIGHTREG_DATA"), help="default: LIGHTREG_DATA")
    parser.add_argument("--output", type=Path, default=Path("runs/brain_ring"))
    parser.add_argument("--model", default="brain-mri")
    parser.add_argument("--models", type=Path, help="folder of models, default: the bundled ones")
    parser.add_argument("--pairs", type=int, default=15, help="take only so many subjects")
    parser.add_argument("--peers", nargs="*", choices=["demons", "syn"], default=["demons"])
    parser.add_argument("--to-card", action="store_true", help="also write the means into the model's card")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.data is None or not (arguments.data / "manifest.json").is_file():
        parser.error("the data folder is missing: set LIGHTREG_DATA or --data")
    torch.set_num_threads(arguments.threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(arguments.threads)
    records = json.loads((arguments.data / "manifest.json").read_text())["records"]
    brains = sorted((r for r in records if r["anatomy"] == "brain_t1"), key=lambda r: r["id"])[: arguments.pairs]
    registry = ModelRegistry((arguments.models,)) if arguments.models else ModelRegistry()
    methods: dict[str, Callable[..., Outcome]] = {"no registration": nothing, "affine only": linear}
    for cascades in (1, 2, 3):
        methods[f"student, {cascades} cascade{'s' * (cascades > 1)}"] = student(cascades, arguments.model, registry)
    peers = {"demons": ("demons (SimpleITK)", demons), "syn": ("ANTs SyN, default", syn)}
    methods |= dict(peers[name] for name in arguments.peers)
    rows = measure([load_subject(arguments.data, r) for r in brains], methods)
    arguments.output.mkdir(parents=True, exist_ok=True)
    text = table(rows)
    weights = registry.card(arguments.model).sha256
    heading = f"Model {arguments.model}, weights {weights[:12]}, {len(brains)} pairs, {arguments.threads} threads\n\n"
    (arguments.output / "brain_ring.md").write_text(heading + text + "\n", encoding="utf-8")
    (arguments.output / "brain_ring.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    plot(rows, arguments.output / "brain_ring.png")
    if arguments.to_card:
        write_to_card(rows, registry.card(arguments.model).folder / CARD_FILE)
    print("\n" + heading + text)


if __name__ == "__main__":
    main()
