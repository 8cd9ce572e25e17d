"""Draw the deformation grid of a registration in the slice views."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import slicer

from ...core.geometry.geometry import FloatArray, Geometry, apply_affine, homogeneous
from ...core.geometry.transforms import DisplacementField
from ..nodes.removal import remove_with_display
from ..nodes.transforms import field_from_transform_node, set_field

_CELLS = 20


class DeformationGrid:
    """The grid of one transform node, drawn by a hidden transform node of its own.

    The rigid motion that all points have in common is left out: it would push the grid out of the view, and a shift or
    rotation of the whole is no deformation.
    """

    def __init__(self, scene: Any, transform: Any) -> None:
        self._scene = scene
        self._transform = transform
        self._own: Any = None

    def show(self, field_of_view: Geometry) -> None:
        """Draw the grid, with about 20 cells along the longest side of the field of view (the fixed volume, world)."""
        if self._own is None:
            field = remove_rigid_motion(field_from_transform_node(self._transform), field_of_view)
            self._own = slicer.vtkMRMLTransformNode()
            self._own.SetName(f"{self._transform.GetName()} grid")
            self._own.SetHideFromEditors(True)
            self._own.SetSaveWithScene(False)
            self._scene.AddNode(self._own)
            set_field(self._own, field)
            self._own.CreateDefaultDisplayNodes()
            _own_colors(self._own.GetDisplayNode())
        display = self._own.GetDisplayNode()
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
        """Take the grid out of the slice views."""
        if self._own is not None:
            colors = self._own.GetDisplayNode().GetColorNode()
            remove_with_display(self._scene, self._own)
            if colors is not None:  # made for this grid alone
                self._scene.RemoveNode(colors)
        self._own = None


def _own_colors(display: Any) -> None:
    """Make the colors that the view would make when it draws, but hidden and not saved with the scene."""
    display.SetDefaultColors()
    display.GetColorNode().SetHideFromEditors(True)
    display.GetColorNode().SetSaveWithScene(False)


def remove_rigid_motion(field: DisplacementField, geometry: Geometry) -> DisplacementField:
    """Take the best rigid motion of the points inside `geometry` out of a field fixed -> moving.

    Returns the field x -> inverse(rigid)(x + d(x)) - x on the same grid, RAS mm. Source of the fit: Kabsch, A solution
    for the best rotation to relate two sets of vectors, 1976.
    """
    fixed = field.geometry.points_mm
    moving = fixed + field.array
    inside = geometry.contains(fixed)
    rigid = _best_rigid(moving[inside], fixed[inside])
    return DisplacementField((apply_affine(rigid, moving) - fixed).astype(np.float32), field.affine)


def _best_rigid(source: FloatArray, target: FloatArray) -> FloatArray:
    """The 4x4 rigid motion that brings points (n, 3) closest to others, in the mean of squares."""
    if len(source) < 4:
        return np.eye(4)
    middle, goal = source.mean(axis=0), target.mean(axis=0)
    left, _, right = np.linalg.svd((source - middle).T @ (target - goal))
    mirror = np.diag([1.0, 1.0, float(np.sign(np.linalg.det(right.T @ left.T)))])
    rotation = right.T @ mirror @ left.T
    return homogeneous(rotation, goal - rotation @ middle)


def grid_spacing_mm(geometry: Geometry) -> float:
    """A round distance (1, 2 or 5 times a power of ten) that divides the longest side into about 20 cells."""
    wanted = float((geometry.size_ijk * geometry.spacing_mm).max()) / _CELLS
    power = 10.0 ** math.floor(math.log10(wanted))
    return min((power * factor for factor in (1, 2, 5, 10)), key=lambda spacing: abs(math.log(spacing / wanted)))
