"""Outlines of segmentations in the slice views, drawn by hidden nodes of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import slicer

from ..nodes.removal import remove_segmentation_silently
from ..nodes.segmentations import segmentation_from_node, set_segmentation
from ..nodes.sharing import share_segments


@dataclass(frozen=True)
class LineStyle:
    """How an outline is drawn. thickness: pixels. opacity: 0 to 1."""

    thickness: int
    opacity: float


FIXED_LINE = LineStyle(5, 0.45)
"""A broad, pale line: where both segmentations agree, the narrow line of the other one lies inside it."""
OTHER_LINE = LineStyle(2, 1.0)


class Outlines:
    """Outlines of segmentations (or label map nodes) in the slice views.

    Separate, hidden nodes draw them; they share the voxels of the segments. (A second display node on the user's
    segmentation is no alternative: Slicer's slice views crash when it is removed.)
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._nodes: list[Any] = []

    def show(self, lines: Sequence[tuple[Any, LineStyle]]) -> None:
        """Draw each node's outlines in its style."""
        self.hide()
        for node, style in lines:
            self._nodes.append(_add_outline_node(self._scene, node, style))

    def hide(self) -> None:
        """Remove the outlines."""
        for node in self._nodes:
            remove_segmentation_silently(self._scene, node)
        self._nodes = []


def _add_outline_node(scene: Any, node: Any, style: LineStyle) -> Any:
    """Add a hidden segmentation node that draws the outlines of the given node at the same position.

    It is complete before it enters the scene: for each later change of a segmentation that is not in its data tree,
    Slicer writes an error to the application log.
    """
    outline_node = slicer.vtkMRMLSegmentationNode()
    outline_node.SetName(f"{node.GetName()} outlines")
    outline_node.SetHideFromEditors(True)
    outline_node.SetSaveWithScene(False)
    outline_node.SetScene(scene)
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        set_segmentation(outline_node, segmentation_from_node(node))
    else:
        share_segments(node.GetSegmentation(), outline_node.GetSegmentation())
        outline_node.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    _show_outlines_only(outline_node, style)
    return scene.AddNode(outline_node)


def _show_outlines_only(node: Any, style: LineStyle) -> None:
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetHideFromEditors(True)
    display.SetSaveWithScene(False)
    display.SetVisibility3D(False)
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(style.thickness)
    display.SetOpacity2DOutline(style.opacity)
