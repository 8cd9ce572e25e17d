"""Compare the speed of warping and sampling with other tools: ratios within one run, on synthetic volumes.

python Testing/Benchmarks/speed.py [--size 512 512 200] [--threads 2] [--repeat 3] [--output FOLDER]

Warp: a CT-like volume (int16) under a displacement field, onto its own grid: ours (core.sampling.warping), SimpleITK's
Resample, VTK's vtkImageReslice. Sampling: the operation that the network and the refinement repeat on their grids, ours
(core.sampling.trilinear) beside torch's grid_sample, with and without gradients. Wall and CPU milliseconds, the best of
some runs; times on a busy machine are unreliable, ratios less so. Writes speed.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
import torch.nn.functional as F
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from LightRegistrationLib.core.geometry.geometry import homogeneous
from LightRegistrationLib.core.geometry.transforms import DisplacementField
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.network.flows import exponential, voxel_grid, warp
from LightRegistrationLib.core.network.grid import compute_network_grid
from LightRegistrationLib.core.network.settings import GridSettings
from LightRegistrationLib.core.sampling.warping import warp_volume

AIR = -1000
SPACING_MM = (0.8, 0.8, 1.5)


def make_synthetic_pair(size_ijk: tuple[int, int, int]) -> tuple[Volume, DisplacementField]:
    """Make a volume of waves and noise in Hounsfield units, and a field of up to 8 mm on a network grid."""
    i, j, k = (np.arange(n, dtype=np.float32) for n in size_ijk)
    noise = np.random.default_rng(0).normal(scale=15, size=(size_ijk[1], size_ijk[0])).astype(np.float32)
    slices = [300 * np.sin(i / 9) * np.cos(j / 7)[:, None] * np.sin(number / 5) + noise for number in k]
    middle = np.array(SPACING_MM) * (np.array(size_ijk) - 1) / 2
    volume = Volume(np.stack(slices).astype(np.int16), homogeneous(np.diag(SPACING_MM), -middle), "waves")
    grid = compute_network_grid(volume.geometry, GridSettings())
    field = 8 * np.sin(grid.points_mm[..., [1, 2, 0]] / 40)
    return volume, DisplacementField(field.astype(np.float32), grid.affine)


def measured(work: Callable[[], Any], repeat: int) -> dict[str, float]:
    """Return the best wall and CPU time of some calls, ms."""
    walls, cpus = [], []
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {"wall_ms": 1e3 * min(walls), "cpu_ms": 1e3 * min(cpus)}


def simpleitk_warp(volume: Volume, field: DisplacementField) -> Callable[[], NDArray]:
    """Prepare the same warp by SimpleITK (its physical space taken as RAS; only the volume is copied beforehand)."""

    def image(array: NDArray, affine: NDArray, vector: bool) -> sitk.Image:
        result = sitk.GetImageFromArray(array, isVector=vector)
        result.SetSpacing(np.diag(affine)[:3].tolist())
        result.SetOrigin(affine[:3, 3].tolist())
        return result

    source = image(volume.array, volume.affine, False)
    vectors = image(field.array.astype(np.float64), field.affine, True)
    transform = sitk.DisplacementFieldTransform(vectors)
    return lambda: sitk.GetArrayFromImage(sitk.Resample(source, source, transform, sitk.sitkLinear, AIR))


def vtk_warp(volume: Volume, field: DisplacementField, threads: int) -> Callable[[], NDArray]:
    """Prepare the same warp by VTK, as Slicer hardens a transform."""

    def image(array: NDArray, affine: NDArray, components: int) -> vtk.vtkImageData:
        result = vtk.vtkImageData()
        result.SetDimensions(*array.shape[2::-1])
        result.SetSpacing(*np.diag(affine)[:3])
        result.SetOrigin(*affine[:3, 3])
        result.GetPointData().SetScalars(numpy_to_vtk(array.reshape(-1, components).squeeze(), deep=True))
        return result

    source, vectors = image(volume.array, volume.affine, 1), image(field.array, field.affine, 3)
    transform = vtk.vtkGridTransform()
    transform.SetDisplacementGridData(vectors)
    transform.SetInterpolationModeToLinear()

    def run() -> NDArray:
        reslice = vtk.vtkImageReslice()
        reslice.SetInputData(source)
        reslice.SetResliceTransform(transform)
        reslice.SetInterpolationModeToLinear()
        reslice.SetBackgroundLevel(AIR)
        reslice.SetNumberOfThreads(threads)
        reslice.Update()
        return vtk_to_numpy(reslice.GetOutput().GetPointData().GetScalars()).reshape(volume.array.shape)

    return run


def compare_warps(size_ijk: tuple[int, int, int], threads: int, repeat: int) -> dict[str, Any]:
    """Measure the three warps, and the difference of the other two to ours inside the volume (intensity units)."""
    volume, field = make_synthetic_pair(size_ijk)
    methods: dict[str, Callable[[], NDArray]] = {
        "ours": lambda: warp_volume(volume, field, volume.geometry).array,
        "SimpleITK Resample": simpleitk_warp(volume, field),
        "vtkImageReslice": vtk_warp(volume, field, threads),
    }
    answers = {name: method() for name, method in methods.items()}
    # At the border the tools differ in which voxels count as inside, and ours fills in the volume's least value.
    shown = np.logical_and.reduce([answer != AIR for answer in answers.values()])
    rows = {}
    for name, method in methods.items():
        difference = np.abs(answers[name][shown].astype(np.float32) - answers["ours"][shown])
        rows[name] = measured(method, repeat) | {
            "mean_difference": float(difference.mean()),
            "compared": float(shown.mean()),
        }
    return rows


def torch_warp(image: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """What core.network.flows.warp replaces, its depth split among the threads."""
    size = torch.tensor(image.shape[:1:-1])
    coordinates = voxel_grid(tuple(flow.shape[2:]), flow.device) + flow
    normalized = (coordinates.movedim(1, -1) + 0.5) * (2 / size) - 1
    parts = 1 if image.requires_grad else torch.get_num_threads()
    parts = parts if flow.shape[2] % parts == 0 else 1
    normalized = normalized.reshape(parts, -1, *normalized.shape[2:])
    stacked = image.expand(parts, *image.shape[1:])
    result = F.grid_sample(stacked, normalized, padding_mode="border", align_corners=False)
    return result.movedim(1, 0).reshape(1, image.shape[1], *flow.shape[2:])


def compare_samplers(shape: tuple[int, int, int], repeat: int) -> dict[str, Any]:
    """Measure a warp, an exponential by six squarings, and the latter with its gradient; ours and torch's."""
    torch.manual_seed(0)
    flow = 2 * F.interpolate(torch.randn(1, 3, 6, 6, 6), size=shape, mode="trilinear")
    image = torch.rand(1, 1, *shape)

    def torch_exponential(velocity: torch.Tensor) -> torch.Tensor:
        result = velocity / 64
        for _ in range(6):
            result = torch_warp(result, result) + result
        return result

    def learned(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        velocity = flow.clone().requires_grad_()
        function(velocity).square().sum().backward()

    rows: dict[str, Any] = {}
    for name, warper, power in (
        ("ours", warp, lambda velocity: exponential(velocity, 6)),
        ("torch grid_sample", torch_warp, torch_exponential),
    ):
        with torch.inference_mode():
            rows[f"warp, {name}"] = measured(lambda w=warper: w(image, flow), 3 * repeat)
            rows[f"exponential, {name}"] = measured(lambda p=power: p(flow), repeat)
        rows[f"exponential and gradient, {name}"] = measured(lambda p=power: learned(p), repeat)
    return dict(sorted(rows.items()))


def table(title: str, rows: dict[str, Any], reference: Callable[[str], str]) -> str:
    """Write times and their ratios to those of the reference row."""
    lines = [title, f"{'':<42}{'wall ms':>10}{'CPU ms':>10}{'wall ratio':>12}{'CPU ratio':>11}"]
    for name, row in rows.items():
        base = rows[reference(name)]
        ratios = (row[key] / base[key] for key in ("wall_ms", "cpu_ms"))
        lines.append(
            f"{name:<42}{row['wall_ms']:>10.1f}{row['cpu_ms']:>10.1f}{next(ratios):>12.2f}{next(ratios):>11.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print tables, write speed.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=3, default=(512, 512, 200), metavar=("I", "J", "K"))
    parser.add_argument("--grid", type=int, nargs=3, default=(96, 112, 96), metavar=("K", "J", "I"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--output", type=Path, help="folder for speed.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(options.threads)
    warps = compare_warps(tuple(options.size), options.threads, options.repeat)
    samplers = compare_samplers(tuple(options.grid), options.repeat)
    size, grid = (" x ".join(map(str, numbers)) for numbers in (options.size, options.grid))
    print(table(f"Warp of {size} voxels, {options.threads} threads", warps, lambda name: "ours"))
    print()
    print(table(f"Sampling on a grid of {grid}", samplers, lambda name: name.partition(",")[0] + ", ours"))
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        report = {"size": options.size, "grid": options.grid, "threads": options.threads, "warps": warps}
        text = json.dumps(report | {"samplers": samplers}, indent=2)
        (options.output / "speed.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
