"""The mean of a group of brains: how long `template` takes, how sharp the mean is, and its picture.

    LIGHTREG_DATA=<data folder> .venv/bin/python Testing/Benchmarks/template_group.py --brains 20 --threads 1 \\
        --output Testing/Benchmarks/results

The group: the brain T1 scans of the data, and as many of them deformed at random (smoothly, some millimeters) as are
missing. Deformed scans make the group larger, so that its time can be measured; they are no new people, and say nothing
more about accuracy. Seconds are CPU seconds of all processes, as template.json counts them; the wall time depends on
what else the machine does. The work stays in a folder (--work), so that the command can be stopped and run again.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from common import benchmark_parser, new_figure, parse, write_report
from scipy.ndimage import gaussian_filter, map_coordinates

from LightRegistrationLib.commands.template import build_template

SMOOTHNESS_MM = 12.0
"""Standard deviation of the Gaussian that smooths a random deformation. Chosen, not measured."""
DISPLACEMENT_MM = 3.0
"""Root mean square of a random deformation along each axis. Chosen, not measured."""


def list_group(data: Path, count: int, folder: Path) -> list[Path]:
    """List the brain scans, and write as many deformed ones into a folder as are missing."""
    records = json.loads((data / "manifest.json").read_text(encoding="utf-8"))["records"]
    scans = [data / r["image"] for r in sorted(records, key=lambda r: r["id"]) if r["anatomy"] == "brain_t1"][:count]
    folder.mkdir(parents=True, exist_ok=True)
    missing = count - len(scans)
    for number, scan in enumerate([scans[n * len(scans) // max(1, missing) % len(scans)] for n in range(missing)]):
        path = folder / f"deformed_{number}_{scan.name}"
        if not path.exists():
            image = sitk.ReadImage(str(scan))
            sitk.WriteImage(deform(image, np.random.default_rng(number)), str(path))
        scans.append(path)
    return scans


def deform(image: sitk.Image, generator: np.random.Generator) -> sitk.Image:
    """Return a scan deformed at random, on its own grid."""
    array, spacing = sitk.GetArrayFromImage(image), np.array(image.GetSpacing()[::-1])
    indices = np.indices(array.shape, np.float32)
    for axis in range(3):
        noise = gaussian_filter(generator.normal(size=array.shape).astype(np.float32), SMOOTHNESS_MM / spacing)
        indices[axis] += noise * DISPLACEMENT_MM / noise.std() / spacing[axis]
    result = sitk.GetImageFromArray(map_coordinates(array, indices, order=1))
    result.CopyInformation(image)
    return result


def table(summary: dict[str, Any]) -> str:
    """Write a Markdown table of the iterations."""
    lines = ["| iteration | to the mean shape, mm | change of the image, % | CPU s registering | CPU s warping |"]
    lines.append("|---|---|---|---|---|")
    for own in summary["iterations"]:
        distance, change = (
            "" if own[key] is None else f"{own[key]:.{digits}f}"
            for key, digits in (("update_rms_mm", 2), ("change_percent", 1))
        )
        seconds = own["cpu_seconds"]
        numbers = f"{seconds['registration']:.0f} | {seconds['warping']:.0f}"
        lines.append(f"| {own['number']} | {distance} | {change} | {numbers} |")
    return "\n".join(lines)


def plot(summary: dict[str, Any]) -> Any:
    """Plot the gradient energy after each iteration, against that of the affine mean."""
    figure, ((axes,),) = new_figure(width=5.0)
    energies = [iteration["gradient_energy"] for iteration in summary["iterations"]]
    axes.plot(range(len(energies)), [energy / energies[0] for energy in energies], marker="o")
    axes.set_xticks(range(len(energies)))
    axes.set_xlabel("iteration")
    axes.set_ylabel("gradient energy against the affine mean")
    axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """Run the command."""
    parser = benchmark_parser(__doc__, Path("runs/template_group"))
    parser.add_argument("--brains", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--model", default="auto")
    parser.add_argument("--work", type=Path, default=Path("runs/template_group/work"), help="default: %(default)s")
    arguments = parse(parser)
    scans = list_group(arguments.data, arguments.brains, arguments.work / "deformed")
    summary = build_template(
        scans,
        arguments.work / "template",
        model=arguments.model,
        iterations=arguments.iterations,
        workers=arguments.workers,
        threads=arguments.threads,
        progress=lambda fraction, what: print(f"{fraction:.0%} {what}", flush=True),
    )
    total = sum(sum(iteration["cpu_seconds"].values()) for iteration in summary["iterations"])
    deformed = sum(scan.is_relative_to(arguments.work) for scan in scans)
    ratio = summary["sharpness"]["ratio"]
    text = (
        f"{len(scans)} brains ({deformed} of them deformed scans), {arguments.workers} processes with "
        f"{arguments.threads} threads: {total:.0f} CPU seconds. "
        f"Gradient energy {ratio:.2f} times that of the affine mean.\n\n{table(summary)}"
    )
    sizes = {scan["name"]: scan["size"] for scan in summary["scans"]}
    values = {"sizes": sizes, **{key: summary[key] for key in ("settings", "grid", "iterations", "sharpness")}}
    write_report(arguments.output, "template_group", text, values, plot(summary))
    shutil.copy(arguments.work / "template" / "template.png", arguments.output / "template_group_mean.png")
    print("\n" + text)


if __name__ == "__main__":
    main()
