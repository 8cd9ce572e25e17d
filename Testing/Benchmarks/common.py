"""What the benchmarks share: where the data are, the brain ring, peers, and how tables and plots are written."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from LightRegistrationLib.core.cards import CARD_FILE
from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.field import DisplacementField
from LightRegistrationLib.core.geometry import Geometry
from LightRegistrationLib.core.result import JacobianSummary
from LightRegistrationLib.core.volume import Segmentation, Volume
from LightRegistrationLib.training.evaluation import Case, Method, Outcome, Start, field_outcome
from LightRegistrationLib.training.evaluation_files import LPS, to_image
from LightRegistrationLib.training.evaluation_pairs import EvaluationPair

RESULTS = Path(__file__).parent / "results"


def benchmark_parser(description: str | None, output: Path) -> argparse.ArgumentParser:
    """A command line with --data, --output and --threads."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LIGHTREG_DATA"), help="default: LIGHTREG_DATA")
    parser.add_argument("--output", type=Path, default=output, help=f"default: {output}")
    parser.add_argument("--threads", type=int, default=2)
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments; ends with a line if the data folder is missing. Sets the threads of torch and SimpleITK."""
    arguments = parser.parse_args()
    if arguments.data is None or not (Path(arguments.data) / "manifest.json").is_file():
        parser.error("the data folder is missing: set LIGHTREG_DATA or --data")
    arguments.data = Path(arguments.data)
    use_threads(arguments.threads)
    return arguments


def use_threads(count: int) -> None:
    """Use so many CPU threads in torch and in SimpleITK."""
    torch.set_num_threads(count)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)


def brain_ring(data: Path, count: int | None = None) -> list[EvaluationPair]:
    """Each brain T1 scan as the fixed one with the next in the list, the last with the first; all, or the first few."""
    records = json.loads((data / "manifest.json").read_text(encoding="utf-8"))["records"]
    brains = sorted((r for r in records if r["anatomy"] == "brain_t1"), key=lambda r: r["id"])[:count]
    return [
        EvaluationPair(
            f"{fixed['id']}__{moving['id']}",
            data / fixed["image"],
            data / moving["image"],
            data / fixed["labels"],
            data / moving["labels"],
            group="brain_t1",
        )
        for fixed, moving in zip(brains, brains[1:] + brains[:1], strict=True)
    ]


def demons(case: Case, start: Start | None) -> Outcome:
    """SimpleITK diffeomorphic demons: 2 mm, histogram matching, 60 iterations, smoothing 1.5 voxels; our affine map."""
    if start is None:
        raise InputError("Demons need an affine start; run a model first.")
    started = time.perf_counter()
    images = [to_image(volume) for volume in (case.fixed, case.moving)]
    lps = LPS @ start.transform.matrix @ LPS
    affine = sitk.AffineTransform(lps[:3, :3].ravel().tolist(), lps[:3, 3].tolist())
    smooth = [sitk.SmoothingRecursiveGaussian(sitk.Cast(image, sitk.sitkFloat32), 0.8) for image in images]
    target = sitk.Resample(smooth[0], _coarse_grid(images[0]))
    source = sitk.HistogramMatching(sitk.Resample(smooth[1], target, affine), target, 256, 15, True)
    method = sitk.DiffeomorphicDemonsRegistrationFilter()
    method.SetNumberOfIterations(60)
    method.SetStandardDeviations(1.5)
    vectors = sitk.GetArrayFromImage(method.Execute(target, source)) * np.array([-1.0, -1.0, 1.0])
    to_ras = np.eye(4)
    to_ras[:3, :3] = np.array(target.GetDirection()).reshape(3, 3) * np.array(target.GetSpacing())
    to_ras[:3, 3] = target.GetOrigin()
    points = Geometry(vectors.shape[:3], LPS @ to_ras).points_mm
    field = DisplacementField(start.transform(points + vectors) - points, LPS @ to_ras)
    seconds = time.perf_counter() - started + start.seconds
    return _timed(field_outcome(case, field), seconds)


def _coarse_grid(image: sitk.Image, spacing_mm: float = 2.0) -> sitk.Image:
    size = [max(8, round(n * s / spacing_mm)) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    grid = sitk.Image(size, sitk.sitkFloat32)
    grid.SetSpacing([s * n / m for s, n, m in zip(image.GetSpacing(), image.GetSize(), size, strict=True)])
    grid.SetDirection(image.GetDirection())
    ratio = [n / m for n, m in zip(image.GetSize(), size, strict=True)]
    grid.SetOrigin(image.TransformContinuousIndexToPhysicalPoint([(r - 1) / 2 for r in ratio]))
    return grid


def syn(case: Case, start: Start | None) -> Outcome:
    """ANTs SyN with ANTsPy's default settings (affine, then SyN on Mattes mutual information, 40-20-0 iterations)."""
    import ants

    target, source = (_to_ants(volume) for volume in (case.fixed, case.moving))
    started = time.perf_counter()
    found = ants.registration(target, source, type_of_transform="SyN")
    seconds = time.perf_counter() - started
    warp = next(file for file in found["fwdtransforms"] if file.endswith(".nii.gz"))
    determinant = ants.create_jacobian_determinant_image(target, warp, do_log=False).numpy()[2:-2, 2:-2, 2:-2]
    summary = JacobianSummary(
        100 * float((determinant <= 0).mean()),
        float(determinant.min()),
        float(np.log(determinant[determinant > 0]).std()),
    )
    return Outcome(
        summary,
        _warped_by_ants(case, target, found["fwdtransforms"]),
        _points_by_ants(case, found["fwdtransforms"]),
        seconds,
    )


def _to_ants(volume: Volume) -> Any:
    import ants

    image = to_image(volume)
    values = volume.array.transpose(2, 1, 0).astype(np.float32)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    return ants.from_numpy(values, list(image.GetOrigin()), list(image.GetSpacing()), direction)


def _warped_by_ants(case: Case, target: Any, transforms: Sequence[str]) -> Segmentation | None:
    import ants

    labels = case.moving_labels
    if labels is None:
        return None
    image = _to_ants(Volume(labels.layers[0], labels.affine))
    warped = ants.apply_transforms(target, image, transforms, "nearestNeighbor")
    array = warped.numpy().transpose(2, 1, 0).round().astype(np.int32)
    return Segmentation((array,), case.fixed.affine, labels.segments, labels.name)


def _points_by_ants(case: Case, transforms: Sequence[str]) -> NDArray | None:
    import ants
    import pandas as pd

    if case.landmarks is None:
        return None
    # The transforms that pull the moving image onto the fixed one take points from the fixed to the moving one.
    points = pd.DataFrame(case.landmarks[:, 0] @ LPS[:3, :3], columns=["x", "y", "z"])
    return ants.apply_transforms_to_points(3, points, transforms)[["x", "y", "z"]].to_numpy() @ LPS[:3, :3]


def _timed(outcome: Outcome, seconds: float) -> Outcome:
    return Outcome(**{**vars(outcome), "seconds": seconds})


PEERS = {
    "demons": Method("demons (SimpleITK)", "60 iterations at 2 mm", demons),
    "syn": Method("ANTs SyN, default", "ANTsPy default", syn),
}


def new_figure(columns: int = 1, width: float = 10.0, height: float = 4.5) -> tuple[Any, Any]:
    """A matplotlib figure for a file, and its axes in a row."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)


def write_report(folder: Path, name: str, text: str, values: Any, figure: Any) -> None:
    """Leave a benchmark's table (.md), values (.json) and plot (.png) in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    (folder / f"{name}.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    figure.savefig(folder / f"{name}.png", dpi=110)


def write_to_card(folder: Path, title: str, result: dict[str, Any]) -> None:
    """Put what was measured of a model into the card in its folder, in place of an earlier result of the same title."""
    file = folder / CARD_FILE
    card = json.loads(file.read_text(encoding="utf-8"))
    card["results"] = {**card.get("results", {}), title: result}
    file.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
