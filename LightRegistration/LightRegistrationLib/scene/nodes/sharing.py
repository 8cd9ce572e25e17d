"""Segmentations whose voxels and surfaces are shared with other segmentations, not copied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from .label_layers import BINARY_LABELMAP

CLOSED_SURFACE = "Closed surface"


def list_segment_ids(node: Any) -> list[str]:
    """Return the IDs of the segments of a segmentation node, in order; a label map node has none."""
    return list(node.GetSegmentation().GetSegmentIDs()) if node.IsA("vtkMRMLSegmentationNode") else []


def share_segments(source: Any, target: Any, segment_ids: Sequence[str] | None = None) -> None:
    """Fill a vtkSegmentation with segments of another one; voxels and surfaces are shared, not copied.

    segment_ids: of the segments; None for all.
    """
    copies: dict[str, Any] = {}  # by address: vtkPolyData cannot be a key
    target.SetSourceRepresentationName(source.GetSourceRepresentationName())
    for segment_id in source.GetSegmentIDs() if segment_ids is None else segment_ids:
        segment, copy = source.GetSegment(segment_id), slicer.vtkSegment()
        copy.DeepCopyMetadata(segment)
        for representation in (BINARY_LABELMAP, CLOSED_SURFACE):
            data = segment.GetRepresentation(representation)
            if data is None:
                continue
            address = data.GetAddressAsString("")
            if address not in copies:
                copies[address] = data.NewInstance()
                copies[address].ShallowCopy(data)
            copy.AddRepresentation(representation, copies[address])
        target.AddSegment(copy, segment_id)
