"""The `demo` command: registers the built-in pair or the user's own and compares with the known deformation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.geometry.geometry import apply_affine
from ...core.report.definition import KnownDeformationReport, RegionErrorReport, Report
from ...core.result.progress import Progress, ProgressUpdate, Stage, scale_progress
from ..files.output_folder import (
    RESULT_ENTRIES,
    TRANSFORM_FILE,
    check_output,
    staging_folder,
    write_report,
)
from ..register.call import register_into, register_request
from ..register.report import describe_inputs
from ..register.request import FilesRequest

if TYPE_CHECKING:
    from ...core.geometry.transforms import DisplacementField
    from ..phantom.pair import PhantomPair

INPUTS_FOLDER = "inputs"
DEMO_ENTRIES = (*RESULT_ENTRIES, INPUTS_FOLDER)
EVERY_NTH_VOXEL = 4


def demo_own_files(request: FilesRequest, output: Path, force: bool, progress: Progress) -> Report:
    """Register the user's files with pictures; returns the report. Raises InputError as `register_files` does."""
    return register_request(request, output, force, progress, DEMO_ENTRIES)


def demo_phantom(
    options: FilesRequest, output: Path, force: bool, progress: Progress, spacing_mm: float = 1.5
) -> Report:
    """Make the phantom pair, register it with pictures, and compare with the truth; returns the report.

    options: its settings are used, its files are not. The report has `known_deformation` in addition. spacing_mm: see
    `make_phantom_pair`. Raises InputError as `register_files` does.
    """
    from ...scene.headless.application import headless_application
    from ..phantom.files import write_phantom
    from ..phantom.pair import make_phantom_pair

    check_output(output, [], force, DEMO_ENTRIES)
    with staging_folder(output, DEMO_ENTRIES) as folder:
        progress(ProgressUpdate(0.0, Stage.PHANTOM))
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
        report["inputs"] = describe_inputs(request, relative_to=folder)
        report["known_deformation"] = _compare_with_truth(pair, folder)
        write_report(report, folder)
    return report


def _compare_with_truth(pair: PhantomPair, folder: Path) -> KnownDeformationReport:
    """Compare the transform as it was saved with the truth, in the fixed brain (all structures) and the whole head."""
    from ...scene.files.transform_loading import load_transform_node
    from ...scene.headless.application import headless_application
    from ...scene.nodes.transforms import field_from_transform_node

    scene = headless_application().scene
    node = load_transform_node(scene, folder / TRANSFORM_FILE)
    found = field_from_transform_node(node)
    scene.RemoveNode(node)
    brain = pair.fixed_segmentation.layers[0] > 0
    return {
        "brain": _measure_errors(pair, found, brain),
        "head": _measure_errors(pair, found, pair.inside_head),
    }


def _measure_errors(pair: PhantomPair, found: DisplacementField, mask: NDArray[np.bool_]) -> RegionErrorReport:
    """Lengths of the true displacements and of the remaining errors, mm, over a mask on the fixed grid."""
    points = apply_affine(pair.fixed.affine, np.argwhere(mask)[::EVERY_NTH_VOXEL, ::-1])
    truth = pair.true_field(points)
    displacements = np.linalg.norm(truth - points, axis=1)
    errors = np.linalg.norm(found(points) - truth, axis=1)
    return {
        "mean_displacement_mm": round(float(displacements.mean()), 4),
        "max_displacement_mm": round(float(displacements.max()), 4),
        "mean_error_mm": round(float(errors.mean()), 4),
        "max_error_mm": round(float(errors.max()), 4),
    }
