"""Draw the deformation of a registration in the slice views: as a grid, as arrows, or as contours of equal length."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import numpy as np
import slicer

from ...core.geometry.geometry import FloatArray, Geometry, homogeneous
from ...core.geometry.transforms import AffineTransform, DisplacementField
from ...core.parts import Parts
from ..nodes.removal import remove_with_display
from ..nodes.transforms import field_from_transform_node, set_field
from .deformation_maps import find_round_width
from .legends import add_legend

_CELLS_ALONG_LONGEST_SIDE = 20
_MOST_SAMPLES = 50_000
"""Points of a field that its rigid motion is fitted to, about. Chosen, so that it takes some milliseconds."""
_MOST_CONTOURS = 8
"""Lengths for which contours are drawn, at most. Chosen for legibility."""
_PART_NUMBERS = 1 << 20
"""Fields of more numbers are drawn in parts. Chosen: ten milliseconds of processor time."""
_LEGEND_NUMBERS = 10
_LEGEND_COLORS = 64


class GridKind(StrEnum):
    """GRID: a regular grid, bent. ARROWS: of the displacement. CONTOURS: lines of equal displacement."""

    GRID = "grid"
    ARROWS = "arrows"
    CONTOURS = "contours"


class DeformationGrid:
    """The deformation of one transform node, drawn by a separate, hidden transform node.

    The rigid motion of the whole is removed: it is no deformation, and it would move the grid out of the view.
    """

    def __init__(self, scene: Any, transform: Any) -> None:
        self._scene = scene
        self._transform = transform
        self._grid_node: Any = None
        self._longest_mm = 0.0
        self._legend: Any = None
        self._title = ""

    def draw(self, field_of_view: Geometry, kind: GridKind = GridKind.GRID) -> Parts[None]:
        """Draw a grid, or arrows, about 20 along the longest side of the field of view; or contours of round lengths.

        In parts where the field is large. field_of_view: grid of the fixed volume in the world.
        """
        if self._grid_node is None:
            field = remove_rigid_motion(field_from_transform_node(self._transform), field_of_view)
            is_large = field.array.size > _PART_NUMBERS
            if is_large:
                yield
            self._grid_node = slicer.vtkMRMLTransformNode()
            self._grid_node.SetName(f"{self._transform.GetName()} grid")
            self._grid_node.SetHideFromEditors(True)
            self._grid_node.SetSaveWithScene(False)
            self._scene.AddNode(self._grid_node)
            set_field(self._grid_node, field)
            _, displacements = _sample_inside(field, field_of_view)
            self._longest_mm = float(np.linalg.norm(displacements, axis=-1).max(initial=0.0))
            self._grid_node.CreateDefaultDisplayNodes()
            _make_hidden_colors(self._grid_node.GetDisplayNode())
            if is_large:
                yield
        display = self._grid_node.GetDisplayNode()
        spacing = grid_spacing_mm(field_of_view)
        modifying = display.StartModify()
        display.SetSaveWithScene(False)
        modes = (display.VIS_MODE_GRID, display.VIS_MODE_GLYPH, display.VIS_MODE_CONTOUR)
        display.SetVisualizationMode(modes[list(GridKind).index(kind)])
        display.SetGridSpacingMm(spacing)
        display.SetGridResolutionMm(spacing / 4)
        display.SetGlyphSpacingMm(spacing)
        display.SetContourResolutionMm(spacing / 4)
        levels = list_contour_levels_mm(self._longest_mm)
        display.SetContourLevelsMmFromString(" ".join(f"{level:g}" for level in levels))
        display.SetVisibility3D(False)
        display.SetVisibility2D(True)
        display.SetVisibility(True)
        display.EndModify(modifying)

    def add_legend(self, title: str) -> None:
        """Add the legend of the colors, in place of an earlier one, when the views show the grid: they draw it then.

        title: `{spacing}` in it becomes the distance of grid lines and arrows, mm.
        """
        self._remove_legend()
        self._title = title
        shown = title.format(spacing=f"{self._grid_node.GetDisplayNode().GetGridSpacingMm():g}")
        self._legend = add_legend(self._scene, self._grid_node, shown, _LEGEND_NUMBERS, _LEGEND_COLORS, "%.0f")
        self._legend.SetPosition(0.02, 0.5)
        self._legend.SetSize(0.1, 0.4)

    def renew_legend(self) -> None:
        """Add the legend anew: a view that was opened after it does not draw it."""
        if self._legend is not None:
            self.add_legend(self._title)

    def _remove_legend(self) -> None:
        if self._legend is not None:
            self._scene.RemoveNode(self._legend)
        self._legend = None

    def hide(self) -> None:
        """Remove the grid from the slice views."""
        self._remove_legend()
        node, self._grid_node = self._grid_node, None
        if node is not None:
            colors = node.GetDisplayNode().GetColorNode()
            remove_with_display(self._scene, node)
            if colors is not None:  # made for this grid only
                self._scene.RemoveNode(colors)


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
    fixed, displacements = _sample_inside(field, geometry)
    rigid = AffineTransform(_fit_rigid(fixed + displacements, fixed))
    outside = None if field.outside is None else rigid.after(field.outside)
    return DisplacementField(rigid.displace(field.geometry, field.array).astype(np.float32), field.affine, outside)


def _sample_inside(field: DisplacementField, geometry: Geometry) -> tuple[FloatArray, FloatArray]:
    """Return points (n, 3) of the grid of a field inside of `geometry`, and their displacements; not all of many."""
    step = math.ceil((field.array[..., 0].size / _MOST_SAMPLES) ** (1 / 3))
    array = field.array[::step, ::step, ::step]
    points = Geometry(array.shape[:3], field.affine @ np.diag([step, step, step, 1.0])).points_mm
    inside = geometry.contains(points)
    return points[inside], array[inside]


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


def list_contour_levels_mm(longest_mm: float) -> list[float]:
    """Return round displacements with equal steps up to the longest one: 1 to 8 of them."""
    width = find_round_width(longest_mm / _MOST_CONTOURS)
    count = max(1, math.floor(longest_mm / width * (1 + 1e-9)))
    return [round(number * width, 6) for number in range(1, count + 1)]
