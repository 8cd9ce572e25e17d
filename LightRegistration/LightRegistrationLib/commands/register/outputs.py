"""A finished registration as nodes of the scene and as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...core.report.definition import OutputsReport, Report
from ...scene.files.saving import save_node, save_segmentation
from ...scene.nodes.results import RegistrationNodes, publish_result
from ...worker.protocol import RegistrationReply, RegistrationRequest
from ..files.output_folder import (
    PAGE_FILE,
    THUMBNAIL_FILE,
    TRANSFORM_FILE,
    VIEWS_FOLDER,
    WARPED_FILE,
    WARPED_SEGMENTATION_FILE,
)
from .inputs import LoadedInputs

if TYPE_CHECKING:
    from ...core.review.pictures import ReviewedPair


def add_result_to_scene(inputs: LoadedInputs, reply: RegistrationReply) -> RegistrationNodes:
    """Add the result to the scene of its inputs, as the panel does."""
    return publish_result(
        inputs.application.scene,
        inputs.fixed_node,
        inputs.moving_node,
        reply.result.field,
        reply.warped,
        reply.warped_segmentation,
        fixed_segmentation=inputs.fixed_segmentation_node,
        moving_segmentation=inputs.moving_segmentation_node,
    )


def write_result(nodes: RegistrationNodes, folder: Path, compress: bool = True) -> OutputsReport:
    """Write the nodes as files; returns their names. Raises InputError if one cannot be written.

    compress: images as .nii.gz instead of .nii.
    """
    warped, labels = (
        name if compress else name.removesuffix(".gz") for name in (WARPED_FILE, WARPED_SEGMENTATION_FILE)
    )
    save_node(nodes.transform, folder / TRANSFORM_FILE)
    save_node(nodes.warped, folder / warped)
    outputs: OutputsReport = {"transform": TRANSFORM_FILE, "warped": warped}
    if nodes.warped_segmentation is not None:
        save_segmentation(nodes.warped_segmentation, folder / labels)
        outputs["warped_segmentation"] = labels
    return outputs


def write_views(inputs: LoadedInputs, nodes: RegistrationNodes, folder: Path) -> list[str]:
    """Draw the result in Slicer's slice views; returns the pictures' names, relative to the folder."""
    # Imports VTK's rendering, which only the pictures need.
    from ...scene.headless.pictures import save_views

    (folder / VIEWS_FOLDER).mkdir()
    paths = save_views(inputs.application, nodes, folder / VIEWS_FOLDER)
    return [str(path.relative_to(folder)) for path in paths]


def write_page(request: RegistrationRequest, reply: RegistrationReply, report: Report, folder: Path) -> None:
    """Write report.html into the folder: pictures, tolerances and all numbers on one page."""
    # Imported here: only the page needs them.
    from ...core.review.page import build_page
    from ...scene.files.png import encode_png

    page = build_page(_make_reviewed_pair(request, reply), report, encode_png)
    (folder / PAGE_FILE).write_text(page, encoding="utf-8")


def write_thumbnail(request: RegistrationRequest, reply: RegistrationReply, folder: Path) -> None:
    """Write thumbnail.png into the folder: a small picture before and after."""
    from ...core.review.pictures import draw_thumbnail
    from ...scene.files.png import save_png

    save_png(draw_thumbnail(_make_reviewed_pair(request, reply)), folder / THUMBNAIL_FILE)


def _make_reviewed_pair(request: RegistrationRequest, reply: RegistrationReply) -> ReviewedPair:
    from ...core.review.pictures import ReviewedPair

    return ReviewedPair(
        request.fixed, request.moving, reply.result.field, request.fixed_segmentation, reply.warped_segmentation
    )
