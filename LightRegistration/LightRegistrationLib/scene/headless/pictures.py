"""Pictures of a registration: slice views drawn off screen and written as PNG files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.geometry.geometry import apply_affine
from ..display.hidden_segmentations import HiddenSegmentations
from ..display.result_display import ResultDisplay
from ..files.png import save_png
from ..nodes.results import RegistrationNodes
from ..nodes.segmentations import segmentation_from_node
from ..nodes.volumes import image_array, world_affine
from .application import HeadlessApplication
from .slice_views import ORIENTATIONS, SliceView


def save_views(
    application: HeadlessApplication, nodes: RegistrationNodes, folder: str | Path, size: tuple[int, int] = (400, 400)
) -> list[Path]:
    """Write pictures of a registration into a folder; returns their paths.

    before.png, after.png: overlays. grid.png: deformation grid. outlines.png and match.png: only if there are both
    segmentations. Each shows axial, sagittal, and coronal slices through the center of the fixed structures.
    """
    folder = Path(folder)
    paths = []
    display = ResultDisplay(application.logic, nodes)
    with _hide_segmentations(nodes), _open_three_views(application, size) as views:
        try:
            display.show_before()
            center = _find_center_mm(nodes)
            for view in views:
                view.center_on(center)
            for name, show in _iterate_subjects(display, nodes):
                show()
                path = folder / f"{name}.png"
                save_png(np.concatenate([view.render() for view in views], axis=1), path)
                paths.append(path)
        finally:
            display.restore()
    return paths


def _iterate_subjects(display: ResultDisplay, nodes: RegistrationNodes) -> Iterator[tuple[str, Any]]:
    yield "before", display.show_before
    yield "after", display.show_after
    yield "grid", lambda: display.show_grid(True)
    display.show_grid(False)
    if nodes.fixed_segmentation is None or nodes.warped_segmentation is None:
        return
    yield "outlines", lambda: display.show_outlines(True)
    display.show_outlines(False)
    yield "match", lambda: display.show_match(True)
    display.show_match(False)


@contextmanager
def _open_three_views(application: HeadlessApplication, size: tuple[int, int]) -> Iterator[list[SliceView]]:
    views: list[SliceView] = []
    try:
        for orientation in ORIENTATIONS:
            views.append(SliceView(application, orientation, size))
        yield views
    finally:
        for view in views:
            view.close()


@contextmanager
def _hide_segmentations(nodes: RegistrationNodes) -> Iterator[None]:
    """Hide the fill of segmentations, which loaded ones have by default, from the pictures."""
    hidden = HiddenSegmentations(nodes.fixed.GetScene())
    segmentations = (nodes.fixed_segmentation, nodes.moving_segmentation, nodes.warped_segmentation)
    hidden.hide([node for node in segmentations if node is not None])
    try:
        yield
    finally:
        hidden.restore()


def _find_center_mm(nodes: RegistrationNodes) -> NDArray[np.float64]:
    """Return the center (RAS mm) of the fixed structures, or of all voxels above the mean value without them."""
    if nodes.fixed_segmentation is not None:
        segmentation = segmentation_from_node(nodes.fixed_segmentation)
        mask = np.any([segmentation.mask(segment) for segment in segmentation.segments], axis=0)
        affine = segmentation.affine
    else:
        array = image_array(nodes.fixed)
        mask, affine = array > np.nanmean(array), world_affine(nodes.fixed)
    k, j, i = (float(np.mean(np.nonzero(mask.any(axis=other_axes))[0])) for other_axes in ((1, 2), (0, 2), (0, 1)))
    return np.asarray(apply_affine(affine, (i, j, k)))
