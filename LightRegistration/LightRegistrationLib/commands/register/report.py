"""report.json of the command line, and its short form for the eye."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from .request import FilesRequest

if TYPE_CHECKING:
    from ...worker.protocol import RegistrationReply

_DISTRIBUTIONS = ("light-registration", "torch", "numpy", "slicer-core", "vtk")


def build_full_report(
    request: FilesRequest,
    reply: RegistrationReply,
    outputs: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """What `core.report.build.build_report` says, and what only the command line knows.

    inputs: the files as they were named. outputs: files, relative to the output folder. labels: what the values in
    warped_segmentation.nii.gz mean. seconds: of every stage, reading and writing included. versions: of the software.
    """
    labels = None
    if reply.warped_segmentation is not None:
        # Imported late, like everything that brings Slicer along.
        from ...scene.nodes.segmentations import merge_layers

        segments = merge_layers(reply.warped_segmentation).segments
        labels = [{"value": s.value, "name": s.name} for s in segments]
    return {
        **reply.report,
        "inputs": {role: str(path) for role, path in request.files.items()},
        "outputs": dict(outputs),
        "labels": labels,
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found
