"""`apply` on shapes: what a format or a transform cannot keep is refused or said, never lost without a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import vtk

from LightRegistrationLib.commands.apply import apply_transforms
from LightRegistrationLib.core.errors import InputError

POINTS = ((0, 0, 0), (10, 0, 0), (0, 20, 0), (0, 0, 30))
LPS_SHIFT = (10.0, -5.0, 3.0)


@pytest.fixture
def shift(tmp_path: Path) -> Path:
    """A shift that is pulled: points move by its opposite."""
    sitk.WriteTransform(sitk.TranslationTransform(3, LPS_SHIFT), str(tmp_path / "shift.tfm"))
    return tmp_path / "shift.tfm"


@pytest.fixture
def bent(tmp_path: Path) -> Path:
    displacements = np.zeros((5, 5, 5, 3))
    displacements[2, 2, 2] = 3.0
    image = sitk.GetImageFromArray(displacements, isVector=True)
    image.SetSpacing((20.0,) * 3)
    image.SetOrigin((-40.0,) * 3)
    sitk.WriteTransform(sitk.DisplacementFieldTransform(image), str(tmp_path / "bent.h5"))
    return tmp_path / "bent.h5"


def write_markups(path: Path, kind: str, **values: Any) -> Path:
    point = {"id": "1", "label": "1", "position": [1, 2, 3], "positionStatus": "defined"}
    axes = {"center": [1, 2, 3], "orientation": [-1, 0, 0, 0, -1, 0, 0, 0, 1]}
    markups = {"type": kind, "coordinateSystem": "LPS", "controlPoints": [point], **axes, **values}
    path.write_text(json.dumps({"markups": [markups]}), encoding="utf-8")
    return path


def write_box(path: Path) -> Path:
    return write_markups(path, "ROI", roiType="Box", size=[10, 20, 30], insideOut=False)


def write_plane(path: Path) -> Path:
    return write_markups(path, "Plane", planeType="pointNormal", sizeMode="absolute", size=[10, 20, 0])


def write_cells(path: Path, *, kind: str) -> Path:
    points = vtk.vtkPoints()
    for point in POINTS:
        points.InsertNextPoint(*point)
    mesh = vtk.vtkUnstructuredGrid() if kind == "tetrahedron" else vtk.vtkPolyData()
    mesh.SetPoints(points)
    if kind == "tetrahedron":
        mesh.InsertNextCell(vtk.VTK_TETRA, 4, range(4))
    cells = vtk.vtkCellArray()
    cells.InsertNextCell(4, range(4))
    if kind == "faces":
        mesh.SetPolys(cells)
    elif kind == "line":
        mesh.SetLines(cells)
    writer = vtk.vtkUnstructuredGridWriter() if kind == "tetrahedron" else vtk.vtkPolyDataWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(mesh)
    writer.Write()
    return path


@pytest.mark.parametrize("write", [write_box, write_plane])
def test_a_box_and_a_plane_keep_their_size(tmp_path: Path, shift: Path, write) -> None:
    source, target = write(tmp_path / "a.mrk.json"), tmp_path / "moved.mrk.json"
    assert apply_transforms([shift], source, target) == ()
    (before,), (after,) = (json.loads(path.read_text(encoding="utf-8"))["markups"] for path in (source, target))
    np.testing.assert_allclose(after["size"], before["size"])
    np.testing.assert_allclose(after["center"], np.array(before["center"]) - LPS_SHIFT, atol=1e-6)


def test_a_box_that_should_be_bent_is_said(tmp_path: Path, bent: Path) -> None:
    (line,) = apply_transforms([bent], write_box(tmp_path / "a.mrk.json"), tmp_path / "moved.mrk.json")
    assert "a.mrk.json: a box or a plane is not bent" in line


@pytest.mark.parametrize(
    ("kind", "suffix", "says"),
    [
        ("line", ".stl", "the lines and points of the surface are not written"),
        ("line", ".ply", "the lines and points of the surface are not written"),
        ("points", ".stl", "the lines and points of the surface are not written"),
        ("tetrahedron", ".vtp", "a mesh of volumes is not written to this kind of file; use .vtk"),
        ("tetrahedron", ".stl", "a mesh of volumes is not written to this kind of file; use .vtk"),
    ],
)
def test_cells_that_a_format_would_lose_are_refused(tmp_path: Path, shift: Path, kind: str, suffix: str, says) -> None:
    source, target = write_cells(tmp_path / "a.vtk", kind=kind), tmp_path / f"moved{suffix}"
    with pytest.raises(InputError, match=f"moved{suffix}: {says}"):
        apply_transforms([shift], source, target)
    assert not target.exists()


@pytest.mark.parametrize(("kind", "suffix"), [("faces", ".stl"), ("line", ".vtp"), ("tetrahedron", ".vtk")])
def test_cells_that_a_format_can_hold_are_written(tmp_path: Path, shift: Path, kind: str, suffix: str) -> None:
    target = tmp_path / f"moved{suffix}"
    assert apply_transforms([shift], write_cells(tmp_path / "a.vtk", kind=kind), target) == ()
    reader = {".stl": vtk.vtkSTLReader, ".vtp": vtk.vtkXMLPolyDataReader, ".vtk": vtk.vtkUnstructuredGridReader}[
        suffix
    ]()
    reader.SetFileName(str(target))
    reader.Update()
    assert reader.GetOutput().GetNumberOfCells() > 0


@pytest.mark.parametrize(
    ("space", "says"),
    [("SCANNER", ["a.vtk: its coordinate system, SCANNER, is not known; it is taken as LPS."]), ("LPS", [])],
)
def test_a_coordinate_system_that_is_not_known_is_said(tmp_path: Path, shift: Path, space: str, says) -> None:
    source = write_cells(tmp_path / "a.vtk", kind="faces")
    source.write_bytes(source.read_bytes().replace(b"vtk output", f"SPACE={space}".encode()))
    lines = apply_transforms([shift], source, tmp_path / "moved.vtk")
    assert [line.replace(str(source), "a.vtk") for line in lines] == says
