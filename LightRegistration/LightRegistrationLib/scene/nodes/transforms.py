"""Displacement fields as transform nodes, and back.

A DisplacementField maps a fixed point to its moving point. MRML stores this as the transform *from parent*: a moving
node under the transform node then appears in the space of the fixed node.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ...core.errors import InputError
from ...core.geometry.geometry import FloatArray, Geometry, homogeneous
from ...core.geometry.transforms import DisplacementField
from .matrices import numpy_matrix, vtk_matrix

FIXED_ROLE = "LightRegistration.Fixed"
MOVING_ROLE = "LightRegistration.Moving"
_ATTRIBUTE_PREFIX = "LightRegistration."


def transform_node_from_field(
    scene: Any,
    field: DisplacementField,
    name: str,
    fixed_node: Any = None,
    moving_node: Any = None,
    details: Mapping[str, str] | None = None,
) -> Any:
    """Add a vtkMRMLTransformNode that maps fixed points to moving points (RAS mm) as its transform from parent.

    name: made unique. fixed_node, moving_node: stored as node references. details: see `set_field`.
    """
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", scene.GenerateUniqueName(name))
    set_field(node, field, fixed_node, moving_node, details)
    return node


def set_field(
    node: Any,
    field: DisplacementField,
    fixed_node: Any = None,
    moving_node: Any = None,
    details: Mapping[str, str] | None = None,
) -> None:
    """Replace the transform of a transform node with the field; nodes under it are transformed anew.

    details: how the result was made (model, weights hash, settings, seconds), stored as node attributes
    `LightRegistration.<key>`; attributes of an earlier result are removed.
    """
    grid = grid_transform(field)
    modifying = node.StartModify()
    node.SetAndObserveTransformNodeID(None)
    node.SetAndObserveTransformFromParent(grid)
    for role, target in ((FIXED_ROLE, fixed_node), (MOVING_ROLE, moving_node)):
        node.SetNodeReferenceID(role, None if target is None else target.GetID())
    for attribute in list(node.GetAttributeNames()):
        if attribute.startswith(_ATTRIBUTE_PREFIX):
            node.RemoveAttribute(attribute)
    for key, value in (details or {}).items():
        node.SetAttribute(_ATTRIBUTE_PREFIX + key, value)
    node.EndModify(modifying)


def read_result_details(node: Any) -> dict[str, str]:
    """Return the details that `set_field` stored."""
    names = [name for name in node.GetAttributeNames() if name.startswith(_ATTRIBUTE_PREFIX)]
    return {name.removeprefix(_ATTRIBUTE_PREFIX): node.GetAttribute(name) for name in names}


def grid_transform(field: DisplacementField) -> Any:
    """Copy the field into a trilinear vtkOrientedGridTransform of type float (points and displacements in RAS mm)."""
    geometry = field.geometry
    image = vtk.vtkImageData()
    image.SetDimensions(*(int(n) for n in geometry.size_ijk))
    image.SetSpacing(*geometry.spacing_mm)
    image.SetOrigin(*geometry.affine[:3, 3])
    displacements = np.ascontiguousarray(field.array, dtype=np.float32).reshape(-1, 3)
    image.GetPointData().SetScalars(numpy_to_vtk(displacements, deep=True))
    grid = slicer.vtkOrientedGridTransform()
    grid.SetGridDirectionMatrix(vtk_matrix(homogeneous(geometry.affine[:3, :3] / geometry.spacing_mm, np.zeros(3))))
    grid.SetDisplacementGridData(image)
    grid.SetInterpolationModeToLinear()
    return grid


def field_from_transform_node(node: Any) -> DisplacementField:
    """Read a transform node back as a displacement field fixed -> moving, RAS mm, on the node's own grid.

    Reads nodes made here, nodes loaded from a file, and grids set as transform to parent (these are inverted on their
    grid, to 0.01 mm).
    Raises InputError for a transform that is not a single displacement grid, or that has a parent transform.
    """
    name = node.GetName()
    if node.GetParentTransformNode() is not None:
        raise InputError(f"{name} is under another transform: remove it from there, or harden it first.")
    from_parent = node.GetTransformFromParentAs("vtkOrientedGridTransform", False, True)
    grid = from_parent or node.GetTransformToParentAs("vtkOrientedGridTransform", False, True)
    if grid is None or grid.GetDisplacementGrid() is None:
        raise InputError(f"{name} is not a displacement field; choose a transform made by LightRegistration.")
    image = grid.GetDisplacementGrid()
    affine = _grid_affine(grid, image)
    shape = (*image.GetDimensions()[::-1], 3)
    if from_parent is None or from_parent.GetInverseFlag():
        return DisplacementField(_sample_displacements(node.GetTransformFromParent(), affine, shape), affine)
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
    values = values * grid.GetDisplacementScale() + grid.GetDisplacementShift()
    return DisplacementField(values.astype(np.float32), affine)


def use_linear_interpolation(node: Any) -> None:
    """Set trilinear interpolation, by which the field is defined, on a displacement field read from a file.

    Slicer's readers set cubic interpolation, which is slower and differs by hundredths of a millimeter.
    """
    for grid in (
        node.GetTransformFromParentAs("vtkOrientedGridTransform", False),
        node.GetTransformToParentAs("vtkOrientedGridTransform", False),
    ):
        if grid is not None:
            grid.SetInterpolationModeToLinear()
    node.TransformModified()


def _grid_affine(grid: Any, image: Any) -> FloatArray:
    directions = grid.GetGridDirectionMatrix()
    rotation = np.eye(3) if directions is None else numpy_matrix(directions)[:3, :3]
    axes = rotation * np.array(image.GetSpacing())
    first_index = np.array(image.GetExtent()[::2])
    return homogeneous(axes, np.array(image.GetOrigin()) + axes @ first_index)


def _sample_displacements(transform: Any, affine: FloatArray, shape: tuple[int, ...]) -> np.ndarray:
    points = Geometry(shape[:3], affine).points_mm.reshape(-1, 3)
    return np.asarray(transform_points(transform, points) - points, dtype=np.float32).reshape(shape)


def transform_points(transform: Any, points_mm: FloatArray) -> FloatArray:
    """Map points (n, 3), mm, with a vtkAbstractTransform."""
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for points in (source, target):
        points.SetDataTypeToDouble()
    source.SetData(numpy_to_vtk(np.ascontiguousarray(points_mm, dtype=np.float64), deep=True))
    transform.TransformPoints(source, target)
    return np.array(vtk_to_numpy(target.GetData()))
