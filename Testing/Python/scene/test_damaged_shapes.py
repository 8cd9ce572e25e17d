"""Damaged segmentations, surfaces and transforms: refused with one line; some ended the program, others were cut."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import vtk

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.scene.files.segmentation_loading import load_segmentation
from LightRegistrationLib.scene.files.shapes import load_surface, read_surface_points
from LightRegistrationLib.scene.files.transform_loading import load_transform_node
from LightRegistrationLib.scene.files.volume_loading import load_volume
from LightRegistrationLib.scene.nodes.segmentations import segmentation_from_node

from .test_claimed_sizes import SMALL, meta

LABELS = np.zeros((6, 7, 8), np.uint8)
LABELS[1:5, 2:6, 2:4], LABELS[1:5, 2:6, 5:7] = 1, 2
SIZES = "sizes: 8 7 6"
SEGMENT = "Segment{n}_ID:=S{n}\nSegment{n}_Name:=s{n}\nSegment{n}_LabelValue:={v}\nSegment{n}_Layer:=0\n"
EXTENT = "Segment{n}_Extent:=0 7 0 6 0 5\n"


def segments(voxels: bytes = LABELS.tobytes(), **changes: str) -> bytes:
    """A .seg.nrrd file with two segments; changes: new lines by the beginnings of old ones."""
    header = (
        f"NRRD0004\ntype: unsigned char\ndimension: 3\nspace: left-posterior-superior\n{SIZES}\n"
        "space directions: (1,0,0) (0,1,0) (0,0,1)\nkinds: domain domain domain\nencoding: raw\n"
        "space origin: (0,0,0)\n"
    )
    for n in range(2):
        header += SEGMENT.format(n=n, v=n + 1) + EXTENT.format(n=n)
    for key, new in changes.items():
        lines = [new if line.startswith(key) else line for line in header.split("\n")]
        header = "\n".join(lines)
    return header.encode() + b"\n" + voxels


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (segments(LABELS.tobytes()[:-9]), "cut off"),
        (segments(b""), "cut off"),
        (segments(sizes="sizes: 90000 90000 90000"), "cut off"),
        (segments(kinds="kands: domain domain domain"), "cannot be read"),
        (segments(encoding="encoding: bzip2"), "bzip2"),
        (segments(Segment1_Layer="Segment1_Layer:=3"), "in a layer that the file does not hold"),
        (segments(Segment1_LabelValue="Segment1_LabelValue:=-1"), "no whole number above 0"),
        (segments(Segment1_LabelValue="Segment1_LabelValue:=1"), "two segments have the label value '1 in layer 0'"),
        (segments(Segment1_ID="Segment1_ID:=S0"), "two segments have the ID 'S0'"),
        (segments(Segment1_Extent="Segment1_Extent:=0 9999 0 9999 0 9999"), "far larger than the grid"),
        (segments(Segment1_Extent="Segment1_Extent:=a b"), "not six whole numbers"),
        (
            segments(Segment0_Extent="Segment0_Extent:=2 2 3 3 2 2", Segment1_Extent="Segment1_Extent:=6 6 3 3 2 2"),
            "only .* of 64 labeled voxels lie in the extents",
        ),
        (segments(Segment1_Name="Segment1_Na\0me:=a"), "null character"),
        (segments(Segment1_Name="Segment1_Name:=a\rb"), "cut by a carriage return"),
        (
            segments(Segment1_Layer="Segmentation_ReferenceImageExtentOffset:=0 0 9223372036854775807"),
            "ExtentOffset of the segmentation is not three whole numbers",
        ),
        (segments(Segment1_Extent="Segment1_Extent:=99999999 99999999 0 5 0 5"), "not within 10000000 voxels"),
        (segments(Segment1_ID="# none"), "not numbered from 0 on"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 60 else "",
)
def test_a_damaged_segmentation_is_refused(scene, tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "a.seg.nrrd"
    path.write_bytes(content)
    count = scene.GetNumberOfNodes()
    with pytest.raises(InputError, match=says) as caught:
        load_segmentation(scene, path)
    assert str(caught.value).startswith(str(path))
    assert scene.GetNumberOfNodes() == count


def test_extents_left_over_from_a_larger_grid_lose_no_voxel(scene, tmp_path: Path) -> None:
    path = tmp_path / "a.seg.nrrd"
    path.write_bytes(segments(Segment1_Extent="Segment1_Extent:=0 9 0 9 0 9"))
    found = segmentation_from_node(load_segmentation(scene, path))
    assert [int(found.mask(segment).sum()) for segment in found.segments] == [32, 32]


def sphere(path: Path, is_binary: bool = True) -> bytes:
    source = vtk.vtkSphereSource()
    source.SetRadius(50)
    writers = {".vtk": vtk.vtkPolyDataWriter, ".stl": vtk.vtkSTLWriter, ".ply": vtk.vtkPLYWriter}
    writer = writers[path.suffix]()
    writer.SetInputConnection(source.GetOutputPort())
    writer.SetFileName(str(path))
    writer.SetFileType(2 if is_binary else 1)
    writer.Write()
    return path.read_bytes()


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("is_binary", [False, True], ids=["text", "binary"])
@pytest.mark.parametrize("suffix", [".vtk", ".stl", ".ply"])
def test_a_surface_that_is_cut_off_is_refused(
    scene, tmp_path: Path, suffix: str, is_binary: bool, share: float
) -> None:
    path = tmp_path / f"a{suffix}"
    content = sphere(path, is_binary)
    whole = read_surface_points(load_surface(scene, path))
    assert np.linalg.norm(whole, axis=1) == pytest.approx(50, abs=0.1)
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="damaged"):
        load_surface(scene, path)


PLY = (
    "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
)
VTK = (
    "# vtk DataFile Version 3.0\nx\nASCII\nDATASET POLYDATA\nPOINTS 3 float\n0 0 0 1 0 0 0 1 0\nPOLYGONS 1 4\n3 0 1 2\n"
)
TRIANGLE = bytes(80) + struct.pack("<I12f", 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0) + bytes(2)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.ply", PLY.replace("3 0 1 2", "3 0 1 99"), "a face has a point that is not there"),
        ("a.ply", PLY.replace("3 0 1 2", "3 0 1 -2"), "a face has a point that is not there"),
        ("a.ply", PLY.replace("vertex 3", "vertex 1000000000"), "cut off or damaged"),
        ("a.ply", PLY.replace("3 0 1 2", "9 0 1 2"), "cut off or damaged"),
        ("a.ply", PLY.replace("0 0 0\n", "a b c\n"), "cut off or damaged"),
        ("a.ply", PLY.replace("0 0 0\n", "nan 0 0\n"), "a point is not finite"),
        ("a.ply", PLY.replace("property list", "pfoperty list"), "cut off or damaged"),
        ("a.ply", PLY.split("end_header")[0], "cannot be read as a surface"),
        ("a.vtk", VTK.replace("POINTS 3", "POINTS 1000"), "cut off"),
        ("a.vtk", VTK.replace("3 0 1 2", "3 0 1 99"), "a cell has a point that is not there"),
        ("a.vtk", VTK.replace("3 0 1 2", "3 0 1 -2"), "a cell has a point that is not there"),
        ("a.stl", TRIANGLE[:80] + bytes(4), "cannot be read as a surface"),
        ("a.stl", TRIANGLE[:96] + struct.pack("<9f", *[5.0] * 9) + bytes(2), "no triangle"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 60 else "",
)
def test_a_surface_whose_points_or_cells_are_wrong_is_refused(scene, tmp_path: Path, name, content, says) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=says):
        load_surface(scene, path)


@pytest.mark.parametrize(("name", "content"), [("a.ply", PLY.encode()), ("a.vtk", VTK.encode()), ("a.stl", TRIANGLE)])
def test_a_sound_triangle_is_read(scene, tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    points = read_surface_points(load_surface(scene, path))
    assert sorted(map(tuple, np.abs(points))) == [(0, 0, 0), (0, 1, 0), (1, 0, 0)]


def vectors(components: int, spoiled: float = 0.0) -> sitk.Image:
    array = np.zeros((5, 6, 7, components), np.float32)
    array[2, 2, 2, 0] = spoiled
    return sitk.GetImageFromArray(array, isVector=components > 1)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_only_an_image_of_three_numbers_is_a_displacement_field(scene, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(vectors(3, 4.0), str(path))
    assert not load_transform_node(scene, path).IsLinear()
    for components in (1, 2):
        image = vectors(2) if components == 2 else sitk.VectorIndexSelectionCast(vectors(2), 0)
        sitk.WriteImage(image, str(path))
        with pytest.raises(InputError, match="is no displacement field"):
            load_transform_node(scene, path)
    sitk.WriteImage(vectors(3, float("nan")), str(path))
    with pytest.raises(InputError, match="not finite"):
        load_transform_node(scene, path)


@pytest.mark.parametrize(
    ("layout", "start", "values", "says"),
    [
        ("<h", 68, (0,), "whose intent_code is 0, not 1006 or 1007"),
        ("<h", 68, (1005,), "whose intent_code is 1005"),
        ("<2f", 112, (2, 0), "have a scale or a unit other than mm"),
        ("<2f", 112, (1, 5), "have a scale or a unit other than mm"),
        ("<b", 123, (3,), "have a scale or a unit other than mm"),
        ("<2f", 112, (float("nan"), float("nan")), ""),
        ("<h", 68, (1006,), ""),
    ],
)
def test_what_a_nifti_header_says_of_displacements_is_heeded(
    scene, tmp_path: Path, layout: str, start: int, values: tuple[float, ...], says: str
) -> None:
    path = tmp_path / "a.nii"
    sitk.WriteImage(vectors(3, 4.0), str(path))
    content = bytearray(path.read_bytes())
    struct.pack_into(layout, content, start, *values)
    path.write_bytes(content)
    if not says:
        assert not load_transform_node(scene, path).IsLinear()
        return
    with pytest.raises(InputError, match=says):
        load_transform_node(scene, path)


def test_a_transform_of_two_dimensions_is_refused(scene, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    sitk.WriteTransform(sitk.AffineTransform(2), str(path))
    with pytest.raises(InputError, match="not one of three dimensions"):
        load_transform_node(scene, path)


@pytest.mark.parametrize("lines", ["TransformMatrix = 3 0 0 0 3 0 0 0 3", "TransformMatrix = 0 0 0 0 0 0 0 0 0"])
def test_metaimage_axes_that_would_change_the_spacing_are_refused(scene, tmp_path: Path, lines: str) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(meta(8, SMALL.tobytes(), lines))
    with pytest.raises(InputError, match="not of length 1"):
        load_volume(scene, path)


def test_a_negative_spacing_of_a_metaimage_is_said(scene, tmp_path: Path) -> None:
    path, said = tmp_path / "a.mha", []
    path.write_bytes(meta(8, SMALL.tobytes()).replace(b"ElementSpacing = 1 1 1", b"ElementSpacing = -1 1 1"))
    load_volume(scene, path, on_warning=said.append)
    assert any("negative voxel spacing; left and right may be exchanged" in line for line in said)
