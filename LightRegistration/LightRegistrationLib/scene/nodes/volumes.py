"""Volume nodes as typed volumes in world coordinates, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.util.vtkConstants import (
    VTK_CHAR,
    VTK_ID_TYPE,
    VTK_LONG,
    VTK_LONG_LONG,
    VTK_UNSIGNED_LONG,
    VTK_UNSIGNED_LONG_LONG,
)
from vtkmodules.vtkCommonCore import vtkCommand, vtkDataArray
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from ...core.errors import InputError
from ...core.geometry.geometry import FloatArray, check_plausible
from ...core.geometry.volume import Volume
from .matrices import numpy_matrix, parent_matrix, vtk_matrix

_LONG_TYPES = (VTK_LONG, VTK_UNSIGNED_LONG, VTK_LONG_LONG, VTK_UNSIGNED_LONG_LONG, VTK_ID_TYPE)


def volume_from_node(node: Any) -> Volume:
    """Read a vtkMRMLScalarVolumeNode in world coordinates (linear parent transforms become part of the affine).

    The array (k, j, i) shares the node's memory, read-only; the node is not changed.
    Raises InputError for a node without an image, with several components per voxel, with a single slice, with no
    finite value, with voxels of an impossible size or place, or under a nonlinear transform.
    """
    array = image_array(node)
    volume = Volume(array, world_affine(node), node.GetName() or "volume")
    check_plausible(volume.geometry, volume.name)
    return volume


def image_array(node: Any) -> NDArray:
    """Return a view of a volume node's voxels, (k, j, i). Raises InputError as `volume_from_node` does."""
    name = node.GetName() or "volume"
    image = node.GetImageData()
    scalars = None if image is None else image.GetPointData().GetScalars()
    if scalars is None or scalars.GetNumberOfTuples() == 0:
        raise InputError(f"{name}: the volume holds no image; load or choose another one.")
    if scalars.GetNumberOfComponents() != 1:
        raise InputError(
            f"{name}: a scalar volume is needed, but each voxel has {scalars.GetNumberOfComponents()} components "
            "(a color, vector, or time series image); extract one component first."
        )
    dimensions = image.GetDimensions()
    if min(dimensions) < 2:
        raise InputError(
            f"{name}: a 3-D volume is needed, but this is a single slice ({' x '.join(map(str, dimensions))} voxels)."
        )
    return vtk_to_numpy(scalars).reshape(dimensions[::-1])


def find_volume_problem(node: Any) -> str | None:
    """Return one line that says why a volume node cannot be registered (colors, a single slice); None if it can.

    A volume without an image is no problem yet: its image may still be loaded.
    """
    if node.GetImageData() is None:
        return None
    try:
        image_array(node)
    except InputError as error:
        return str(error)
    return None


def convert_to_slicer_type(node: Any) -> None:
    """Convert 64-bit integer voxels, which parts of Slicer cannot show or save, to int32, uint32, or float64."""
    image = node.GetImageData()
    scalars = image.GetPointData().GetScalars()
    if scalars is None or scalars.GetDataType() not in _LONG_TYPES:
        return
    values = vtk_to_numpy(scalars)
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    fitting = [t for t in (np.int32, np.uint32) if np.iinfo(t).min <= low and high <= np.iinfo(t).max]
    set_voxels(node, values.astype([*fitting, np.float64][0]))


def set_voxels(node: Any, values: NDArray) -> None:
    """Replace the voxels of a volume node by others (n), also of another type; its geometry stays."""
    data = node.GetImageData().GetPointData()
    scalars = numpy_to_vtk(values, deep=True)
    scalars.SetName(data.GetScalars().GetName())
    data.SetScalars(scalars)


def world_affine(node: Any) -> FloatArray:
    """Return the 4x4 matrix (i, j, k, 1) -> world RAS mm of a volume node.

    Raises InputError under a nonlinear transform.
    """
    matrix = vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return parent_matrix(node) @ numpy_matrix(matrix)


def volume_node_from_volume(scene: Any, volume: Volume, name: str, like: Any = None) -> Any:
    """Add a vtkMRMLScalarVolumeNode that holds a copy of the volume, without a parent transform.

    name: made unique in the scene. like: a volume node whose window, level, and colors the new node takes.
    """
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name))
    set_volume(node, volume, like)
    return node


def set_volume(node: Any, volume: Volume, like: Any = None, *, shared: bool = False) -> None:
    """Replace image, geometry, and display of an existing volume node; its parent transform is removed.

    shared: see `image_data`.
    """
    image = image_data(volume.array, shared=shared)
    node.CreateDefaultDisplayNodes()
    if like is not None:
        # Before the voxels are set: an automatic window would first be computed from all of them.
        copy_display(like.GetDisplayNode(), node.GetDisplayNode())
    modifying = node.StartModify()
    node.SetAndObserveTransformNodeID(None)
    node.SetIJKToRASMatrix(vtk_matrix(volume.affine))
    node.SetAndObserveImageData(image)
    node.EndModify(modifying)


def image_data(array: NDArray, *, shared: bool = False) -> vtkImageData:
    """Copy an array (k, j, i) into a vtkImageData of unit spacing, as MRML volume nodes hold it.

    shared: use its memory in place of a copy. It must then be memory that nobody else uses later, and no mapped file.
    """
    voxels = np.ascontiguousarray(array)
    if voxels.dtype == np.bool_:
        voxels = voxels.view(np.uint8)
    elif voxels.dtype == np.float16:
        voxels = voxels.astype(np.float32)
    image = vtkImageData()
    image.SetDimensions(*(int(n) for n in voxels.shape[::-1]))
    # Slicer's writers accept 8-bit signed voxels as char, not as the signed char that numpy_to_vtk would choose.
    scalars = data_array(voxels.ravel(), shared=shared, vtk_type=VTK_CHAR if voxels.dtype == np.int8 else None)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
    return image


def data_array(values: NDArray, *, shared: bool = False, vtk_type: int | None = None) -> vtkDataArray:
    """Copy an array (n) or (n, components) into a vtkDataArray. shared: see `image_data`."""
    result = numpy_to_vtk(values, deep=not shared, array_type=vtk_type)
    if shared:
        # An observer of an event that never comes dies with the VTK array, and the memory with it. By its own reference
        # Python would keep the memory until later.
        result.AddObserver(vtkCommand.UserEvent, _Keeper(result._numpy_reference))
        del result._numpy_reference
    return result


class _Keeper:
    """Keeps an array in memory as long as it exists itself."""

    def __init__(self, values: NDArray) -> None:
        self._values = values

    def __call__(self, _caller: Any, _event: str) -> None:
        """Do nothing."""


def copy_display(source: Any, target: Any) -> None:
    """Copy window, level, and colors to a scalar volume's display node; does nothing for a source of another kind."""
    if (
        source is None
        or not source.IsA("vtkMRMLScalarVolumeDisplayNode")
        or source.IsA("vtkMRMLLabelMapVolumeDisplayNode")
    ):
        return
    modifying = target.StartModify()
    target.SetAutoWindowLevel(False)
    target.SetWindowLevel(source.GetWindow(), source.GetLevel())
    target.SetInterpolate(source.GetInterpolate())
    if source.GetColorNodeID():
        target.SetAndObserveColorNodeID(source.GetColorNodeID())
    target.EndModify(modifying)
