"""Segmentation nodes <-> typed segmentations in world coordinates."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.geometry.volume import Segment, Segmentation
from .label_layers import BINARY_LABELMAP, convert_surfaces_to_labels, read_layers_on_common_grid
from .matrices import parent_matrix, vtk_matrix
from .volumes import image_array, image_data, world_affine


def segmentation_from_node(node: Any) -> Segmentation:
    """Read a vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode as it lies in the world.

    Linear parent transforms are folded into the affine. Overlapping segments come in several layers; the grid is that
    of the labels, grown to the reference geometry where that has the same voxels. A segmentation that is kept as
    surfaces is converted on a copy. The node is not touched.
    Raises InputError for an empty segmentation and under a non-linear transform.
    """
    name = node.GetName() or "segmentation"
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        return _from_label_map(node, name)
    segmentation = node.GetSegmentation()
    if segmentation is None or segmentation.GetNumberOfSegments() == 0:
        raise InputError(f"{name}: the segmentation is empty; segment at least one structure.")
    if not segmentation.ContainsRepresentation(BINARY_LABELMAP):
        segmentation = convert_surfaces_to_labels(segmentation)
    indices, arrays, affine = read_layers_on_common_grid(segmentation)
    if not arrays:
        raise InputError(f"{name}: no segment has a voxel; segment at least one structure.")
    segments = []
    for segment_id in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segment_id)
        layer = indices.get(segmentation.GetLayerIndex(segment_id, BINARY_LABELMAP))
        if layer is not None:
            segments.append(Segment(segment.GetName(), segment.GetLabelValue(), layer))
    return Segmentation(tuple(arrays), parent_matrix(node) @ affine, tuple(segments), name)


def segment_names(node: Any) -> list[str]:
    """The names of a segmentation node's segments, in order; of a label map node, whose values have no names: none."""
    if not node.IsA("vtkMRMLSegmentationNode"):
        return []
    segmentation = node.GetSegmentation()
    return [segmentation.GetSegment(segment_id).GetName() for segment_id in segmentation.GetSegmentIDs()]


def _from_label_map(node: Any, name: str) -> Segmentation:
    segmentation = Segmentation.from_labels(image_array(node), world_affine(node), name)
    if not segmentation.segments:
        raise InputError(f"{name}: the label map is empty; it holds no label other than 0.")
    return segmentation


def segmentation_node_from_segmentation(scene: Any, segmentation: Segmentation, name: str, like: Any = None) -> Any:
    """Add a vtkMRMLSegmentationNode that holds a copy of the segmentation, without a parent transform.

    name: made unique. like: the segmentation node that the segments came from; names, colors, tags (terminology)
    and segment IDs are taken from it. Its grid becomes the reference geometry. Label values stay as they are.
    """
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    set_segmentation(node, segmentation, like)
    return node


def set_segmentation(node: Any, segmentation: Segmentation, like: Any = None) -> None:
    """Replace all segments of an existing segmentation node; it leaves its parent transform."""
    images = [_oriented_image(layer, segmentation) for layer in segmentation.layers]
    sources = _matching_segments(segmentation, like)
    modifying = node.StartModify()
    node.SetAndObserveTransformNodeID(None)
    target = node.GetSegmentation()
    target.RemoveAllSegments()
    target.SetSourceRepresentationName(BINARY_LABELMAP)
    for index, (segment, (source_id, source)) in enumerate(zip(segmentation.segments, sources, strict=True)):
        vtk_segment = slicer.vtkSegment()
        if source is None:
            vtk_segment.SetColor(*_distinct_color(index))
        else:
            vtk_segment.DeepCopyMetadata(source)
        vtk_segment.SetName(segment.name)
        vtk_segment.SetLabelValue(segment.value)
        vtk_segment.AddRepresentation(BINARY_LABELMAP, images[segment.layer])
        target.AddSegment(vtk_segment, source_id or target.GenerateUniqueSegmentID(segment.name))
    converter = slicer.vtkSegmentationConverter
    target.SetConversionParameter(
        converter.GetReferenceImageGeometryParameterName(), converter.SerializeImageGeometry(images[0])
    )
    node.EndModify(modifying)
    node.CreateDefaultDisplayNodes()


def _oriented_image(layer: NDArray, segmentation: Segmentation) -> Any:
    image = slicer.vtkOrientedImageData()
    image.ShallowCopy(image_data(layer.astype(_label_type(layer))))
    image.SetImageToWorldMatrix(vtk_matrix(segmentation.affine))
    return image


def _label_type(labels: NDArray) -> type[np.generic]:
    """The smallest label type that Slicer's segmentations keep and edit."""
    low, high = (int(labels.min()), int(labels.max())) if labels.dtype.kind != "b" else (0, 1)
    for candidate in (np.uint8, np.int16, np.int32):
        if np.iinfo(candidate).min <= low and high <= np.iinfo(candidate).max:
            return candidate
    raise InputError(f"Label values up to {high} do not fit into a segmentation; use values below 2147483648.")


def _matching_segments(segmentation: Segmentation, like: Any) -> Iterator[tuple[str | None, Any]]:
    """For each segment (ID, vtkSegment) of `like` with its name and value, each used once; (None, None) if none."""
    free: dict[str, Any] = {}
    if like is not None and like.IsA("vtkMRMLSegmentationNode"):
        source = like.GetSegmentation()
        free = {segment_id: source.GetSegment(segment_id) for segment_id in source.GetSegmentIDs()}
    for segment in segmentation.segments:
        for segment_id, candidate in free.items():
            if (candidate.GetName(), candidate.GetLabelValue()) == (segment.name, segment.value):
                yield segment_id, free.pop(segment_id)
                break
        else:
            yield None, None


def _distinct_color(index: int) -> tuple[float, float, float]:
    """Hues a golden angle apart, so that any number of neighbors in the list differ."""
    return colorsys.hsv_to_rgb((index * 0.61803398875 + 0.02) % 1.0, 0.75 if index % 2 else 0.55, 0.95)


def merge_layers(segmentation: Segmentation) -> Segmentation:
    """Merge the layers into one label map, as a label image file needs it; where structures overlap the later wins.

    A structure keeps its value unless an earlier one in another layer has it; then it gets the next free value.
    """
    if len(segmentation.layers) == 1:
        return segmentation
    labels = np.zeros(segmentation.layers[0].shape, dtype=np.int32)
    taken: set[int] = set()
    merged = []
    for segment in segmentation.segments:
        value = segment.value
        while value in taken:
            value = max(taken | {s.value for s in segmentation.segments}) + 1
        taken.add(value)
        labels[segmentation.mask(segment)] = value
        merged.append(Segment(segment.name, value))
    return Segmentation((labels,), segmentation.affine, tuple(merged), segmentation.name)
