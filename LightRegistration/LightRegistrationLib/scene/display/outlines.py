"""Draw the outlines of segmentations in the slice views without changing how the user shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import slicer

from ..nodes.label_layers import BINARY_LABELMAP
from ..nodes.removal import remove_with_display
from ..nodes.segmentations import segmentation_from_node, set_segmentation

_SURFACE = "Closed surface"
_HIDDEN = "LightRegistration.HiddenIn2D"


@dataclass(frozen=True)
class LineStyle:
    """thickness: pixels. opacity: 0 to 1."""

    thickness: int
    opacity: float


FIXED_LINE = LineStyle(5, 0.45)
"""A broad pale band, in which the narrow line of the other segmentation runs where both agree."""
OTHER_LINE = LineStyle(2, 1.0)


class Outlines:
    """Outlines of segmentations (or label map nodes) in 2-D.

    They are drawn by nodes of their own that share the segments' voxels. (A second display node on the user's
    segmentation would do, but Slicer's slice views crash when it is removed.) The given segmentations are switched off
    in 2-D meanwhile, or their fill would cover the outlines.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._nodes: list[Any] = []
        self._hidden = HiddenIn2D()

    def show(self, lines: Sequence[tuple[Any, LineStyle]], others: Sequence[Any] = ()) -> None:
        """Draw each node's outlines in its style; `others` are only switched off."""
        self.hide()
        for node, style in lines:
            self._nodes.append(_twin(self._scene, node, style))
        self._hidden.hide([*(node for node, _ in lines), *others])

    def hide(self) -> None:
        """Take the outlines away and bring back what was switched off for them."""
        for node in self._nodes:
            node.SetDisplayVisibility(False)
            _drop_voxels(node.GetSegmentation())
            remove_with_display(self._scene, node)
        self._nodes = []
        self._hidden.restore()


def _twin(scene: Any, node: Any, style: LineStyle) -> Any:
    """Add a hidden segmentation node that shows the outlines of the given one at the same place.

    It is complete before it is in the scene: for each later change of a segmentation that its data tree leaves out,
    Slicer writes an error to the application log.
    """
    twin = slicer.vtkMRMLSegmentationNode()
    twin.SetName(f"{node.GetName()} outlines")
    twin.SetHideFromEditors(True)
    twin.SetSaveWithScene(False)
    twin.SetScene(scene)
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        set_segmentation(twin, segmentation_from_node(node))
    else:
        _share_segments(node.GetSegmentation(), twin.GetSegmentation())
        twin.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    _show_outlines_only(twin, style)
    return scene.AddNode(twin)


def _share_segments(source: Any, target: Any) -> None:
    """Fill a vtkSegmentation with the segments of another; the voxels themselves are shared, not copied."""
    copies: dict[Any, Any] = {}
    target.SetSourceRepresentationName(source.GetSourceRepresentationName())
    for segment_id in source.GetSegmentIDs():
        segment, copy = source.GetSegment(segment_id), slicer.vtkSegment()
        copy.DeepCopyMetadata(segment)
        for representation in (BINARY_LABELMAP, _SURFACE):
            data = segment.GetRepresentation(representation)
            if data is not None and data not in copies:
                copies[data] = data.NewInstance()
                copies[data].ShallowCopy(data)
            if data is not None:
                copy.AddRepresentation(representation, copies[data])
        target.AddSegment(copy, segment_id)


def _drop_voxels(segmentation: Any) -> None:
    """Empty a twin before it goes: Slicer would clear segment by segment, seconds for a brain with 140 structures."""
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
    """Display nodes that are switched off in slice views for a while, and marked: a scene may be saved meanwhile."""

    def __init__(self) -> None:
        self._displays: list[Any] = []

    def hide(self, nodes: Sequence[Any]) -> None:
        """Switch off the display nodes of the nodes, where they are on."""
        for node in nodes:
            for number in range(node.GetNumberOfDisplayNodes()):
                display = node.GetNthDisplayNode(number)
                if display is not None and display.GetVisibility2D():
                    display.SetVisibility2D(False)
                    display.SetAttribute(_HIDDEN, "1")
                    self._displays.append(display)

    def restore(self) -> None:
        """Switch them on again."""
        for display in self._displays:
            _show_again(display)
        self._displays = []


def restore_hidden_segmentations(scene: Any) -> None:
    """Switch on what outlines had switched off when the scene was saved; for a scene without outlines now."""
    displays = scene.GetNodesByClass("vtkMRMLDisplayNode")
    displays.UnRegister(None)
    for display in displays:
        if display.GetAttribute(_HIDDEN):
            _show_again(display)


def _show_again(display: Any) -> None:
    display.SetVisibility2D(True)
    display.RemoveAttribute(_HIDDEN)
