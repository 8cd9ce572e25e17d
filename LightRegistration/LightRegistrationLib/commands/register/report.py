"""The report of the command line: the report of the registration, and the files and software versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ...core.report.definition import InputsReport, LabelReport, LandmarksReport, OutputsReport, Report
from ...core.result.settings import RegistrationSettings
from ..terminal.versions import read_versions
from .request import FilesRequest

if TYPE_CHECKING:
    from ...core.geometry.geometry import FloatArray
    from ...core.geometry.transforms import DisplacementField
    from ...core.geometry.volume import Segmentation
    from ...worker.protocol import RegistrationReply


def build_full_report(
    request: FilesRequest,
    reply: RegistrationReply,
    outputs: OutputsReport,
    seconds: Mapping[str, float],
    warnings: Sequence[str] = (),
) -> Report:
    """Add what only the command line knows to the report of a reply.

    outputs: files, relative to the output folder. seconds: of every stage, reading and writing included. warnings:
    about the files.
    """
    return {
        **reply.report,
        "inputs": describe_inputs(request),
        "outputs": outputs,
        "labels": None if reply.warped_segmentation is None else _describe_labels(reply.warped_segmentation),
        "seconds": {str(name): round(value, 4) for name, value in seconds.items()},
        "versions": read_versions(),
        "warnings": [*warnings, *reply.report["warnings"]],
    }


def describe_inputs(request: FilesRequest, relative_to: Path | None = None) -> InputsReport:
    """Return the input files by their role, as they were named.

    relative_to: a folder; files inside it are named relative to it.
    """
    files = {
        role: str(path.relative_to(relative_to) if relative_to and path.is_relative_to(relative_to) else path)
        for role, path in request.files.items()
    }
    return cast(InputsReport, files)


def describe_settings(settings: RegistrationSettings) -> dict[str, Any]:
    """Return the settings of registrations for a summary, without those that are empty or off."""
    return {name: value for name, value in asdict(settings).items() if value not in ((), False)}


def measure_landmarks(landmarks: FloatArray, field: DisplacementField) -> LandmarksReport:
    """Measure the distances of landmarks (n, 2, 3), fixed and moving, RAS mm, before and after a registration."""
    from ...core.metrics.landmarks import measure_landmark_errors
    from ...core.report.build import describe_landmarks

    fixed, moving = landmarks[:, 0], landmarks[:, 1]
    before, after = (measure_landmark_errors(points, moving) for points in (fixed, field(fixed)))
    return describe_landmarks(len(landmarks), before, after)


def _describe_labels(warped: Segmentation) -> list[LabelReport]:
    """The label values that `warped_segmentation.nii.gz` will have."""
    # Imports Slicer.
    from ...scene.nodes.segmentations import merge_layers

    return [{"value": s.value, "name": s.name} for s in merge_layers(warped).segments]
