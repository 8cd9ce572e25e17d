"""What a registration is at one point of the fixed volume: displacement, Jacobian determinant, voxels, structures.

Reads single voxels, so that it can follow the cursor; nothing is copied or resampled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, MutableSequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform

from .label_layers import BINARY_LABELMAP
from .landmarks import is_under
from .results import RegistrationNodes

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Probe:
    """The registration at one point; positions and displacements are R, A, S in mm.

    displacement_mm: from the point to where it comes from in the moving volume. jacobian: determinant of that map, 1
    where no volume changes, 0 or less where it folds. fixed, moving, warped: voxel values, None outside of a volume;
    moving: where the point comes from. fixed_structures, moving_structures: names, in the same places.
    """

    position_mm: Point
    displacement_mm: Point
    jacobian: float
    fixed: float | None
    moving: float | None
    warped: float | None
    fixed_structures: tuple[str, ...]
    moving_structures: tuple[str, ...]

    @property
    def distance_mm(self) -> float:
        """The length of the displacement."""
        return math.hypot(*self.displacement_mm)


def probe_registration(nodes: RegistrationNodes, position_mm: Point) -> Probe:
    """Read the registration at a point of the world, RAS mm."""
    mapping = vtkGeneralTransform()
    nodes.transform.GetTransformFromWorld(mapping)
    mapping.Update()
    source = [0.0, 0.0, 0.0]
    derivative: list[MutableSequence[float]] = [[0.0] * 3 for _ in range(3)]
    mapping.InternalTransformDerivative(position_mm, source, derivative)
    source_mm = (source[0], source[1], source[2])
    displacement = (source[0] - position_mm[0], source[1] - position_mm[1], source[2] - position_mm[2])

    def find_place(node: Any) -> Point:
        """A moving node that is under the transform lies in the fixed space already."""
        return position_mm if is_under(node, nodes.transform) else source_mm

    moving_segmentation = nodes.moving_segmentation
    return Probe(
        position_mm=position_mm,
        displacement_mm=displacement,
        jacobian=float(np.linalg.det(derivative)),
        fixed=read_voxel(nodes.fixed, position_mm),
        moving=read_voxel(nodes.moving, find_place(nodes.moving)),
        warped=read_voxel(nodes.warped, position_mm),
        fixed_structures=_list_structures(nodes.fixed_segmentation, position_mm),
        moving_structures=()
        if moving_segmentation is None
        else _list_structures(moving_segmentation, find_place(moving_segmentation)),
    )


def read_voxel(node: Any, position_mm: Point) -> float | None:
    """Read the voxel of a volume node at a point of the world, RAS mm; None outside, and without an image."""
    image = node.GetImageData()
    if image is None:
        return None
    matrix = vtkMatrix4x4()
    node.GetRASToIJKMatrix(matrix)
    return _read_image(image, matrix, _to_local(node, position_mm))


def _list_structures(node: Any, position_mm: Point) -> tuple[str, ...]:
    """Return the names of the segments at a point of the world; of a label map, its values."""
    if node is None:
        return ()
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        value = read_voxel(node, position_mm)
        return (f"{value:g}",) if value else ()
    return tuple(_iterate_segments(node.GetSegmentation(), _to_local(node, position_mm)))


def _iterate_segments(segmentation: Any, local_mm: Point) -> Iterator[str]:
    for number in range(segmentation.GetNumberOfLayers(BINARY_LABELMAP)):
        image = segmentation.GetLayerDataObject(number, BINARY_LABELMAP)
        matrix = vtkMatrix4x4()
        image.GetWorldToImageMatrix(matrix)
        value = _read_image(image, matrix, local_mm)
        if not value:
            continue
        for segment_id in segmentation.GetSegmentIDsForLayer(number, BINARY_LABELMAP):
            segment = segmentation.GetSegment(segment_id)
            if segment.GetLabelValue() == value:
                yield segment.GetName()


def _to_local(node: Any, position_mm: Point) -> Point:
    local = [0.0, 0.0, 0.0]
    node.TransformPointFromWorld(position_mm, local)
    return local[0], local[1], local[2]


def _read_image(image: Any, to_voxels: vtkMatrix4x4, local_mm: Point) -> float | None:
    """Read the voxel nearest to a point in the coordinates of a node; to_voxels: 4x4, mm -> (i, j, k)."""
    continuous = to_voxels.MultiplyPoint((*local_mm, 1.0))
    i, j, k = (math.floor(value + 0.5) for value in continuous[:3])
    extent = image.GetExtent()
    if not (extent[0] <= i <= extent[1] and extent[2] <= j <= extent[3] and extent[4] <= k <= extent[5]):
        return None
    return float(image.GetScalarComponentAsDouble(i, j, k, 0))
