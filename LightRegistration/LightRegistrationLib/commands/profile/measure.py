"""A registration taken apart: the time of its steps, its memory, and what the machine would allow."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .machine import forget_peak_memory, matrix_product_gflops, network_multiply_adds, peak_memory_mb
from .tracing import Span, Trace

if TYPE_CHECKING:
    from ...worker.protocol import RegistrationReply, RegistrationRequest

CONVOLUTIONS, GRID_WORK = "convolutions", ("squarings", "compositions", "warps", "resizing of flows")
FUNCTIONS = {
    "core.models.image_statistics:measure_image_statistics": "look at the volumes",
    "core.network.grid:shrink": "average blocks",
    "core.network.grid:resample_to_grid": "sample on the grid",
    "core.affine.stage:align_affine": "affine",
    "core.network.light_network:LightNetwork.forward": CONVOLUTIONS,
    "core.network.flows:exponential": "squarings",
    "core.network.flows:compose": "compositions",
    "core.network.flows:warp": "warps",
    "core.network.flows:resize_flow": "resizing of flows",
    "core.refinement.optimizer:refine": "steps",
    "core.network.flow_conversion:convert_flow_to_field": "field in mm",
    "core.deformation.folding:repair_folding": "mend folds",
    "core.deformation.jacobian:summarize_jacobian": "Jacobian determinants",
    "core.result_warnings:measure_final_correlation": "correlation",
    "core.sampling.warping:warp_volume_and_segmentation": "warp",
    "core.metrics.overlap:compare_segmentations": "compare",
}
_WHOLE = frozenset(FUNCTIONS.values()) - {"affine", "compare"}


@dataclass(frozen=True, eq=False)
class Profile:
    """One registration taken apart.

    steps: its stages and what they consist of. first_picture, whole: seconds until the field is there, and until the
    warped volume and segmentation are and were compared. shapes: of the images that each pass of the network saw.
    """

    steps: Span
    first_picture: float
    whole: float
    peak_memory_mb: float | None
    shapes: list[tuple[int, ...]]
    reply: RegistrationReply


def profile_request(request: RegistrationRequest, repeat: int = 3) -> dict[str, Any]:
    """Register a pair some times in this process and say where the time of the median run went (see the help).

    Raises InputError as `register_files` does. Times are in ms; the first run, which loads and warms up, is left out.
    """
    from ...core.models.registry import ModelRegistry
    from ...core.threads import limit_threads

    with limit_threads(request.settings.threads):
        registry = ModelRegistry()
        profile_once(registry, request)
        runs = sorted((profile_once(registry, request) for _ in range(repeat)), key=lambda run: run.whole)
        run = runs[len(runs) // 2]
        written = _write(run)
        return {"schema": 1, **_head(request, run, repeat), **_figures(run, written), "machine": _machine(run)}


def profile_once(registry: Any, request: RegistrationRequest) -> Profile:
    """Register once and take the time of every step."""
    from ...core.network.light_network import LightNetwork
    from ...worker.task import run_request

    trace = Trace()
    first: list[float] = []
    shapes: list[tuple[int, ...]] = []
    forward = LightNetwork.forward

    def seen(self: Any, moving: Any, fixed: Any) -> Any:
        shapes.append(tuple(moving.shape))
        return forward(self, moving, fixed)

    def field_is_there(*_: Any) -> None:
        trace.enter(None)
        first.append(sum(part.wall for part in trace.root.parts.values()))

    LightNetwork.forward = seen  # type: ignore[method-assign]
    forget_peak_memory()
    try:
        with trace.timing(FUNCTIONS, _WHOLE):
            reply = run_request(registry, request, lambda update: trace.enter(update.stage), field_is_there)
            trace.enter(None)
    finally:
        LightNetwork.forward = forward  # type: ignore[method-assign]
    trace.root.parts.pop("done", None)
    whole = sum(part.wall for part in trace.root.parts.values())
    return Profile(trace.root, first[0], whole, peak_memory_mb(), shapes, reply)


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


def _head(request: RegistrationRequest, run: Profile, repeat: int) -> dict[str, Any]:
    import torch

    def described(volume: Any) -> dict[str, Any]:
        spacing = [round(float(s), 4) for s in volume.geometry.spacing_mm]
        return {"size_ijk": list(volume.array.shape[::-1]), "spacing_mm": spacing, "type": volume.array.dtype.name}

    return {
        "fixed": described(request.fixed),
        "moving": described(request.moving),
        "model": run.reply.result.model,
        "refine": request.settings.refine,
        "threads": torch.get_num_threads(),
        "runs": repeat,
    }


def _figures(run: Profile, written: Span) -> dict[str, Any]:
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


def _machine(run: Profile) -> dict[str, Any]:
    """What the network's share could be at best, by the machine's matrix products."""
    from ...core.network.inference import has_fast_bfloat16

    peaks = {precision: matrix_product_gflops(precision) for precision in ("float32", "bfloat16")}
    used = "bfloat16" if has_fast_bfloat16() else "float32"
    multiply_adds = sum(network_multiply_adds(shape) for shape in run.shapes)
    convolutions = 1e3 * run.steps.total(CONVOLUTIONS).wall
    least = 2 * multiply_adds / peaks[used] / 1e6
    return {
        "matrix_product_gflops": peaks,
        "precision": used,
        "network_multiply_adds": multiply_adds,
        "least_ms": least,
        "convolutions_ms": convolutions,
        "grid_work_ms": 1e3 * sum(run.steps.total(name).wall for name in GRID_WORK),
        "percent_of_peak": 100 * least / convolutions if convolutions else None,
    }
