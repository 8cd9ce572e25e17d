"""Displacement fields as transform nodes, and back.

A DisplacementField maps a fixed point to its moving point. MRML stores this as the transform *from parent*: a moving
node under the transform node then appears in the space of the fixed node.

A field with a transform outside its grid is stored as a composite: first a displacement grid that is zero at its
border, then that transform. Slicer, SimpleITK and ANTs agree on it everywhere; outside a single grid they do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform, vtkTransform

from ...core.errors import InputError
from ...core.geometry.geometry import FloatArray, Geometry, homogeneous
from ...core.geometry.transforms import AffineTransform, DisplacementField
from .matrices import numpy_matrix, vtk_matrix
from .volumes import data_array

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
    *,
    shared: bool = False,
) -> None:
    """Replace the transform of a transform node with the field; nodes under it are transformed anew.

    shared: see `transform_from_field`.
    details: how the result was made (model, weights hash, settings, seconds), stored as node attributes
    `LightRegistration.<key>`; attributes of an earlier result are removed.
    """
    transform = transform_from_field(field, shared=shared)
    modifying = node.StartModify()
    node.SetAndObserveTransformNodeID(None)
    node.SetAndObserveTransformFromParent(transform)
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


def transform_from_field(field: DisplacementField, *, shared: bool = False) -> Any:
    """Copy the field into a vtkAbstractTransform, RAS mm.

    shared: use the memory of its displacements in place of a copy. It must then be memory that nobody else uses later.
    A vtkOrientedGridTransform; with a transform outside the grid, a vtkGeneralTransform of the grid of the residual
    displacements and of that transform, applied in this order.
    """
    if field.outside is None:
        return _make_grid_transform(field.array, field.geometry, shared)
    linear = vtkTransform()
    linear.SetMatrix(vtk_matrix(field.outside.matrix))
    composite = vtkGeneralTransform()
    composite.PostMultiply()
    composite.Concatenate(_make_grid_transform(field.compute_residual(), field.geometry, shared))
    composite.Concatenate(linear)
    return composite


def _make_grid_transform(array: FloatArray, geometry: Geometry, shared: bool) -> Any:
    """Put displacements (k, j, i, 3) into a trilinear vtkOrientedGridTransform of type float."""
    image = vtkImageData()
    image.SetDimensions(*(int(n) for n in geometry.size_ijk))
    image.SetSpacing(*geometry.spacing_mm)
    image.SetOrigin(*geometry.affine[:3, 3])
    displacements = np.ascontiguousarray(array, dtype=np.float32).reshape(-1, 3)
    image.GetPointData().SetScalars(data_array(displacements, shared=shared))
    grid = slicer.vtkOrientedGridTransform()
    grid.SetGridDirectionMatrix(vtk_matrix(homogeneous(geometry.affine[:3, :3] / geometry.spacing_mm, np.zeros(3))))
    grid.SetDisplacementGridData(image)
    grid.SetInterpolationModeToLinear()
    return grid


def field_from_transform_node(node: Any) -> DisplacementField:
    """Read a transform node back as a displacement field fixed -> moving, RAS mm, on the node's own grid.

    Reads nodes made here, nodes loaded from a file, and both set as transform to parent (these are inverted to 0.01 mm,
    single grids on the same grid).
    Raises InputError for a transform that is not a single displacement grid, alone or followed by a linear transform
    that it falls to at its border, and for one that has a parent transform.
    """
    name = node.GetName()
    if node.GetParentTransformNode() is not None:
        raise InputError(f"{name} is under another transform: remove it from there, or harden it first.")
    match _list_parts(node.GetTransformFromParent()):
        case [_Grid() as grid]:
            if grid.is_inverse:
                sampled = _sample_displacements(node.GetTransformFromParent(), grid.geometry)
                return DisplacementField(sampled, grid.affine)
            return DisplacementField(grid.read_displacements().astype(np.float32), grid.affine)
        case [_Grid(is_inverse=False) as grid, AffineTransform() as outside]:
            return _compose(name, grid, outside)
        case [AffineTransform() as inverse, _Grid(is_inverse=True) as grid]:
            forward = _compose(name, grid, inverse.inverse())
            target = forward.compute_inverse_grid()
            return DisplacementField(
                _sample_displacements(node.GetTransformFromParent(), target), target.affine, inverse
            )
    raise InputError(f"{name} is not a displacement field; choose a transform made by LightRegistration.")


def find_grid(node: Any) -> Geometry | None:
    """Return the displacement grid that a node's transform from parent begins with; None if it begins otherwise."""
    match _list_parts(node.GetTransformFromParent()):
        case [_Grid(is_inverse=False) as grid, *_]:
            return grid.geometry
    return None


def affine_from_transform_node(node: Any, name: str) -> AffineTransform:
    """Return a linear transform node as fixed -> moving, RAS mm: it moves what is under it onto the fixed volume.

    Linear parent transforms become part of it.
    """
    from_world = vtkGeneralTransform()
    node.GetTransformFromWorld(from_world)
    # MRML has no matrix for a composite of linear transforms: it follows from where the unit points are mapped.
    points = transform_points(from_world, np.vstack([np.zeros(3), np.eye(3)]))
    return AffineTransform(homogeneous((points[1:] - points[0]).T, points[0]), name)


@dataclass(frozen=True, eq=False)
class _Grid:
    """A displacement grid of a node's transform. is_inverse: the transform is its inverse."""

    transform: Any
    is_inverse: bool

    @property
    def affine(self) -> FloatArray:
        """4x4, (i, j, k, 1) -> RAS mm."""
        image = self.transform.GetDisplacementGrid()
        directions = self.transform.GetGridDirectionMatrix()
        rotation = np.eye(3) if directions is None else numpy_matrix(directions)[:3, :3]
        axes = rotation * np.array(image.GetSpacing())
        first_index = np.array(image.GetExtent()[::2])
        return homogeneous(axes, np.array(image.GetOrigin()) + axes @ first_index)

    @property
    def geometry(self) -> Geometry:
        """The grid."""
        return Geometry(self.transform.GetDisplacementGrid().GetDimensions()[::-1], self.affine)

    def read_displacements(self) -> FloatArray:
        """Read the displacements (k, j, i, 3), RAS mm, of the grid itself, not of its inverse."""
        values = vtk_to_numpy(self.transform.GetDisplacementGrid().GetPointData().GetScalars())
        scaled = values * self.transform.GetDisplacementScale() + self.transform.GetDisplacementShift()
        return np.asarray(scaled).reshape(*self.geometry.shape, 3)


def _list_parts(transform: Any) -> list[_Grid | AffineTransform | None]:
    """List the parts of a transform in the order in which they are applied; None for a part of another kind."""
    parts: list[_Grid | AffineTransform | None] = []
    for part in _flatten(transform):
        if part.IsA("vtkOrientedGridTransform") and part.GetDisplacementGrid() is not None:
            parts.append(_Grid(part, bool(part.GetInverseFlag())))
        elif part.IsA("vtkHomogeneousTransform"):
            parts.append(AffineTransform(numpy_matrix(part.GetMatrix())))
        else:
            parts.append(None)
    return parts


def _flatten(transform: Any) -> Iterator[Any]:
    """Yield the transforms that a transform, maybe a composite of composites, consists of, as they are applied."""
    if transform is None:
        return
    transform.Update()
    if not transform.IsA("vtkGeneralTransform"):
        yield transform
        return
    for number in range(transform.GetNumberOfConcatenatedTransforms()):
        yield from _flatten(transform.GetConcatenatedTransform(number))


def _compose(name: str, grid: _Grid, outside: AffineTransform) -> DisplacementField:
    """Compose the displacements of a grid and the transform after it into one field."""
    array = outside.displace(grid.geometry, grid.read_displacements())
    try:
        return DisplacementField(array.astype(np.float32), grid.affine, outside)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def is_finite_transform(node: Any) -> bool:
    """Tell whether the matrices and the displacement grids of a transform node hold finite numbers only."""
    for part in _flatten(node.GetTransformFromParent()):
        if part.IsA("vtkHomogeneousTransform"):
            numbers = numpy_matrix(part.GetMatrix())
        elif part.IsA("vtkOrientedGridTransform") and part.GetDisplacementGrid() is not None:
            numbers = vtk_to_numpy(part.GetDisplacementGrid().GetPointData().GetScalars())
        else:
            continue
        if not np.isfinite(numbers).all():
            return False
    return True


def use_linear_interpolation(node: Any) -> None:
    """Set trilinear interpolation, by which the field is defined, on a displacement field read from a file.

    Slicer's readers set cubic interpolation, which is slower and differs by hundredths of a millimeter.
    """
    for transform in (node.GetTransformFromParent(), node.GetTransformToParent()):
        for part in _flatten(transform):
            if part.IsA("vtkOrientedGridTransform"):
                part.SetInterpolationModeToLinear()
    node.TransformModified()


def _sample_displacements(transform: Any, geometry: Geometry) -> FloatArray:
    points = geometry.points_mm.reshape(-1, 3)
    return np.asarray(transform_points(transform, points) - points, dtype=np.float32).reshape(*geometry.shape, 3)


def transform_points(transform: Any, points_mm: FloatArray) -> FloatArray:
    """Map points (n, 3), mm, with a vtkAbstractTransform."""
    source, target = vtkPoints(), vtkPoints()
    for points in (source, target):
        points.SetDataTypeToDouble()
    source.SetData(numpy_to_vtk(np.ascontiguousarray(points_mm, dtype=np.float64), deep=True))
    transform.TransformPoints(source, target)
    return np.array(vtk_to_numpy(target.GetData()))
