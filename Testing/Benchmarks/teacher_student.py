"""Compare teacher and student on one grid: parameters, multiply-adds, CPU seconds of a cascade, in one run.

    .venv/bin/python Testing/Benchmarks/teacher_student.py --output Testing/Benchmarks/results --threads 2

Multiply-adds are those of convolutions and dense layers, counted by torch's FlopCounterMode (half of its operations).
Seconds are medians over the repetitions, in which all networks take turns, so that a busy machine slows all of them:
CPU seconds are of the whole process, wall seconds beside them; on a busy machine use one thread, since threads that
wait for each other use CPU seconds too. `network` is a prediction alone; `cascade` adds the work that a cascade needs
before the next one can start (integration of a velocity, one warp of the moving image).
Student rows: one cascade of the published net (head `full`), and of the velocity net run one way and symmetrically (the
network runs twice, as a batch of two); teacher rows: one VTN cascade and the affine stem, both with 16 channels.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import new_figure, use_threads, write_report
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from LightRegistrationLib.core.network.cascade import CascadeConfig, RecursiveCascade
from LightRegistrationLib.core.network.flows import resize_flow, warp
from LightRegistrationLib.core.network.inference import has_fast_bfloat16
from LightRegistrationLib.training.distillation.teacher import AffineStem, VolumeTweeningNetwork, affine_displacement
from LightRegistrationLib.training.evaluation.tables import format_markdown_table

Images = tuple[Tensor, Tensor]
TEACHER = "teacher, VTN cascade"
PRECISIONS = {"fp32": False, "bf16": True}


@dataclass(frozen=True)
class TimedNetwork:
    """A network and its two timed functions: the prediction alone, and with the work on its grid."""

    name: str
    module: nn.Module
    network: Callable[[Images], Any]
    cascade: Callable[[Images], Any]


def make_networks() -> Iterator[TimedNetwork]:
    """Make all networks that are compared, ready to run."""
    kinds = {
        "student, published (full head)": CascadeConfig(1, "full", symmetric=False),
        "student, velocity head, one way": CascadeConfig(1, "half", symmetric=False),
        "student, velocity head, symmetric": CascadeConfig(1, "half", symmetric=True),
    }
    for name, config in kinds.items():
        yield _student(name, RecursiveCascade(config))
    yield _teacher(TEACHER, VolumeTweeningNetwork(16, 20.0))
    yield _stem("teacher, affine stem", AffineStem(16))


def _ready(module: nn.Module) -> nn.Module:
    return module.eval().requires_grad_(False).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def _student(name: str, student: RecursiveCascade) -> TimedNetwork:
    _ready(student)

    def cascade(images: Images) -> Tensor:
        flow, _ = student(*images)
        return warp(images[1], resize_flow(flow.float(), tuple(images[1].shape[2:])))

    return TimedNetwork(name, student, lambda images: student.predict(student.networks[0], *images, {}), cascade)


def _teacher(name: str, network: VolumeTweeningNetwork) -> TimedNetwork:
    _ready(network)

    def predict(images: Images) -> Tensor:
        fixed, moving = images
        return network(moving, fixed)

    return TimedNetwork(name, network, predict, lambda images: warp(images[1], predict(images).float()))


def _stem(name: str, stem: AffineStem) -> TimedNetwork:
    _ready(stem)

    def predict(images: Images) -> tuple[Tensor, Tensor]:
        fixed, moving = images
        return stem(moving, fixed)

    def cascade(images: Images) -> Tensor:
        matrix, offset = (part.float() for part in predict(images))
        return warp(images[1], affine_displacement(matrix, offset, tuple(images[1].shape[2:])))

    return TimedNetwork(name, stem, predict, cascade)


def multiply_adds(network: TimedNetwork, images: Images) -> int:
    """Count the multiply-adds of one prediction."""
    with FlopCounterMode(display=False) as counter:
        network.network(images)
    return counter.get_total_flops() // 2


def measure(size: int, repetitions: int, networks: list[TimedNetwork]) -> list[dict[str, Any]]:
    """Measure one row for each network, its seconds by precision and part."""
    generator = torch.Generator().manual_seed(1)
    fixed, moving = (torch.rand(1, 1, size, size, size, generator=generator) for _ in range(2))
    images = tuple(i.to(memory_format=torch.channels_last_3d) for i in (fixed, moving))
    rows = []
    for network in networks:
        parameters = sum(p.numel() for p in network.module.parameters())
        rows.append({"name": network.name, "parameters": parameters, "macs": multiply_adds(network, images)})
    times: dict[tuple[int, str], list[tuple[float, float]]] = {}
    turns = list(product(range(len(networks)), PRECISIONS, ("network", "cascade")))
    for repetition in range(repetitions + 1):
        for number, precision, part in turns:
            seconds = _timed(getattr(networks[number], part), images, PRECISIONS[precision])
            if repetition:  # the first one is for warming up
                times.setdefault((number, f"{part}_{precision}"), []).append(seconds)
    for (number, what), found in times.items():
        cpu, wall = np.median(np.array(found), axis=0)
        rows[number] |= {f"{what}_cpu_s": float(cpu), f"{what}_wall_s": float(wall)}
    return rows


def _timed(work: Callable[[Images], Any], images: Images, bfloat16: bool) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        work(images)
    return time.process_time() - cpu, time.perf_counter() - wall


def table(rows: list[dict[str, Any]]) -> str:
    """Write the rows as Markdown; in parentheses how many times less than the teacher's cascade."""
    (teacher,) = (row for row in rows if row["name"] == TEACHER)

    def cell(row: dict[str, Any], key: str, text: str) -> str:
        ratio = teacher[key] / row[key]
        return text if row is teacher else f"{text} ({ratio:.2g}x)"

    header = ["", "parameters", "GMAC"]
    header += [f"{part} {p}, CPU s" for p in PRECISIONS for part in ("network", "cascade")]
    header += [f"cascade {p}, wall s" for p in PRECISIONS]
    body = []
    for row in rows:
        cells = [row["name"], cell(row, "parameters", f"{row['parameters'] / 1e6:.3f} M")]
        cells.append(cell(row, "macs", f"{row['macs'] / 1e9:.2f}"))
        keys = [f"{part}_{p}_cpu_s" for p in PRECISIONS for part in ("network", "cascade")]
        keys += [f"cascade_{p}_wall_s" for p in PRECISIONS]
        body.append(cells + [cell(row, key, f"{row[key]:.3f}") for key in keys])
    return format_markdown_table(header, body)


def sum_up(rows: list[dict[str, Any]]) -> str:
    """Add up the parameters of three cascades."""
    count = {row["name"]: row["parameters"] / 1e6 for row in rows}
    student = count["student, velocity head, symmetric"]
    teacher = count["teacher, affine stem"] + 3 * count[TEACHER]
    return (
        f"Parameters of three cascades: teacher with its stem {teacher:.1f} M; student {3 * student:.2f} M, or "
        f"{student:.3f} M where the cascades share their weights."
    )


def plot(rows: list[dict[str, Any]]) -> Any:
    """Plot bars: parameters, multiply-adds, CPU seconds of a cascade."""
    figure, (row,) = new_figure(3, width=13, height=3.2)
    names = [r["name"] for r in rows]
    for axes, (title, key, scale) in zip(
        row,
        (("parameters, M", "parameters", 1e6), ("GMAC", "macs", 1e9), ("CPU s of a cascade", "", 1)),
        strict=True,
    ):
        if key:
            axes.barh(names, [r[key] / scale for r in rows])
        else:
            places = np.arange(len(rows))
            for shift, precision in zip((-0.2, 0.2), PRECISIONS, strict=True):
                values = [r[f"cascade_{precision}_cpu_s"] for r in rows]
                axes.barh(places + shift, values, 0.4, label=precision)
            axes.set_yticks(places, names)
            axes.legend()
        axes.set_title(title, fontsize=10)
        axes.invert_yaxis()
    for axes in row[1:]:
        axes.set_yticklabels([])
    return figure


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/teacher_student"))
    parser.add_argument("--size", type=int, default=128, help="voxels along each axis (a multiple of 16)")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    torch.manual_seed(1)
    rows = measure(arguments.size, arguments.repetitions, list(make_networks()))
    text = (
        f"One cascade at {arguments.size}³, threads: {arguments.threads}, torch {torch.__version__}, bf16 "
        f"{'in hardware' if has_fast_bfloat16() else 'without hardware support'}; in parentheses how many times less "
        f"than the teacher's cascade\n\n{table(rows)}\n\n{sum_up(rows)}"
    )
    write_report(arguments.output, "teacher_student", text, {"size": arguments.size, "rows": rows}, plot(rows))
    print(text)


if __name__ == "__main__":
    main()
