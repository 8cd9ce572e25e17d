"""The `demo` command: the whole way on a built-in pair (or on the user's own), with a short table at the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.geometry.geometry import apply_affine
from ...core.result.result import Progress, scale_progress
from ..files.output_folder import (
    RESULT_ENTRIES,
    TRANSFORM_FILE,
    VIEWS_FOLDER,
    check_output,
    staging_folder,
    write_report,
)
from ..register.call import register_into, register_request
from ..register.request import FilesRequest

if TYPE_CHECKING:
    from ...core.geometry.transforms import DisplacementField
    from ..phantom.pair import PhantomPair

INPUTS_FOLDER = "inputs"
DEMO_ENTRIES = (*RESULT_ENTRIES, INPUTS_FOLDER)
EVERY_NTH_VOXEL = 4


def demo_own_files(request: FilesRequest, output: Path, force: bool, progress: Progress) -> dict[str, Any]:
    """Register the user's files with pictures; returns the report. Raises InputError as `register_files` does."""
    return register_request(request, output, force, progress, DEMO_ENTRIES)


def demo_phantom(
    options: FilesRequest, output: Path, force: bool, progress: Progress, spacing_mm: float = 1.5
) -> dict[str, Any]:
    """Make the phantom pair, register it with pictures, and compare with the truth; returns the report.

    options: its settings are used, its files are not. The report has `known_deformation` in
    addition: the size of the true displacements and the error that remains, mm, in the fixed brain and head.
    """
    from ...scene.headless.application import headless_application
    from ..phantom.files import write_phantom
    from ..phantom.pair import make_phantom_pair

    check_output(output, [], force, DEMO_ENTRIES)
    with staging_folder(output, DEMO_ENTRIES) as folder:
        progress(0.0, "making the phantom")
        pair = make_phantom_pair(spacing_mm=spacing_mm)
        (folder / INPUTS_FOLDER).mkdir()
        files = write_phantom(pair, folder / INPUTS_FOLDER, headless_application().scene)
        request = replace(
            options,
            fixed=files["fixed"],
            moving=files["moving"],
            fixed_segmentation=files["fixed_segmentation"],
            moving_segmentation=files["moving_segmentation"],
        )
        report = register_into(folder, request, scale_progress(progress, 0.2, 0.95))
        report["inputs"] = {role: str(path.relative_to(folder)) for role, path in request.files.items()}
        report["known_deformation"] = _known_deformation(pair, folder)
        write_report(report, folder)
    return report


def _known_deformation(pair: PhantomPair, folder: Path) -> dict[str, dict[str, float]]:
    """Compare the transform as it was saved with the truth, in the fixed brain (all structures) and the whole head."""
    from ...scene.files.loading import load_transform_node
    from ...scene.headless.application import headless_application
    from ...scene.nodes.transforms import field_from_transform_node

    scene = headless_application().scene
    node = load_transform_node(scene, folder / TRANSFORM_FILE)
    found = field_from_transform_node(node)
    scene.RemoveNode(node)
    brain = pair.fixed_segmentation.layers[0] > 0
    return {name: _errors(pair, found, mask) for name, mask in (("brain", brain), ("head", pair.inside_head))}


def _errors(pair: PhantomPair, found: DisplacementField, mask: NDArray[np.bool_]) -> dict[str, float]:
    """Lengths of the true displacements and of what is left of them, mm, over a mask on the fixed grid."""
    points = apply_affine(pair.fixed.affine, np.argwhere(mask)[::EVERY_NTH_VOXEL, ::-1])
    truth = pair.true_field(points)
    displacements = np.linalg.norm(truth - points, axis=1)
    errors = np.linalg.norm(found(points) - truth, axis=1)
    values = {
        "mean_displacement_mm": displacements.mean(),
        "max_displacement_mm": displacements.max(),
        "mean_error_mm": errors.mean(),
        "max_error_mm": errors.max(),
    }
    return {name: round(float(value), 4) for name, value in values.items()}


def summary(report: dict[str, Any], output: Path) -> str:
    """A report as a short table for the terminal."""
    lines = [*_structure_lines(report), *_field_lines(report), *_refinement_lines(report)]
    seconds = ", ".join(f"{name} {value:.2f}" for name, value in report["seconds"].items())
    lines.append(f"Model              {format_model(report)}")
    lines.append(f"Seconds            {seconds}")
    lines += [f"Warning            {line}" for line in report["warnings"]]
    lines.append(f"Pictures           {output / VIEWS_FOLDER}")
    lines.append(f"Everything else    {output}")
    return "\n".join(lines)


def format_model(report: dict[str, Any]) -> str:
    """The model that was used, and why."""
    return f"{report['model']['name']}: {report['model']['reason']}"


def _structure_lines(report: dict[str, Any]) -> list[str]:
    if not report["structures"]:
        return ["No Dice: give both segmentations to see it."]
    rows = [*report["structures"], {"name": "Mean", **report["mean"]}]
    width = max(len(row["name"]) for row in rows)
    lines = [f"{'Dice':<{width}}  before   after"]
    lines += [f"{row['name']:<{width}}  {_dice(row['before'])}  {_dice(row['after'])}" for row in rows]
    return [*lines, ""]


def _dice(overlap: dict[str, float | None]) -> str:
    return "     -" if overlap["dice"] is None else f"{overlap['dice']:6.3f}"


def _field_lines(report: dict[str, Any]) -> list[str]:
    folding, least = report["jacobian"]["percent_nonpositive"], report["jacobian"]["minimum"]
    lines = [f"Folding            {folding:.4f} % (least Jacobian determinant {least:.3f})"]
    for place, known in report.get("known_deformation", {}).items():
        size = f"{known['mean_displacement_mm']:.2f} mm mean, {known['max_displacement_mm']:.2f} mm max"
        left = f"{known['mean_error_mm']:.2f} mm mean, {known['max_error_mm']:.2f} mm max"
        lines.append(f"Known deformation  in the {place}: {size}; error left: {left}")
    return lines


def _refinement_lines(report: dict[str, Any]) -> list[str]:
    lines = []
    refinement = report["refinement"]
    if refinement:
        gain = f"{refinement['similarity_before']:.4f} before, {refinement['similarity_after']:.4f} after"
        steps = f"{refinement['steps']} steps ({refinement['ended']})"
        lines.append(f"Refinement         {refinement['preset']}: {steps}, {refinement['metric']} {gain}")
    for kept in report["kept"]:
        change = f"{kept['change_percent']:+.1f} % ({kept['change_percent_free']:+.1f} % without)"
        lines.append(f"Kept volume        {kept['name']}: {change}")
    return lines
