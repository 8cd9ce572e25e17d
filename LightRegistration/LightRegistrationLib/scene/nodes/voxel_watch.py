"""Tells whether the voxels of volumes were changed while they were still being read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


class VoxelWatch:
    """The voxels of nodes as they are now. nodes: volumes, sequences of volumes; others have no voxels to watch.

    An image that a node gets in place of its own does not count: what is read is its earlier one, which stays as it is.
    """

    def __init__(self, nodes: Iterable[Any]) -> None:
        self._found = [
            (node, scalars, scalars.GetMTime()) for node in _list_volumes(nodes) for scalars in _list_scalars(node)
        ]

    def find_changed(self) -> Any:
        """Return the first volume node whose voxels were changed since; None if all are as they were."""
        return next((node for node, scalars, time in self._found if scalars.GetMTime() != time), None)


def _list_volumes(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        if node.IsA("vtkMRMLSequenceNode"):
            yield from _list_volumes(node.GetNthDataNode(n) for n in range(node.GetNumberOfDataNodes()))
        elif node.IsA("vtkMRMLVolumeNode"):
            yield node


def _list_scalars(node: Any) -> list[Any]:
    image = node.GetImageData()
    scalars = None if image is None else image.GetPointData().GetScalars()
    return [] if scalars is None else [scalars]
