"""Remove nodes from the scene together with their display nodes."""

from __future__ import annotations

from typing import Any


def remove_with_display(scene: Any, node: Any) -> None:
    """Remove a node and then its display nodes (in this order: views hold pointers to those of a node that stays)."""
    displays = []
    if node.IsA("vtkMRMLDisplayableNode"):
        displays = [node.GetNthDisplayNode(number) for number in range(node.GetNumberOfDisplayNodes())]
    for leaving in (node, *displays):
        if leaving is not None and scene.IsNodePresent(leaving):
            scene.RemoveNode(leaving)
