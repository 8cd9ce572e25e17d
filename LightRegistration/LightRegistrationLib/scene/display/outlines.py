"""Outlines of segmentations in the slice views; the user's own display settings are restored afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import slicer

from ..nodes.label_layers import BINARY_LABELMAP
from ..nodes.removal import remove_with_display
from ..nodes.segmentations import segmentation_from_node, set_segmentation

_CLOSED_SURFACE = "Closed surface"
_HIDDEN_ATTRIBUTE = "LightRegistration.HiddenIn2D"


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
    segmentation is no alternative: Slicer's slice views crash when it is removed.) Meanwhile the segmentations
    themselves are hidden in 2-D, because their fill would cover the outlines.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._nodes: list[Any] = []
        self._hidden = HiddenIn2D()

    def show(self, lines: Sequence[tuple[Any, LineStyle]], others: Sequence[Any] = ()) -> None:
        """Draw each node's outlines in its style; `others` are only hidden."""
        self.hide()
        for node, style in lines:
            self._nodes.append(_add_outline_node(self._scene, node, style))
        self._hidden.hide([*(node for node, _ in lines), *others])

    def hide(self) -> None:
        """Remove the outlines and show again what was hidden for them."""
        for node in self._nodes:
            node.SetDisplayVisibility(False)
            _clear_voxels(node.GetSegmentation())
            remove_with_display(self._scene, node)
        self._nodes = []
        self._hidden.restore()


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
        _share_segments(node.GetSegmentation(), outline_node.GetSegmentation())
        outline_node.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    _show_outlines_only(outline_node, style)
    return scene.AddNode(outline_node)


def _share_segments(source: Any, target: Any) -> None:
    """Fill a vtkSegmentation with the segments of another one; the voxels are shared, not copied."""
    copies: dict[Any, Any] = {}
    target.SetSourceRepresentationName(source.GetSourceRepresentationName())
    for segment_id in source.GetSegmentIDs():
        segment, copy = source.GetSegment(segment_id), slicer.vtkSegment()
        copy.DeepCopyMetadata(segment)
        for representation in (BINARY_LABELMAP, _CLOSED_SURFACE):
            data = segment.GetRepresentation(representation)
            if data is not None and data not in copies:
                copies[data] = data.NewInstance()
                copies[data].ShallowCopy(data)
            if data is not None:
                copy.AddRepresentation(representation, copies[data])
        target.AddSegment(copy, segment_id)


def _clear_voxels(segmentation: Any) -> None:
    """Empty the layers before removal: Slicer clears segment by segment, which takes seconds for 140 structures."""
    for number in range(segmentation.GetNumberOfLayers(BINARY_LABELMAP)):
        segmentation.GetLayerDataObject(number, BINARY_LABELMAP).Initialize()


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


class HiddenIn2D:
    """Display nodes that are temporarily hidden in the slice views.

    They carry an attribute, so that they can be shown again in a scene that was saved meanwhile.
    """

    def __init__(self) -> None:
        self._displays: list[Any] = []

    def hide(self, nodes: Sequence[Any]) -> None:
        """Hide those display nodes of the nodes that are visible in 2-D."""
        for node in nodes:
            for number in range(node.GetNumberOfDisplayNodes()):
                display = node.GetNthDisplayNode(number)
                if display is not None and display.GetVisibility2D():
                    display.SetVisibility2D(False)
                    display.SetAttribute(_HIDDEN_ATTRIBUTE, "1")
                    self._displays.append(display)

    def restore(self) -> None:
        """Show the hidden display nodes again."""
        for display in self._displays:
            _unhide(display)
        self._displays = []


def restore_hidden_segmentations(scene: Any) -> None:
    """Show again what was hidden for outlines when the scene was saved; call it only while no outlines are drawn."""
    displays = scene.GetNodesByClass("vtkMRMLDisplayNode")
    displays.UnRegister(None)
    for display in displays:
        if display.GetAttribute(_HIDDEN_ATTRIBUTE):
            _unhide(display)


def _unhide(display: Any) -> None:
    display.SetVisibility2D(True)
    display.RemoveAttribute(_HIDDEN_ATTRIBUTE)
