"""Load markups and surfaces from files into the scene; one-line errors for unusable files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy

from ...core.errors import InputError
from ...core.files.markups_json import check_markups
from ...core.geometry.geometry import FloatArray
from .loading import check_file, report_os_errors
from .messages import capture_messages

MARKUPS_SUFFIXES = (".mrk.json",)
SURFACE_SUFFIXES = (".vtk", ".vtp", ".stl", ".ply")


def load_markups(scene: Any, path: str | Path) -> Any:
    """Load a .mrk.json file with one list of markups (points, line, curve …) as vtkMRMLMarkupsNode.

    Raises InputError, naming the path, for a file that cannot be used and for one with several lists.
    """
    path = Path(path)
    with report_os_errors(path):
        check_file(path, MARKUPS_SUFFIXES, "markups")
        check_markups(path)
    storage = slicer.vtkMRMLMarkupsJsonStorageNode()
    storage.SetScene(scene)
    with capture_messages():
        node = storage.AddNewMarkupsNodeFromFile(str(path))
    if node is None:
        raise InputError(f"{path}: cannot be read as markups; it is damaged or of another kind.")
    if node.GetNumberOfControlPoints() == 0:
        raise InputError(f"{path}: there is no point in this file.")
    return node


def read_control_points(node: Any) -> FloatArray:
    """Return the control points of a markups node, (n, 3) RAS mm."""
    return np.array([node.GetNthControlPointPosition(n) for n in range(node.GetNumberOfControlPoints())])


def load_surface(scene: Any, path: str | Path) -> Any:
    """Load a surface as vtkMRMLModelNode; a file that does not name its coordinate system is LPS, as in Slicer.

    Raises InputError, naming the path, for a file that cannot be used.
    """
    path = Path(path)
    with report_os_errors(path):
        check_file(path, SURFACE_SUFFIXES, "surface")
    storage = slicer.vtkMRMLModelStorageNode()
    storage.SetFileName(str(path))
    node = slicer.vtkMRMLModelNode()
    with capture_messages():
        is_read = storage.ReadData(node)
    if not is_read or node.GetMesh() is None or node.GetMesh().GetNumberOfPoints() == 0:
        raise InputError(f"{path}: cannot be read as a surface; it is damaged, empty, or of another kind.")
    node.SetName(path.name)
    scene.AddNode(node)
    return node


def read_surface_points(node: Any) -> FloatArray:
    """Return the points of a surface node, (n, 3) RAS mm."""
    return np.array(vtk_to_numpy(node.GetMesh().GetPoints().GetData()), dtype=np.float64)
