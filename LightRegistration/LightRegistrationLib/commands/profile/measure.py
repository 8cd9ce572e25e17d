"""Measures a registration: the time of its steps, its memory, and the limits of the machine."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .machine import count_multiply_adds, measure_matrix_product_gflops, read_peak_memory_mb, reset_peak_memory
from .tracing import Span, Trace

if TYPE_CHECKING:
    from ...worker.protocol import RegistrationReply, RegistrationRequest

CONVOLUTIONS, GRID_STEPS = "convolutions", ("squarings", "compositions", "warps", "resizing of flows")
FUNCTIONS = {
    "core.models.image_statistics:measure_image_statistics": "image statistics",
    "core.network.grid:shrink": "average blocks",
    "core.network.grid:resample_to_grid": "sample on the grid",
    "core.affine.stage:align_affine": "affine",
    "core.network.cascade:RecursiveCascade.predict": CONVOLUTIONS,
    "core.network.flows:exponential": "squarings",
    "core.network.flows:compose": "compositions",
    "core.network.flows:warp": "warps",
    "core.network.flows:resize_flow": "resizing of flows",
    "core.refinement.optimizer:refine": "steps",
    "core.network.flow_conversion:convert_flow_to_field": "field in mm",
    "core.deformation.folding:repair_folding": "repair folding",
    "core.deformation.jacobian:summarize_jacobian": "Jacobian determinants",
    "core.refinement.acceptance:MatchMeasure.measure": "correlation",
    "core.sampling.warping:warp_volume_and_segmentation": "warp",
    "core.metrics.overlap:compare_segmentations": "compare",
}
_WITHOUT_PARTS = frozenset(FUNCTIONS.values()) - {"affine", "compare"}


@dataclass(frozen=True, eq=False)
class Profile:
    """The measurements of one registration.

    steps: its stages and their parts. first_picture: seconds until the field is found. whole: seconds until volume and
    segmentation are warped and compared.
    """

    steps: Span
    first_picture: float
    whole: float
    peak_memory_mb: float | None
    reply: RegistrationReply


def profile_request(request: RegistrationRequest, repeat: int = 3) -> dict[str, Any]:
    """Register a pair several times in this process; returns the profile of the median run (see the help).

    Times are in ms; the first run, which loads the model, is left out. Raises InputError as `register_files` does.
    """
    from ...core.models.registry import ModelRegistry
    from ...core.threads import limit_threads

    with limit_threads(request.settings.threads):
        registry = ModelRegistry()
        multiply_adds = count_multiply_adds(lambda: measure_once(registry, request))
        runs = sorted((measure_once(registry, request) for _ in range(repeat)), key=lambda run: run.whole)
        run = runs[len(runs) // 2]
        written = _write(run)
        return {
            "schema": 1,
            **_describe_run(request, run, repeat),
            **_list_numbers(run, written),
            "machine": _measure_machine(run, multiply_adds),
        }


def measure_once(registry: Any, request: RegistrationRequest) -> Profile:
    """Register once and measure every step."""
    from ...worker.task import run_request

    trace = Trace()
    first_picture: list[float] = []

    def on_field(*_: Any) -> None:
        trace.enter(None)
        first_picture.append(sum(part.wall for part in trace.root.parts.values()))

    reset_peak_memory()
    with trace.time_functions(FUNCTIONS, _WITHOUT_PARTS):
        reply = run_request(registry, request, lambda update: trace.enter(update.stage), on_field)
        trace.enter(None)
    trace.root.parts.pop("done", None)
    whole = sum(part.wall for part in trace.root.parts.values())
    return Profile(trace.root, first_picture[0], whole, read_peak_memory_mb(), reply)


def _write(run: Profile) -> Span:
    """Write the warped volume, compressed and not, as `register` does."""
    from ...scene.files.saving import save_node
    from ...scene.headless.application import headless_application
    from ...scene.nodes.volumes import volume_node_from_volume

    trace = Trace()
    scene = headless_application().scene
    node = volume_node_from_volume(scene, run.reply.warped, "warped")
    try:
        with tempfile.TemporaryDirectory() as folder:
            for suffix in (".nii.gz", ".nii"):
                with trace.step(f"write {suffix}"):
                    save_node(node, Path(folder) / f"warped{suffix}")
    finally:
        scene.RemoveNode(node)
    return trace.root


def _describe_run(request: RegistrationRequest, run: Profile, repeat: int) -> dict[str, Any]:
    import torch

    def describe(volume: Any) -> dict[str, Any]:
        spacing = [round(float(s), 4) for s in volume.geometry.spacing_mm]
        return {"size_ijk": list(volume.array.shape[::-1]), "spacing_mm": spacing, "type": volume.array.dtype.name}

    return {
        "fixed": describe(request.fixed),
        "moving": describe(request.moving),
        "model": run.reply.result.model,
        "refine": request.settings.refine,
        "threads": torch.get_num_threads(),
        "runs": repeat,
    }


def _list_numbers(run: Profile, written: Span) -> dict[str, Any]:
    steps = [
        {"name": span.name, "depth": depth, "wall_ms": 1e3 * span.wall, "cpu_ms": 1e3 * span.cpu, "calls": span.calls}
        for root in (run.steps, written)
        for depth, span in root.walk()
    ]
    return {
        "steps": steps,
        "first_picture_ms": 1e3 * run.first_picture,
        "whole_ms": 1e3 * run.whole,
        "peak_memory_mb": run.peak_memory_mb,
    }


def _measure_machine(run: Profile, multiply_adds: int) -> dict[str, Any]:
    """The least time that the network could take, from the machine's matrix products."""
    from ...core.network.inference import has_fast_bfloat16

    peaks = {precision: measure_matrix_product_gflops(precision) for precision in ("float32", "bfloat16")}
    used = "bfloat16" if has_fast_bfloat16() else "float32"
    convolutions = 1e3 * run.steps.total(CONVOLUTIONS).wall
    least = 2 * multiply_adds / peaks[used] / 1e6
    return {
        "matrix_product_gflops": peaks,
        "precision": used,
        "network_multiply_adds": multiply_adds,
        "least_ms": least,
        "convolutions_ms": convolutions,
        "grid_work_ms": 1e3 * sum(run.steps.total(name).wall for name in GRID_STEPS),
        "percent_of_peak": 100 * least / convolutions if convolutions else None,
    }
