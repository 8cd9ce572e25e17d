"""Point lists of the user as arrays, and the landmarks of a registration mapped by its transform."""

from __future__ import annotations

from typing import Any

import numpy as np
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform

from ...core.errors import InputError
from ...core.geometry.geometry import FloatArray
from .transforms import transform_points


def read_points_mm(node: Any) -> FloatArray:
    """Return the placed points of a markups node, (n, 3), in the world, RAS mm; a point in placement is left out."""
    points, position = [], [0.0, 0.0, 0.0]
    for number in range(node.GetNumberOfControlPoints()):
        if node.GetNthControlPointPositionStatus(number) == node.PositionDefined:
            node.GetNthControlPointPositionWorld(number, position)
            points.append(tuple(position))
    return np.array(points, dtype=np.float64).reshape(-1, 3)


def list_point_labels(node: Any) -> list[str]:
    """Return the labels of the placed points, in the order of `read_points_mm`."""
    numbers = range(node.GetNumberOfControlPoints())
    placed = [n for n in numbers if node.GetNthControlPointPositionStatus(n) == node.PositionDefined]
    return [node.GetNthControlPointLabel(n) for n in placed]


def map_to_moving(transform: Any, points_mm: FloatArray) -> FloatArray:
    """Map points of the world (n, 3), RAS mm, to where they come from in the moving volume as it was registered."""
    mapping = vtkGeneralTransform()
    transform.GetTransformFromWorld(mapping)
    return transform_points(mapping, points_mm)


def map_to_fixed(transform: Any, points_mm: FloatArray) -> FloatArray:
    """Map points of the moving volume as it was registered (n, 3), RAS mm, to where the result shows them."""
    mapping = vtkGeneralTransform()
    transform.GetTransformToWorld(mapping)
    return transform_points(mapping, points_mm)


def is_under(node: Any, transform: Any) -> bool:
    """Whether a transform is among the parent transforms of a node."""
    parent = node.GetParentTransformNode()
    while parent is not None and parent is not transform:
        parent = parent.GetParentTransformNode()
    return parent is transform


def read_landmarks_mm(transform: Any, fixed: Any, moving: Any) -> tuple[FloatArray, FloatArray]:
    """Return the fixed and the moving landmarks (n, 3) of a registration as they were placed, RAS mm.

    transform: of the result. A moving point list that is under it is taken as it is without it. Raises InputError for
    one and the same list, and for unequal numbers of points.
    """
    if fixed is moving:
        raise InputError(f"{fixed.GetName()} is chosen for both volumes: choose a point list of each volume.")
    points, counterparts = read_points_mm(fixed), read_points_mm(moving)
    if len(points) != len(counterparts):
        raise InputError(
            f"{fixed.GetName()} has {len(points)} points and {moving.GetName()} has {len(counterparts)}: "
            "place the same number, in the same order."
        )
    return points, map_to_moving(transform, counterparts) if is_under(moving, transform) else counterparts
