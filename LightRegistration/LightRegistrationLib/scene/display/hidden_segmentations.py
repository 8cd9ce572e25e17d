"""Segmentations that the views do not draw for a while; nothing of that is left in a scene that is saved meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from ..nodes.removal import remove_segmentation_silently
from ..nodes.sharing import CLOSED_SURFACE, share_segments

_NO_VIEW = " "
"""A display node that lists this view only is drawn in no view. In a file the list is separated by spaces, so that it
is read back as an empty list, which means all views."""
_HIDDEN_ATTRIBUTE = "LightRegistration.HiddenIn2D"
"""Set by earlier versions on display nodes whose 2-D visibility they had switched off."""


class HiddenSegmentations:
    """Segmentations that are temporarily not drawn; hidden stand-ins draw their surfaces in 3-D.

    A display node that the user has limited to some views is not changed: a saved scene would lose these views.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._nodes: list[Any] = []
        self._displays: list[Any] = []
        self._stand_ins: list[Any] = []

    def hide(self, nodes: Sequence[Any]) -> None:
        """Draw these segmentations in no view; what was hidden before is shown again. Other nodes are skipped."""
        wanted = [node for node in nodes if node.IsA("vtkMRMLSegmentationNode")]
        if wanted == self._nodes:
            return
        self.restore()
        self._nodes = wanted
        for node in wanted:
            for number in range(node.GetNumberOfDisplayNodes()):
                display = node.GetNthDisplayNode(number)
                if display is not None and not display.GetNumberOfViewNodeIDs():
                    self._hide(node, display)

    def restore(self) -> None:
        """Show the hidden segmentations again."""
        for display in self._displays:
            display.RemoveViewNodeID(_NO_VIEW)
        for stand_in in self._stand_ins:
            remove_segmentation_silently(self._scene, stand_in)
        self._nodes, self._displays, self._stand_ins = [], [], []

    def _hide(self, node: Any, display: Any) -> None:
        has_surface = node.GetSegmentation().ContainsRepresentation(CLOSED_SURFACE)
        if has_surface and display.GetVisibility() and display.GetVisibility3D():
            self._stand_ins.append(_add_surface_node(self._scene, node, display))
        display.AddViewNodeID(_NO_VIEW)
        self._displays.append(display)


def _add_surface_node(scene: Any, node: Any, display: Any) -> Any:
    """Add a hidden segmentation node that draws the surfaces of the given node in 3-D, as its display node says."""
    stand_in = slicer.vtkMRMLSegmentationNode()
    stand_in.SetName(f"{node.GetName()} surfaces")
    stand_in.SetHideFromEditors(True)
    stand_in.SetSaveWithScene(False)
    stand_in.SetScene(scene)
    share_segments(node.GetSegmentation(), stand_in.GetSegmentation())
    stand_in.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    stand_in.CreateDefaultDisplayNodes()
    copy = stand_in.GetDisplayNode()
    copy.CopyContent(display)
    copy.SetHideFromEditors(True)
    copy.SetSaveWithScene(False)
    copy.SetVisibility2D(False)
    return scene.AddNode(stand_in)


def restore_hidden_segmentations(scene: Any) -> None:
    """Show again what was hidden when the scene was saved by an earlier version, or when the module was reloaded.

    Call it only while no result is drawn.
    """
    displays = scene.GetNodesByClass("vtkMRMLSegmentationDisplayNode")
    displays.UnRegister(None)
    for display in displays:
        display.RemoveViewNodeID(_NO_VIEW)
        if display.GetAttribute(_HIDDEN_ATTRIBUTE):
            display.SetVisibility2D(True)
            display.RemoveAttribute(_HIDDEN_ATTRIBUTE)
