"""The preview of a registration: the moving volume drawn through the displacement field, before it is resampled."""

from __future__ import annotations

from typing import Any

from vtkmodules.vtkCommonDataModel import vtkImageData

from ...core.geometry.geometry import FloatArray
from ...core.geometry.transforms import DisplacementField
from ..nodes.hidden_nodes import add_hidden_node
from ..nodes.matrices import vtk_matrix
from ..nodes.removal import remove_with_display
from ..nodes.results import RegistrationNodes
from ..nodes.transforms import set_field
from ..nodes.volumes import copy_display


def add_preview(
    scene: Any, fixed: Any, moving: Any, moving_affine: FloatArray, field: DisplacementField
) -> RegistrationNodes:
    """Add a hidden volume with the moving volume's voxels, under a hidden transform with the field.

    Slicer draws it warped at once. Voxels and displacements are shared, not copied; the user's nodes are not changed.
    moving_affine: 4x4, (i, j, k, 1) -> RAS mm, of the moving volume as it was registered. field: fixed -> moving, RAS
    mm. Returns the preview's nodes in the form of a registration's nodes.
    """
    transform = add_hidden_node(scene, "vtkMRMLTransformNode", f"{moving.GetName()} preview transform")
    set_field(transform, field, shared=True)
    display = add_hidden_node(scene, "vtkMRMLScalarVolumeDisplayNode", f"{moving.GetName()} preview display")
    display.SetDefaultColorMap()
    # Before the voxels are set: an automatic window would first be computed from all of them.
    copy_display(moving.GetDisplayNode(), display)
    voxels = vtkImageData()
    voxels.ShallowCopy(moving.GetImageData())
    volume = add_hidden_node(scene, "vtkMRMLScalarVolumeNode", f"{moving.GetName()} preview")
    modifying = volume.StartModify()
    volume.SetIJKToRASMatrix(vtk_matrix(moving_affine))
    volume.SetAndObserveDisplayNodeID(display.GetID())
    volume.SetAndObserveTransformNodeID(transform.GetID())
    volume.SetAndObserveImageData(voxels)
    volume.EndModify(modifying)
    return RegistrationNodes(fixed=fixed, moving=moving, transform=transform, warped=volume)


def remove_preview(scene: Any, nodes: RegistrationNodes) -> None:
    """Remove the preview's nodes that are still in the scene."""
    for node in (nodes.warped, nodes.transform):
        remove_with_display(scene, node)
