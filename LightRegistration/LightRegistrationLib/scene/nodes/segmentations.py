"""Segmentation nodes as typed segmentations in world coordinates, and back (warped segmentations too)."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.geometry.geometry import check_plausible
from ...core.geometry.volume import Segment, Segmentation
from .cropped_segmentation import CroppedSegmentation
from .label_layers import BINARY_LABELMAP, convert_surfaces_to_labels, read_layers_on_common_grid
from .matrices import parent_matrix, vtk_matrix
from .removal import empty_segments
from .volumes import image_array, image_data, world_affine

_LABEL_TYPES = (np.uint8, np.int16, np.int32)
"""Types of labels that Slicer's segmentations can store and edit."""
SegmentStyles = dict[str, Any]
"""Name, color and terminology of structures, as vtkSegments without voxels, by their name in lower case."""


def segmentation_from_node(node: Any) -> Segmentation:
    """Read a vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode in world coordinates.

    Linear parent transforms become part of the affine. Overlapping segments are in several layers. The grid is that of
    the labels, extended to the reference geometry if both have the same voxels. Layers may share the node's memory,
    read-only. A segmentation stored as surfaces is converted on a copy. The node is not changed.
    Raises InputError for an empty segmentation, for voxels of an impossible size or place, and under a nonlinear
    transform.
    """
    return cropped_segmentation_from_node(node).complete()


def cropped_segmentation_from_node(node: Any) -> CroppedSegmentation:
    """Do the part of `segmentation_from_node` that takes no time, however large the segmentation is.

    Layers share the node's memory. Takes time only for a segmentation that is stored as surfaces, or on several grids.
    Raises InputError as `segmentation_from_node` does, but for a label map's labels, which are not looked at.
    """
    name = node.GetName() or "segmentation"
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        labels = image_array(node)
        return CroppedSegmentation((labels,), ((0, 0, 0),), labels.shape, world_affine(node), None, name)
    segmentation = node.GetSegmentation()
    if segmentation is None or segmentation.GetNumberOfSegments() == 0:
        raise InputError(f"{name}: the segmentation is empty; segment at least one structure.")
    if not segmentation.ContainsRepresentation(BINARY_LABELMAP):
        segmentation = convert_surfaces_to_labels(segmentation)
    found = read_layers_on_common_grid(segmentation)
    if found is None:
        raise InputError(f"{name}: no segment contains a voxel; segment at least one structure.")
    segments, bare_names = [], []
    for segment_id in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segment_id)
        layer = found.positions.get(segmentation.GetLayerIndex(segment_id, BINARY_LABELMAP))
        if layer is None:
            bare_names.append(segment.GetName())
        else:
            segments.append(Segment(segment.GetName(), segment.GetLabelValue(), layer))
    affine = parent_matrix(node) @ found.affine
    result = CroppedSegmentation(
        found.arrays, found.starts, found.shape, affine, tuple(segments), name, tuple(bare_names)
    )
    check_plausible(result.geometry, name)
    return result


def segment_names(node: Any) -> list[str]:
    """Return the segment names of a segmentation node, in order; a label map node has none."""
    if not node.IsA("vtkMRMLSegmentationNode"):
        return []
    segmentation = node.GetSegmentation()
    return [segmentation.GetSegment(segment_id).GetName() for segment_id in segmentation.GetSegmentIDs()]


def read_styles(node: Any) -> SegmentStyles:
    """Return the styles of the segments of a segmentation node; they stay when the node is removed."""
    segmentation = node.GetSegmentation()
    styles: SegmentStyles = {}
    for segment_id in segmentation.GetSegmentIDs():
        style = slicer.vtkSegment()
        style.DeepCopyMetadata(segmentation.GetSegment(segment_id))
        styles.setdefault(style.GetName().casefold(), style)
    return styles


def segmentation_node_in_style(scene: Any, segmentation: Segmentation, name: str, styles: SegmentStyles) -> Any:
    """Do `segmentation_node_from_segmentation`, with the styles of the segments that have one; returns the node."""
    legend = slicer.vtkMRMLSegmentationNode()
    for segment in segmentation.segments:
        style = styles.get(segment.name.casefold())
        if style is not None:
            style.SetName(segment.name)
            style.SetLabelValue(segment.value)
            legend.GetSegmentation().AddSegment(style)
    return segmentation_node_from_segmentation(scene, segmentation, name, legend)


def segmentation_node_from_segmentation(scene: Any, segmentation: Segmentation, name: str, like: Any = None) -> Any:
    """Add a vtkMRMLSegmentationNode that holds a copy of the segmentation, without a parent transform.

    name: made unique. like: the segmentation node that the segments come from; names, colors, tags (terminology), and
    segment IDs are taken from it. The grid of the segmentation becomes the reference geometry. Label values are kept.
    """
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    set_segmentation(node, segmentation, like)
    return node


def set_segmentation(node: Any, segmentation: Segmentation, like: Any = None, *, shared: bool = False) -> None:
    """Replace all segments of an existing segmentation node; its parent transform is removed.

    shared: see `image_data`; labels of a type that Slicer can store keep it, as to find the smallest one takes time.
    """
    images = [_make_oriented_image(layer, segmentation, shared) for layer in segmentation.layers]
    sources = _find_source_segments(segmentation, like)
    modifying = node.StartModify()
    node.SetAndObserveTransformNodeID(None)
    target = node.GetSegmentation()
    empty_segments(node)
    target.RemoveAllSegments()
    target.SetSourceRepresentationName(BINARY_LABELMAP)
    for index, (segment, (source_id, source)) in enumerate(zip(segmentation.segments, sources, strict=True)):
        vtk_segment = slicer.vtkSegment()
        if source is None:
            vtk_segment.SetColor(*_make_distinct_color(index))
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


def _make_oriented_image(layer: NDArray, segmentation: Segmentation, shared: bool) -> Any:
    image = slicer.vtkOrientedImageData()
    keeps_type = shared and layer.dtype in _LABEL_TYPES
    labels = layer if keeps_type else layer.astype(_choose_label_type(layer), copy=not shared)
    image.ShallowCopy(image_data(labels, shared=True))
    image.SetImageToWorldMatrix(vtk_matrix(segmentation.affine))
    return image


def _choose_label_type(labels: NDArray) -> type[np.generic]:
    """Return the smallest integer type that Slicer's segmentations can store and edit."""
    if labels.dtype == np.uint8:
        return np.uint8
    low, high = (int(labels.min()), int(labels.max())) if labels.dtype.kind != "b" else (0, 1)
    for candidate in _LABEL_TYPES:
        if np.iinfo(candidate).min <= low and high <= np.iinfo(candidate).max:
            return candidate
    raise InputError(f"Label values up to {high} do not fit into a segmentation; use values below 2147483648.")


def _find_source_segments(segmentation: Segmentation, like: Any) -> Iterator[tuple[str | None, Any]]:
    """Yield for each segment the (ID, vtkSegment) of `like` with its name and value, or (None, None); none twice."""
    unused: dict[str, Any] = {}
    if like is not None and like.IsA("vtkMRMLSegmentationNode"):
        source = like.GetSegmentation()
        unused = {segment_id: source.GetSegment(segment_id) for segment_id in source.GetSegmentIDs()}
    for segment in segmentation.segments:
        for segment_id, candidate in unused.items():
            if (candidate.GetName(), candidate.GetLabelValue()) == (segment.name, segment.value):
                yield segment_id, unused.pop(segment_id)
                break
        else:
            yield None, None


def _make_distinct_color(index: int) -> tuple[float, float, float]:
    """Return a color; the hues are a golden angle apart, so that neighbors in a list of any length differ."""
    return colorsys.hsv_to_rgb((index * 0.61803398875 + 0.02) % 1.0, 0.75 if index % 2 else 0.55, 0.95)


def merge_layers(segmentation: Segmentation) -> Segmentation:
    """Merge the layers into one label map, for a label image file; where structures overlap, the later one wins.

    A structure keeps its value unless an earlier structure of another layer has it; then it gets the next free value.
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
