"""Tells whether the voxels of volumes and segmentations were changed while they were still being read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .label_layers import BINARY_LABELMAP


class VoxelWatch:
    """The voxels of nodes as they are now. nodes: volumes, segmentations, sequences of volumes.

    An image that a volume gets in place of its own does not count: what is read is its earlier one, which stays as it
    is.
    """

    def __init__(self, nodes: Iterable[Any]) -> None:
        self._found = [(node, data, data.GetMTime()) for node in _list_nodes(nodes) for data in _list_voxels(node)]

    def find_changed(self) -> Any:
        """Return the first node whose voxels were changed since; None if all are as they were."""
        return next((node for node, data, time in self._found if data.GetMTime() != time), None)


def _list_nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        if node.IsA("vtkMRMLSequenceNode"):
            yield from _list_nodes(node.GetNthDataNode(n) for n in range(node.GetNumberOfDataNodes()))
        else:
            yield node


def _list_voxels(node: Any) -> list[Any]:
    """Return the VTK objects whose time changes with the voxels: of a volume its scalars, of a segmentation its layers.

    A layer is changed in its place, and of its scalars Slicer says nothing then.
    """
    if node.IsA("vtkMRMLSegmentationNode"):
        segmentation = node.GetSegmentation()
        count = 0 if segmentation is None else segmentation.GetNumberOfLayers(BINARY_LABELMAP)
        layers = [segmentation.GetLayerDataObject(number, BINARY_LABELMAP) for number in range(count)]
        return [layer for layer in layers if layer is not None]
    image = node.GetImageData() if node.IsA("vtkMRMLVolumeNode") else None
    scalars = None if image is None else image.GetPointData().GetScalars()
    return [] if scalars is None else [scalars]
