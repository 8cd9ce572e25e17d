"""Remove nodes from the scene together with their display nodes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


def remove_with_display(scene: Any, node: Any) -> None:
    """Remove a node, then its display nodes; in the other order, views would keep pointers to removed display nodes."""
    displays = []
    if node.IsA("vtkMRMLDisplayableNode"):
        displays = [node.GetNthDisplayNode(number) for number in range(node.GetNumberOfDisplayNodes())]
    for removed in (node, *displays):
        if removed is not None and scene.IsNodePresent(removed):
            scene.RemoveNode(removed)


def remove_segmentation_silently(scene: Any, node: Any) -> None:
    """Remove a hidden segmentation node without events of its segments and its display.

    For each of them Slicer's subject hierarchy, which does not list hidden nodes, writes an error to the application
    log.
    """
    node.StartModify()  # never ended: pending events die with the node
    empty_segments(node)
    remove_with_display(scene, node)


@contextlib.contextmanager
def remove_new_nodes(scene: Any) -> Iterator[None]:
    """Remove all nodes that were added in the block after it, except for those that exist once in a scene."""
    before = _list_node_ids(scene)
    try:
        yield
    finally:
        for node_id in _list_node_ids(scene) - before:
            node = scene.GetNodeByID(node_id)
            if node is not None and not node.GetSingletonTag():
                if node.IsA("vtkMRMLSegmentationNode"):
                    empty_segments(node)
                scene.RemoveNode(node)


def empty_segments(node: Any) -> None:
    """Free the voxels and surfaces of the segments of a segmentation node that are about to be removed.

    Slicer would clear segment by segment, seconds for 140 structures.
    """
    segmentation = node.GetSegmentation()
    for number in range(segmentation.GetNumberOfSegments()):
        segmentation.GetNthSegment(number).RemoveAllRepresentations()


def _list_node_ids(scene: Any) -> set[str]:
    return {scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())}
