"""Segmentations whose voxels and surfaces are shared with other segmentations, not copied."""

from __future__ import annotations

from typing import Any

import slicer

from .label_layers import BINARY_LABELMAP

CLOSED_SURFACE = "Closed surface"


def share_segments(source: Any, target: Any) -> None:
    """Fill a vtkSegmentation with the segments of another one; voxels and surfaces are shared, not copied."""
    copies: dict[str, Any] = {}  # by address: vtkPolyData cannot be a key
    target.SetSourceRepresentationName(source.GetSourceRepresentationName())
    for segment_id in source.GetSegmentIDs():
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
