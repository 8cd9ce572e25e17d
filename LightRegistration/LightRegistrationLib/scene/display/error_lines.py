"""Lines from places of the fixed volume to where the same places are, drawn in all views by a hidden model node."""

from __future__ import annotations

from typing import Any

import numpy as np
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

from ...core.geometry.geometry import FloatArray
from ..nodes.hidden_nodes import add_hidden_node
from ..nodes.removal import remove_with_display

_COLOR = (1.0, 0.2, 0.8)
_WIDTH_PIXELS = 3


class ErrorLines:
    """Lines in the views; slice views show all of them, projected onto the slice."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._node: Any = None
        self._drawn: FloatArray | None = None

    def show(self, starts_mm: FloatArray, ends_mm: FloatArray) -> None:
        """Draw lines from points (n, 3) to points (n, 3), RAS mm."""
        lines = np.stack([starts_mm, ends_mm], axis=1)
        if self._node is None or not self._scene.IsNodePresent(self._node):
            self._node, self._drawn = _add_model(self._scene), None
        if self._drawn is None or not np.array_equal(lines, self._drawn):
            self._node.SetAndObservePolyData(_make_lines(lines))
            self._drawn = lines

    def hide(self) -> None:
        """Remove the lines."""
        if self._node is not None:
            remove_with_display(self._scene, self._node)
        self._node = self._drawn = None


def _add_model(scene: Any) -> Any:
    display = add_hidden_node(scene, "vtkMRMLModelDisplayNode", "Landmark errors display")
    display.SetColor(*_COLOR)
    display.SetLineWidth(_WIDTH_PIXELS)
    display.SetSliceIntersectionThickness(_WIDTH_PIXELS)
    display.SetSliceDisplayModeToProjection()
    display.SetVisibility2D(True)
    node = add_hidden_node(scene, "vtkMRMLModelNode", "Landmark errors")
    node.SetAndObserveDisplayNodeID(display.GetID())
    return node


def _make_lines(lines: FloatArray) -> vtkPolyData:
    """Make the geometry of lines (n, 2, 3)."""
    points, cells, result = vtkPoints(), vtkCellArray(), vtkPolyData()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(lines.reshape(-1, 3)), deep=True))
    for number in range(len(lines)):
        cells.InsertNextCell(2)
        cells.InsertCellPoint(2 * number)
        cells.InsertCellPoint(2 * number + 1)
    result.SetPoints(points)
    result.SetLines(cells)
    return result
