"""Remove nodes from the scene together with their display nodes."""

from __future__ import annotations

from typing import Any


def remove_with_display(scene: Any, node: Any) -> None:
    """Remove a node, then its display nodes; in the other order, views would keep pointers to removed display nodes."""
    displays = []
    if node.IsA("vtkMRMLDisplayableNode"):
        displays = [node.GetNthDisplayNode(number) for number in range(node.GetNumberOfDisplayNodes())]
    for removed in (node, *displays):
        if removed is not None and scene.IsNodePresent(removed):
            scene.RemoveNode(removed)
