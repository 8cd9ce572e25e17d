"""Read the label layers of a vtkSegmentation, each cropped to its content, on one common voxel grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkStringArray
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from ...core.errors import InputError
from ...core.geometry.geometry import FloatArray, homogeneous
from .cropped_segmentation import Index
from .matrices import numpy_matrix, vtk_matrix

BINARY_LABELMAP = "Binary labelmap"
MAX_REFERENCE_VOXELS = 1 << 31
"""Larger reference geometries are refused, since arrays of that size are made. Chosen: more than 1200 voxels a side."""
_MAX_SHIFT = 1 << 31
_Box = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class GridLayers:
    """Label layers on one voxel grid, each cropped to its content.

    positions: of each filled layer, by its index in the segmentation, its place in `arrays`. arrays: (k, j, i), views
    of the voxels of the segmentation. starts: index (k, j, i) of the first voxel of each in the grid. shape: of the
    grid, (k, j, i). affine: (i, j, k, 1) -> mm of the segmentation node.
    """

    positions: dict[int, int]
    arrays: tuple[NDArray, ...]
    starts: tuple[Index, ...]
    shape: Index
    affine: FloatArray


def read_layers_on_common_grid(segmentation: Any) -> GridLayers | None:
    """Read all non-empty layers from a vtkSegmentation with binary labelmaps, None without one; it is not changed.

    The grid of layers with the same voxels is the union of their extents and of the reference geometry; no voxel is
    copied. Only layers on different grids are resampled (nearest neighbor).
    """
    numbers, images = _find_filled_layers(segmentation)
    if not images:
        return None
    reference = _read_reference_geometry(segmentation)
    base = _read_affine(images[0])
    if not np.isfinite(base).all() or np.linalg.det(base) == 0:
        raise InputError("the axes of the segmentation are damaged; repair its geometry.")
    if any(_find_whole_voxel_shift(base, _read_affine(image)) is None for image in images[1:]):
        images = _resample(segmentation, images)
        base = _read_affine(images[0])
    boxes = [_find_box(image, base) for image in images]
    grid_boxes = list(boxes)
    if reference is not None and _find_whole_voxel_shift(base, _read_affine(reference)) is not None:
        grid_boxes.append(_find_box(reference, base))
    lower = np.min([low for low, _ in grid_boxes], axis=0)
    upper = np.max([high for _, high in grid_boxes], axis=0)
    if math.prod(int(n) for n in upper - lower + 1) > MAX_REFERENCE_VOXELS:
        raise InputError("the parts of the segmentation lie too far apart; export it again from Slicer.")
    return GridLayers(
        {number: place for place, number in enumerate(numbers)},
        tuple(_read_voxels(image) for image in images),
        tuple(_to_index(low - lower) for low, _ in boxes),
        _to_index(upper - lower + 1),
        base @ homogeneous(np.eye(3), lower),
    )


def _to_index(along_ijk: NDArray[np.int64]) -> Index:
    i, j, k = (int(n) for n in along_ijk)
    return k, j, i


def _read_voxels(image: Any) -> NDArray:
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def convert_surfaces_to_labels(segmentation: Any) -> Any:
    """Return a copy of a vtkSegmentation of surfaces, with binary labelmaps on its reference geometry.

    Without a reference geometry, a grid is made that fits the surfaces. Raises InputError if Slicer cannot convert it.
    """
    copy = slicer.vtkSegmentation()
    copy.DeepCopy(segmentation)
    converter = slicer.vtkSegmentationConverter
    parameter = converter.GetReferenceImageGeometryParameterName()
    if not copy.GetConversionParameter(parameter):
        copy.SetConversionParameter(parameter, converter.SerializeImageGeometry(_make_fitting_geometry(copy)))
    if not copy.CreateRepresentation(BINARY_LABELMAP):
        raise InputError("the segmentation cannot be converted to labels; create its binary labelmap in Slicer first.")
    return copy


def _make_fitting_geometry(segmentation: Any) -> Any:
    """Return a grid of cubic voxels around all segments, 200 voxels along the longest side."""
    bounds = [0.0] * 6
    segmentation.GetBounds(bounds)
    low, high = np.array(bounds[::2]), np.array(bounds[1::2])
    spacing = max((high - low).max() / 200, 1e-3)
    image = slicer.vtkOrientedImageData()
    image.SetImageToWorldMatrix(vtk_matrix(homogeneous(np.eye(3) * spacing, low - 2 * spacing)))
    size = np.ceil((high - low) / spacing).astype(int) + 5
    image.SetExtent(0, int(size[0]), 0, int(size[1]), 0, int(size[2]))
    return image


def _find_filled_layers(segmentation: Any) -> tuple[list[int], list[Any]]:
    numbers, images = [], []
    for number in range(segmentation.GetNumberOfLayers(BINARY_LABELMAP)):
        image = segmentation.GetLayerDataObject(number, BINARY_LABELMAP)
        if image is not None and not image.IsEmpty() and image.GetPointData().GetScalars() is not None:
            numbers.append(number)
            images.append(image)
    return numbers, images


def _read_reference_geometry(segmentation: Any) -> Any:
    """Return the reference geometry, None without one. Raises InputError for one that is damaged."""
    converter = slicer.vtkSegmentationConverter
    text = segmentation.GetConversionParameter(converter.GetReferenceImageGeometryParameterName())
    if not text:
        return None
    image = slicer.vtkOrientedImageData()
    is_read = converter.DeserializeImageGeometry(text, image, False)
    affine = _read_affine(image)
    if not is_read or not np.isfinite(affine).all() or np.linalg.det(affine) == 0:
        raise InputError("the reference geometry of the segmentation is damaged; export it again from Slicer.")
    extent = [int(bound) for bound in image.GetExtent()]
    sizes = [high - low + 1 for low, high in zip(extent[::2], extent[1::2], strict=True)]
    if min(sizes) < 1:
        return None
    if math.prod(sizes) > MAX_REFERENCE_VOXELS:
        raise InputError("the reference geometry of the segmentation is too large; export it again from Slicer.")
    return image


def _read_affine(image: Any) -> FloatArray:
    matrix = vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return numpy_matrix(matrix)


def _find_whole_voxel_shift(base: FloatArray, other: FloatArray) -> NDArray[np.int64] | None:
    """Return the shift (i, j, k) between two affines with the same voxels; None if the voxels differ."""
    relative = np.linalg.inv(base) @ other
    shift = np.round(relative[:3, 3])
    if not np.abs(shift).max() < _MAX_SHIFT:
        return None
    same = np.abs(relative[:3, :3] - np.eye(3)).max() < 1e-6 and np.abs(relative[:3, 3] - shift).max() < 1e-3
    return shift.astype(np.int64) if same else None


def _find_box(image: Any, base: FloatArray) -> _Box:
    """Return the first and last voxel (i, j, k) of the image's extent, in indices of the base grid."""
    shift = np.round(np.linalg.inv(base) @ _read_affine(image)[:, 3])[:3].astype(np.int64)
    extent = np.array(image.GetExtent(), dtype=np.int64)
    return extent[::2] + shift, extent[1::2] + shift


def _resample(segmentation: Any, images: list[Any]) -> list[Any]:
    ids = vtkStringArray()
    for segment_id in segmentation.GetSegmentIDs():
        ids.InsertNextValue(segment_id)
    text = segmentation.DetermineCommonLabelmapGeometry(slicer.vtkSegmentation.EXTENT_UNION_OF_SEGMENTS_PADDED, ids)
    geometry = slicer.vtkOrientedImageData()
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, geometry, False)
    results = []
    for image in images:
        result = slicer.vtkOrientedImageData()
        slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(image, geometry, result)
        results.append(result)
    return results
