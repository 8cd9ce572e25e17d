from __future__ import annotations

import gzip
import re
import resource
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import vtk
from scipy.spatial.transform import Rotation

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import Geometry
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation, Volume
from LightRegistrationLib.scene.files.saving import save_node, save_scene, save_segmentation
from LightRegistrationLib.scene.files.segmentation_loading import load_mask, load_segmentation, read_segmentation
from LightRegistrationLib.scene.files.transform_loading import load_linear_transform
from LightRegistrationLib.scene.files.volume_loading import load_volume
from LightRegistrationLib.scene.nodes.segmentations import segmentation_from_node, segmentation_node_from_segmentation
from LightRegistrationLib.scene.nodes.volumes import volume_from_node, volume_node_from_volume

from ..analytic import phantom, points_inside
from .nodes import GEOMETRIES, GEOMETRY_NAMES

every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES, ids=GEOMETRY_NAMES)
LPS = np.array([-1.0, -1.0, 1.0])


def itk_image(array: np.ndarray, affine: np.ndarray, vector: bool = False) -> sitk.Image:
    image = sitk.GetImageFromArray(array, isVector=vector)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin((affine[:3, 3] * LPS).tolist())
    image.SetDirection((np.diag(LPS) @ (affine[:3, :3] / spacing)).ravel().tolist())
    return image


def affine_of(image: sitk.Image) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.diag(LPS) @ np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = np.array(image.GetOrigin()) * LPS
    return affine


def write_series(folder: Path, uid: str, prefix: str, geometry: Geometry, array: np.ndarray) -> None:
    """Write a DICOM series as a scanner would: one file per slice, numbered, in an order of its own."""
    folder.mkdir(exist_ok=True)
    image = itk_image(array, np.diag([*geometry.spacing_mm, 1]))
    direction = np.diag(LPS) @ (geometry.affine[:3, :3] / geometry.spacing_mm)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetImageIO("GDCMImageIO")
    for k in range(array.shape[0]):
        piece = image[:, :, k]
        position = (geometry.affine @ (0, 0, k, 1))[:3] * LPS
        tags = {
            "0008|0060": "MR",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.4",
            "0008|0018": f"{uid}.{k + 1}",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.9",
            "0020|000e": uid,
            "0020|0013": str(k + 1),
            "0020|0032": "\\".join(f"{x:.8f}" for x in position),
            "0020|0037": "\\".join(f"{x:.10f}" for x in (*direction[:, 0], *direction[:, 1])),
            "0018|0050": f"{geometry.spacing_mm[2]:.6f}",
        }
        for tag, value in tags.items():
            piece.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{prefix}{(k * 7) % array.shape[0]:03d}"))
        writer.Execute(piece)


@every_geometry
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"])
def test_a_volume_file_is_read_with_its_geometry(scene, tmp_path, geometry: Geometry, suffix: str) -> None:
    volume, _ = phantom(geometry)
    path = tmp_path / f"scan{suffix}"
    sitk.WriteImage(itk_image(volume.array, volume.affine), str(path))
    node = load_volume(scene, path)
    loaded = volume_from_node(node)
    assert node.GetName() == "scan"
    assert (loaded.array == volume.array).all()
    assert loaded.array.dtype == volume.array.dtype
    assert loaded.geometry.matches(geometry, 1e-3)


@every_geometry
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_simpleitk_reads_a_saved_volume_the_same(scene, tmp_path, geometry: Geometry, suffix: str) -> None:
    volume, _ = phantom(geometry)
    path = tmp_path / f"warped{suffix}"
    save_node(volume_node_from_volume(scene, volume, "warped"), path)
    image = sitk.ReadImage(str(path))
    assert (sitk.GetArrayFromImage(image) == volume.array).all()
    assert np.abs(affine_of(image) - volume.affine).max() < 1e-3


def test_numbered_files_in_one_folder_are_separate_volumes(scene, tmp_path) -> None:
    for number, geometry in ((1, GEOMETRIES[0]), (2, GEOMETRIES[3])):
        volume, _ = phantom(geometry, seed=number)
        sitk.WriteImage(itk_image(volume.array, volume.affine), str(tmp_path / f"brain_{number}.nii.gz"))
    loaded = volume_from_node(load_volume(scene, tmp_path / "brain_1.nii.gz"))
    assert loaded.geometry.matches(GEOMETRIES[0])


@pytest.mark.parametrize("geometry", [GEOMETRIES[0], GEOMETRIES[1]], ids=["plain", "oblique"])
def test_a_dicom_folder_is_one_volume(scene, tmp_path, geometry: Geometry) -> None:
    volume, _ = phantom(geometry)
    write_series(tmp_path / "scan", "1.2.826.0.1.3680043.2.1125.1", "IM", geometry, volume.array)
    (tmp_path / "scan" / "notes.txt").write_text("not an image")
    loaded = volume_from_node(load_volume(scene, tmp_path / "scan"))
    order = 1 if (loaded.affine[:3, 2] @ volume.affine[:3, 2]) > 0 else -1
    assert (loaded.array == volume.array[::order]).all()
    assert np.abs(loaded.geometry.center_mm - geometry.center_mm).max() < 1e-3
    assert np.abs(loaded.geometry.spacing_mm - geometry.spacing_mm).max() < 1e-3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("missing slice", "2.00 to 4.00 mm apart"),
        ("two time points", "several slices at one position"),
        ("two orientations", "several orientations"),
        ("gantry tilt", "gantry tilt"),
    ],
)
def test_an_uneven_dicom_series_is_refused(scene, tmp_path, change: str, says: str) -> None:
    geometry = Geometry((6, 8, 9), GEOMETRIES[0].affine)
    array = np.arange(6 * 72, dtype=np.int16).reshape(6, 8, 9)
    folder, uid = tmp_path / "scan", "1.2.826.0.1.3680043.2.1125.1"
    if change == "gantry tilt":
        sheared = geometry.affine.copy()
        sheared[1, 2] = 0.6
        geometry = Geometry(geometry.shape, sheared)
    write_series(folder, uid, "a", geometry, array)
    if change == "missing slice":
        (folder / "a002").unlink()
    if change == "two time points":
        write_series(folder, uid, "b", geometry, array)
    if change == "two orientations":
        turned = geometry.affine @ np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
        write_series(folder, uid, "b", Geometry(geometry.shape, turned), array)
    with pytest.raises(InputError, match=says):
        load_volume(scene, folder)


def test_a_dicom_slice_that_is_cut_off_is_refused(scene, tmp_path) -> None:
    geometry = Geometry((4, 8, 9), GEOMETRIES[0].affine)
    array = np.arange(288, dtype=np.int16).reshape(4, 8, 9)
    write_series(tmp_path / "scan", "1.2.826.0.1.3680043.2.1125.1", "a", geometry, array)
    file = tmp_path / "scan" / "a002"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(InputError, match="a002: the file is cut off"):
        load_volume(scene, tmp_path / "scan")


def test_a_folder_with_two_dicom_series_is_refused(scene, tmp_path) -> None:
    geometry = Geometry((4, 8, 9), GEOMETRIES[0].affine)
    array = np.arange(288, dtype=np.int16).reshape(4, 8, 9)
    write_series(tmp_path / "scan", "1.2.826.0.1.3680043.2.1125.1", "a", geometry, array)
    write_series(tmp_path / "scan", "1.2.826.0.1.3680043.2.1125.2", "b", geometry, array)
    with pytest.raises(InputError, match="scan: the folder holds 2 DICOM series"):
        load_volume(scene, tmp_path / "scan")


def test_a_folder_without_dicom_is_refused(scene, tmp_path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match="the folder holds no DICOM image"):
        load_volume(scene, tmp_path)


def write_bad_file(kind: str, path: Path) -> None:
    """Write a file that cannot be registered, in the way that `kind` says."""
    rng = np.random.default_rng(0)
    good = sitk.GetImageFromArray(rng.random((5, 6, 7)).astype(np.float32))
    if kind == "empty":
        path.touch()
    elif kind == "garbage":
        path.write_bytes(rng.bytes(2000))
    elif kind == "cut off":
        sitk.WriteImage(good, str(path))
        path.write_bytes(path.read_bytes()[:-300])
    elif kind == "one slice":
        sitk.WriteImage(good[:, :, :1], str(path))
    elif kind == "2-D":
        sitk.WriteImage(good[:, :, 0], str(path))
    elif kind == "4-D":
        sitk.WriteImage(sitk.GetImageFromArray(rng.random((3, 5, 6, 7)), isVector=False), str(path))
    elif kind == "color":
        sitk.WriteImage(sitk.GetImageFromArray(rng.random((5, 6, 7, 3)), isVector=True), str(path))
    elif kind == "NaN":
        sitk.WriteImage(good * np.nan, str(path))
    elif kind == "constant":
        sitk.WriteImage(good * 0 + 7, str(path))
    else:
        write_zero_axis(good, path)


def write_zero_axis(image: sitk.Image, path: Path) -> None:
    sitk.WriteImage(image, str(path), useCompression=False)
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    if path.name.endswith((".nii", ".nii.gz")):
        content = content[:252] + np.array([0, 1], "<i2").tobytes() + content[256:]  # trust spacing and quaternion
        content = content[:80] + np.array([0], "<f4").tobytes() + content[84:]
        content = gzip.compress(content) if path.suffix == ".gz" else content
    else:
        content = content.replace(b"ElementSpacing = 1 1 1", b"ElementSpacing = 1 0 1").replace(b"(0,1,0)", b"(0,0,0)")
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("empty", "the file is empty"),
        ("garbage", "cannot be read|not a NIfTI image|not a NRRD file|not a MetaImage"),
        ("cut off", "cut off|damaged"),
        ("one slice", "single slice"),
        ("2-D", "single slice"),
        ("4-D", r"4-D \(7 x 6 x 5 x 3\)"),
        ("color", "3 components"),
        ("NaN", "no finite value"),
        ("constant", "all its voxels have the value 7"),
        ("zero axis", "length zero"),
    ],
)
def test_a_bad_file_is_one_clear_line(scene, tmp_path, capfd, kind: str, says: str, suffix: str) -> None:
    path = tmp_path / f"bad_1{suffix}"
    write_bad_file(kind, path)
    count = scene.GetNumberOfNodes()
    with pytest.raises(InputError, match=says) as caught:
        load_volume(scene, path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert scene.GetNumberOfNodes() == count
    assert capfd.readouterr() == ("", "")


def test_missing_unknown_and_unreadable_files_are_refused(scene, tmp_path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.nii\.gz: there is no such file"):
        load_volume(scene, tmp_path / "nowhere.nii.gz")
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match=r"use \.nii, \.nii\.gz"):
        load_volume(scene, tmp_path / "a.jpg")
    with pytest.raises(InputError, match="cannot be opened"):
        load_volume(scene, tmp_path / ("long" * 100 + ".nii"))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_names_with_blanks_and_accents_are_fine(scene, tmp_path, suffix: str) -> None:
    folder = tmp_path / "Dr. Müller, août"
    folder.mkdir()
    volume, labels = phantom(GEOMETRIES[0])
    path = folder / f"tête (1){suffix}"
    save_node(volume_node_from_volume(scene, volume, "head"), path)
    assert load_volume(scene, path).GetName() == "tête (1)"
    save_segmentation(segmentation_node_from_segmentation(scene, labels, "organs"), path)
    assert len(segmentation_from_node(load_segmentation(scene, path)).segments) == 3


def test_errors_outside_the_reading_still_reach_the_terminal(scene, tmp_path, capfd) -> None:
    (tmp_path / "bad.nrrd").write_bytes(b"rubbish")
    window = vtk.vtkOutputWindow.GetInstance()
    with pytest.raises(InputError):
        load_volume(scene, tmp_path / "bad.nrrd")
    assert vtk.vtkOutputWindow.GetInstance() is window
    scene.AddNewNodeByClass("vtkMRMLNoSuchNode")
    assert "vtkMRMLNoSuchNode" in capfd.readouterr().err


@every_geometry
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_a_label_map_file_becomes_a_segmentation(scene, tmp_path, geometry: Geometry, suffix: str, dtype: type) -> None:
    _, truth = phantom(geometry)
    path = tmp_path / f"organs{suffix}"
    sitk.WriteImage(itk_image(truth.layers[0].astype(dtype), truth.affine), str(path))
    node = load_segmentation(scene, path)
    segmentation = segmentation_from_node(node)
    assert [(s.name, s.value) for s in segmentation.segments] == [("Label_2", 2), ("Label_5", 5), ("Label_11", 11)]
    assert (segmentation.layers[0] == truth.layers[0]).all()
    assert segmentation.geometry.matches(geometry, 1e-3)
    colors = {node.GetSegmentation().GetSegment(i).GetColor() for i in node.GetSegmentation().GetSegmentIDs()}
    assert len(colors) == 3


def test_a_slicer_segmentation_file_keeps_names_overlaps_and_colors(scene, tmp_path) -> None:
    first, second = np.zeros((2, 8, 9, 10), np.uint8)
    first[1:5, 2:7, 2:7], second[3:7, 4:8, 3:9] = 3, 1
    segments = (Segment("liver", 3, 0), Segment("tumor", 1, 1))
    source = segmentation_node_from_segmentation(scene, Segmentation((first, second), np.eye(4), segments), "overlap")
    source.GetSegmentation().GetNthSegment(1).SetColor(0, 1, 0)
    for name in ("overlap.seg.nrrd", "renamed.nrrd"):
        path = tmp_path / name
        save_segmentation(source, tmp_path / "overlap.seg.nrrd")
        if name != "overlap.seg.nrrd":
            (tmp_path / "overlap.seg.nrrd").rename(path)
        node = load_segmentation(scene, path)
        segmentation = segmentation_from_node(node)
        assert {s.name: int(segmentation.mask(s).sum()) for s in segmentation.segments} == {"liver": 100, "tumor": 96}
        assert {s.name: s.value for s in segmentation.segments} == {"liver": 3, "tumor": 1}
        assert node.GetSegmentation().GetNthSegment(1).GetColor() == pytest.approx((0, 1, 0))


@pytest.mark.parametrize("layer", [0, 1], ids=["layer of another structure", "layer of its own"])
def test_an_empty_structure_of_a_slicer_segmentation_is_said(scene, tmp_path, layer: int) -> None:
    first, second = np.zeros((2, 8, 9, 10), np.uint8)
    first[1:5, 2:7, 2:7] = 1
    segments = (Segment("liver", 1, 0), Segment("tumor", 2, layer), Segment("liver", 3, layer))
    source = segmentation_node_from_segmentation(scene, Segmentation((first, second), np.eye(4), segments), "a")
    path = tmp_path / "a.seg.nrrd"
    save_segmentation(source, path)
    for read in (load_segmentation, load_mask, read_segmentation):
        lines: list[str] = []
        read(scene, path, on_warning=lines.append)
        assert sorted(lines) == [
            f"{path}: the structure '{name}' is empty; it has no voxel." for name in ("liver", "tumor")
        ]


def test_labels_of_no_segment_are_said(scene, tmp_path) -> None:
    labels = np.zeros((8, 9, 10), np.uint8)
    labels[1:5, 2:7, 2:7], labels[6, 2, 2] = 1, 9
    source = segmentation_node_from_segmentation(scene, Segmentation((labels,), np.eye(4), (Segment("liver", 1),)), "a")
    path, lines = tmp_path / "a.seg.nrrd", list[str]()
    save_segmentation(source, path)
    load_segmentation(scene, path, on_warning=lines.append)
    assert lines == [f"{path}: labels that belong to no segment of its header are left out (1 voxel)."]


@pytest.mark.parametrize("pattern", [rb"Segment\d_LabelValue:=\d\n", rb"Segment1_LabelValue:=\d\n"])
def test_segments_of_one_layer_without_label_values_are_refused(scene, tmp_path, pattern: bytes) -> None:
    labels = np.zeros((8, 9, 10), np.uint8)
    labels[1:5, 2:7, 2:4], labels[1:5, 2:7, 4:7] = 1, 2
    segmentation = Segmentation((labels,), np.eye(4), (Segment("liver", 1), Segment("tumor", 2)))
    path = tmp_path / "a.seg.nrrd"
    save_segmentation(segmentation_node_from_segmentation(scene, segmentation, "a"), path)
    path.write_bytes(re.sub(pattern, b"", path.read_bytes()))
    with pytest.raises(InputError, match="segments have no label value"):
        load_segmentation(scene, path)


@every_geometry
def test_a_saved_label_image_has_the_segments_own_values(scene, tmp_path, geometry: Geometry) -> None:
    _, truth = phantom(geometry)
    path = tmp_path / "warped_segmentation.nii.gz"
    save_segmentation(segmentation_node_from_segmentation(scene, truth, "organs"), path)
    image = sitk.ReadImage(str(path))
    assert (sitk.GetArrayFromImage(image) == truth.layers[0]).all()
    assert np.abs(affine_of(image) - truth.affine).max() < 1e-3


@pytest.mark.parametrize(
    ("array", "says"),
    [(np.zeros((4, 5, 6), np.uint8), "label map is empty"), (np.full((4, 5, 6), 0.5), "not a label map")],
)
def test_a_file_that_is_not_a_label_map_is_refused(scene, tmp_path, array: np.ndarray, says: str) -> None:
    path = tmp_path / "labels.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    with pytest.raises(InputError, match=re.escape(str(path)) + f": .*{says}"):
        load_segmentation(scene, path)


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".h5", ".mat"])
def test_a_linear_itk_transform_is_read_as_fixed_to_moving(scene, tmp_path, suffix: str) -> None:
    angles = Rotation.from_euler("xyz", (0.2, -0.3, 0.1)).as_matrix()
    transform = sitk.AffineTransform(3)
    transform.SetMatrix((angles * (1.1, 0.9, 1)).ravel().tolist())
    transform.SetTranslation((5, -7, 9))
    transform.SetCenter((10, 20, 30))
    path = tmp_path / f"initial{suffix}"
    sitk.WriteTransform(transform, str(path))
    count = scene.GetNumberOfNodes()
    points = points_inside(GEOMETRIES[1], 20)
    expected = np.array([transform.TransformPoint(tuple(p * LPS)) for p in points]) * LPS
    assert np.abs(load_linear_transform(scene, path)(points) - expected).max() < 1e-4
    assert scene.GetNumberOfNodes() == count


def test_a_chain_of_linear_transforms_is_read_as_one(scene, tmp_path) -> None:
    parts = [sitk.TranslationTransform(3, (1, 2, 3)), sitk.Euler3DTransform((1, 2, 3), 0.1, 0.2, 0.3, (4, 5, 6))]
    transform = sitk.CompositeTransform(parts)
    sitk.WriteTransform(transform, str(tmp_path / "chain.h5"))
    points = points_inside(GEOMETRIES[0], 20)
    expected = np.array([transform.TransformPoint(tuple(p * LPS)) for p in points]) * LPS
    assert np.abs(load_linear_transform(scene, tmp_path / "chain.h5")(points) - expected).max() < 1e-6


def test_other_transforms_are_refused(scene, tmp_path, capfd) -> None:
    field = sitk.DisplacementFieldTransform(3)
    field.SetDisplacementField(sitk.GetImageFromArray(np.random.default_rng(0).random((5, 6, 7, 3)), isVector=True))
    sitk.WriteTransform(field, str(tmp_path / "bent.h5"))
    with pytest.raises(InputError, match=r"bent\.h5: the transform is not linear"):
        load_linear_transform(scene, tmp_path / "bent.h5")
    for name in ("bad.h5", "bad.tfm", "bad.txt", "bad.mat"):
        (tmp_path / name).write_bytes(b"rubbish")
        with pytest.raises(InputError, match="cannot be read as a transform"):
            load_linear_transform(scene, tmp_path / name)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", "uint8 int8 int16 uint16 int32 uint32 float32 float64".split())
def test_every_voxel_type_can_be_written(scene, tmp_path, dtype: str, suffix: str) -> None:
    array = (np.random.default_rng(1).random((4, 5, 6)) * 100).astype(dtype)
    save_node(volume_node_from_volume(scene, Volume(array, np.eye(4)), "scan"), tmp_path / f"scan{suffix}")
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"scan{suffix}")))
    assert found.dtype == dtype
    assert (found == array).all()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_full_disk_is_reported(scene, tmp_path, suffix: str) -> None:
    array = np.random.default_rng(1).random((40, 50, 60))
    node = volume_node_from_volume(scene, Volume(array, np.eye(4)), "scan")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(InputError, match=r"written"):
            save_node(node, tmp_path / f"scan{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_failed_write_is_reported(scene, tmp_path, capfd) -> None:
    node = volume_node_from_volume(scene, phantom(GEOMETRIES[0])[0], "scan")
    with pytest.raises(InputError, match=r"nowhere/scan\.nii\.gz: cannot be written .the folder does not exist"):
        save_node(node, tmp_path / "nowhere" / "scan.nii.gz")
    with pytest.raises(InputError, match="cannot be written"):
        save_node(node, tmp_path / "scan.unknown")
    with pytest.raises(InputError, match="scene cannot be written"):
        save_scene(scene, tmp_path / "nowhere" / "scene.mrb")
    assert capfd.readouterr().err == ""
