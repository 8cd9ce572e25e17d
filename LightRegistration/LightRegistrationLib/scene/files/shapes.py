"""Load markups and surfaces from files into the scene; one-line errors for unusable files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy

from ...core.errors import InputError
from ...core.files.markups_json import check_markups
from ...core.files.plain_file import report_os_errors
from ...core.files.ply import check_ply
from ...core.files.volume_header import check_file
from ...core.geometry.geometry import FloatArray
from .file_checks import OnWarning, log_warning
from .messages import capture_messages

MARKUPS_SUFFIXES = (".mrk.json",)
SURFACE_SUFFIXES = (".vtk", ".vtp", ".stl", ".ply")
_CUT_OFF = "Error reading"
"""What VTK's readers say of fewer numbers than the file claims, before they go on with whatever is in memory."""
_SPACE = re.compile(rb"SPACE=(\w+)")
"""How Slicer writes the coordinate system into the header of a surface."""
_NAMED_BYTES = 1000


def load_markups(scene: Any, path: str | Path, *, on_warning: OnWarning = log_warning) -> Any:
    """Load a .mrk.json file with one list of markups (points, line, curve …) as vtkMRMLMarkupsNode.

    A warning if some of the points were not placed. Raises InputError, naming the path, for a file that cannot be used
    and for one with several lists.
    """
    path = Path(path)
    with report_os_errors(path):
        check_file(path, MARKUPS_SUFFIXES, "markups")
        kind = check_markups(path)
    # The common storage node would lose the size of a box and of a plane.
    storages = {"ROI": slicer.vtkMRMLMarkupsROIJsonStorageNode, "Plane": slicer.vtkMRMLMarkupsPlaneJsonStorageNode}
    storage = storages.get(kind, slicer.vtkMRMLMarkupsJsonStorageNode)()
    storage.SetScene(scene)
    with capture_messages():
        node = storage.AddNewMarkupsNodeFromFile(str(path))
    if node is None:
        raise InputError(f"{path}: cannot be read as markups; it is damaged or of another kind.")
    count, placed = node.GetNumberOfControlPoints(), len(list_placed_points(node))
    if placed == 0:
        raise InputError(f"{path}: there is no point {'that was placed ' if count else ''}in this file.")
    if placed < count:
        on_warning(f"{path}: {count - placed} of {count} points were not placed, and are left out.")
    return node


def list_placed_points(node: Any) -> list[int]:
    """List the numbers of the control points of a markups node that have a position; others wait for one."""
    placed = slicer.vtkMRMLMarkupsNode.PositionDefined
    count = node.GetNumberOfControlPoints()
    return [n for n in range(count) if node.GetNthControlPointPositionStatus(n) == placed]


def read_control_points(node: Any) -> FloatArray:
    """Return the control points of a markups node that were placed, (n, 3) RAS mm."""
    return np.array([node.GetNthControlPointPosition(n) for n in list_placed_points(node)])


def is_box_or_plane(node: Any) -> bool:
    """Tell whether a markups node is a box (ROI) or a plane, which no transform bends."""
    return bool(node.IsA("vtkMRMLMarkupsROINode") or node.IsA("vtkMRMLMarkupsPlaneNode"))


def load_surface(scene: Any, path: str | Path, *, on_warning: OnWarning = log_warning) -> Any:
    """Load a surface as vtkMRMLModelNode; a file that does not name its coordinate system is LPS, as in Slicer.

    A warning for one that names another system than RAS and LPS. Raises InputError, naming the path, for a file that
    cannot be used.
    """
    path = Path(path)
    with report_os_errors(path):
        check_file(path, SURFACE_SUFFIXES, "surface")
        if path.name.lower().endswith(".ply"):
            check_ply(path)
        with path.open("rb") as stream:
            named = _SPACE.search(stream.read(_NAMED_BYTES))
    if named and named[1].upper() not in (b"RAS", b"LPS"):
        space = named[1].decode("ascii", errors="replace")[:40]
        on_warning(f"{path}: its coordinate system, {space}, is not known; it is taken as LPS.")
    storage = slicer.vtkMRMLModelStorageNode()
    storage.SetFileName(str(path))
    node = slicer.vtkMRMLModelNode()
    with capture_messages() as messages:
        is_read = storage.ReadData(node)
    mesh = node.GetMesh()
    if not is_read or mesh is None or mesh.GetNumberOfPoints() == 0:
        raise InputError(f"{path}: cannot be read as a surface; it is damaged, empty, or of another kind.")
    problem = "it is cut off" if _CUT_OFF in messages.text else _find_damage(mesh)
    if path.name.lower().endswith(".stl") and mesh.GetNumberOfCells() == 0:
        problem = "it has no triangle"
    if problem:
        raise InputError(f"{path}: the surface is damaged ({problem}); save it again.")
    node.SetName(path.name)
    scene.AddNode(node)
    return node


def _find_damage(mesh: Any) -> str:
    """Say what is wrong with the points or the cells of a mesh; empty if nothing is."""
    if not np.isfinite(vtk_to_numpy(mesh.GetPoints().GetData())).all():
        return "a point is not finite"
    parts = ("GetVerts", "GetLines", "GetPolys", "GetStrips") if mesh.IsA("vtkPolyData") else ("GetCells",)
    arrays = [array for array in (getattr(mesh, part)() for part in parts) if array is not None]
    if not all(array.IsValid() for array in arrays):
        return "its cells contradict each other"
    for array in arrays:
        numbers = vtk_to_numpy(array.GetConnectivityArray())
        if numbers.size and not (numbers.min() >= 0 and numbers.max() < mesh.GetNumberOfPoints()):
            return "a cell has a point that is not there"
    return ""


def check_surface_format(node: Any, path: Path) -> None:
    """Raise InputError if a kind of file cannot hold the cells of a surface node: they would be lost."""
    mesh, name = node.GetMesh(), path.name.lower()
    if not mesh.IsA("vtkPolyData"):
        if not name.endswith(".vtk"):
            raise InputError(f"{path}: a mesh of volumes is not written to this kind of file; use .vtk.")
        return
    has_others = mesh.GetNumberOfLines() > 0 or (mesh.GetNumberOfVerts() > 0 and name.endswith(".stl"))
    has_faces = mesh.GetNumberOfPolys() + mesh.GetNumberOfStrips() > 0
    if name.endswith((".stl", ".ply")) and (has_others or (name.endswith(".stl") and not has_faces)):
        raise InputError(f"{path}: the lines and points of the surface are not written to this kind of file; use .vtp.")


def read_surface_points(node: Any) -> FloatArray:
    """Return the points of a surface node, (n, 3) RAS mm."""
    return np.array(vtk_to_numpy(node.GetMesh().GetPoints().GetData()), dtype=np.float64)
