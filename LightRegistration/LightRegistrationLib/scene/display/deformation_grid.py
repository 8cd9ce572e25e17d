"""Draw the deformation grid of a registration in the slice views."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import slicer

from ...core.geometry.geometry import FloatArray, Geometry, apply_affine, homogeneous
from ...core.geometry.transforms import AffineTransform, DisplacementField
from ..nodes.removal import remove_with_display
from ..nodes.transforms import field_from_transform_node, set_field

_CELLS_ALONG_LONGEST_SIDE = 20


class DeformationGrid:
    """The deformation grid of one transform node, drawn by a separate, hidden transform node.

    The rigid motion of the whole is removed: it is no deformation, and it would move the grid out of the view.
    """

    def __init__(self, scene: Any, transform: Any) -> None:
        self._scene = scene
        self._transform = transform
        self._grid_node: Any = None

    def show(self, field_of_view: Geometry) -> None:
        """Draw the grid with about 20 cells along the longest side of the field of view.

        field_of_view: grid of the fixed volume in the world.
        """
        if self._grid_node is None:
            field = remove_rigid_motion(field_from_transform_node(self._transform), field_of_view)
            self._grid_node = slicer.vtkMRMLTransformNode()
            self._grid_node.SetName(f"{self._transform.GetName()} grid")
            self._grid_node.SetHideFromEditors(True)
            self._grid_node.SetSaveWithScene(False)
            self._scene.AddNode(self._grid_node)
            set_field(self._grid_node, field)
            self._grid_node.CreateDefaultDisplayNodes()
            _make_hidden_colors(self._grid_node.GetDisplayNode())
        display = self._grid_node.GetDisplayNode()
        spacing = grid_spacing_mm(field_of_view)
        modifying = display.StartModify()
        display.SetSaveWithScene(False)
        display.SetVisualizationMode(display.VIS_MODE_GRID)
        display.SetGridSpacingMm(spacing)
        display.SetGridResolutionMm(spacing / 4)
        display.SetVisibility3D(False)
        display.SetVisibility2D(True)
        display.SetVisibility(True)
        display.EndModify(modifying)

    def hide(self) -> None:
        """Remove the grid from the slice views."""
        if self._grid_node is not None:
            colors = self._grid_node.GetDisplayNode().GetColorNode()
            remove_with_display(self._scene, self._grid_node)
            if colors is not None:  # made for this grid only
                self._scene.RemoveNode(colors)
        self._grid_node = None


def _make_hidden_colors(display: Any) -> None:
    """Create the color node that the view would create when it draws, but hidden and not saved with the scene."""
    display.SetDefaultColors()
    display.GetColorNode().SetHideFromEditors(True)
    display.GetColorNode().SetSaveWithScene(False)


def remove_rigid_motion(field: DisplacementField, geometry: Geometry) -> DisplacementField:
    """Remove the best-fitting rigid motion of the points inside `geometry` from a field fixed -> moving.

    Returns the field x -> inverse(rigid)(x + d(x)) - x on the same grid, RAS mm. Source of the fit: Kabsch, A solution
    for the best rotation to relate two sets of vectors, 1976.
    """
    fixed = field.geometry.points_mm
    moving = fixed + field.array
    inside = geometry.contains(fixed)
    rigid = _fit_rigid(moving[inside], fixed[inside])
    outside = None if field.outside is None else AffineTransform(rigid).after(field.outside)
    return DisplacementField((apply_affine(rigid, moving) - fixed).astype(np.float32), field.affine, outside)


def _fit_rigid(source: FloatArray, target: FloatArray) -> FloatArray:
    """Return the 4x4 rigid motion from points (n, 3) to others with the least mean squared distance."""
    if len(source) < 4:
        return np.eye(4)
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    left, _, right = np.linalg.svd((source - source_mean).T @ (target - target_mean))
    reflection = np.diag([1.0, 1.0, float(np.sign(np.linalg.det(right.T @ left.T)))])
    rotation = right.T @ reflection @ left.T
    return homogeneous(rotation, target_mean - rotation @ source_mean)


def grid_spacing_mm(geometry: Geometry) -> float:
    """Return a round distance (1, 2, or 5 times a power of ten) that divides the longest side into about 20 cells."""
    wanted = float((geometry.size_ijk * geometry.spacing_mm).max()) / _CELLS_ALONG_LONGEST_SIDE
    power = 10.0 ** math.floor(math.log10(wanted))
    return min((power * factor for factor in (1, 2, 5, 10)), key=lambda spacing: abs(math.log(spacing / wanted)))
