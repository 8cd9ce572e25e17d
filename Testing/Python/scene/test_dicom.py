"""DICOM: series are listed and chosen; each frame and slice lies where its header says, or the series is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.scene.files.dicom import list_series
from LightRegistrationLib.scene.files.volume_loading import load_volume
from LightRegistrationLib.scene.nodes.volumes import volume_from_node

AXES = Rotation.from_euler("xyz", (10, -20, 30), degrees=True).as_matrix()
SPACING = np.array([1.5, 2.0, 4.0])
ORIGIN = np.array([-20.0, 15.0, 40.0])
ARRAY = np.random.default_rng(0).integers(-1000, 1000, (6, 8, 10)).astype(np.int16)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def position(k: float) -> list[float]:
    return [round(float(v), 6) for v in ORIGIN + AXES[:, 2] * SPACING[2] * k]


def make_dataset(name: str, series: str = "a", storage: str = CTImageStorage) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = storage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, name])
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = storage, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = (
        generate_uid(entropy_srcs=["s"]),
        generate_uid(entropy_srcs=[series]),
    )
    data.PatientName, data.PatientID, data.Modality = "Secret^Name", "S1", "CT"
    data.SeriesNumber, data.SeriesDescription = {"a": 2, "b": 7}[series], f"Axial {series}"
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.Rows, data.Columns = ARRAY.shape[1:]
    return data


def make_slices(series: str = "a") -> list[FileDataset]:
    slices = []
    for k, array in enumerate(ARRAY):
        data = make_dataset(str(k), series)
        data.ImagePositionPatient = position(k)
        data.ImageOrientationPatient = [float(v) for v in (*AXES[:, 0], *AXES[:, 1])]
        data.PixelSpacing, data.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
        data.InstanceNumber, data.RescaleSlope, data.RescaleIntercept = k + 1, 1, 0
        data.PixelData = array.tobytes()
        slices.append(data)
    return slices


def make_frames(order: list[int]) -> FileDataset:
    """A multi-frame file that stores the slices in this order."""
    data = make_dataset("frames", storage=EnhancedCTImageStorage)
    data.NumberOfFrames = len(order)
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
    orientation.ImageOrientationPatient = [float(v) for v in (*AXES[:, 0], *AXES[:, 1])]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([orientation])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for k in order:
        frame, place, scale = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = position(k)
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 1, 0, "HU"
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = Sequence([place]), Sequence([scale])
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    data.PixelData = ARRAY[order].tobytes()
    return data


def save(folder: Path, datasets: list[FileDataset], prefix: str = "IM") -> Path:
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(datasets):
        # The names are in another order than the slices.
        data.save_as(folder / f"{prefix}{number * 5 % 7:03d}{number}.dcm", enforce_file_format=True)
    return folder


def check_voxels(node: Any) -> None:
    """Each stored voxel lies where the header of its slice says."""
    volume = volume_from_node(node)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = LPS_TO_RAS @ AXES * SPACING, LPS_TO_RAS @ ORIGIN
    assert np.abs(volume.affine - affine).max() < 1e-3
    assert (volume.array == ARRAY).all()


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [0, 2, 4, 1, 3, 5]])
def test_the_frames_of_a_multi_frame_file_lie_where_each_of_them_says(scene, tmp_path, order: list[int]) -> None:
    check_voxels(load_volume(scene, save(tmp_path / "scan", [make_frames(order)])))


def test_slices_lie_where_they_say(scene, tmp_path) -> None:
    check_voxels(load_volume(scene, save(tmp_path / "scan", make_slices())))


def test_a_file_without_the_mark_of_dicom_is_found(scene, tmp_path) -> None:
    folder = save(tmp_path / "scan", make_slices())
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.preamble = None
        data.file_meta = FileMetaDataset()
        pydicom.dcmwrite(path, data, implicit_vr=False, little_endian=True, enforce_file_format=False)
    check_voxels(load_volume(scene, folder))


@pytest.mark.parametrize("is_link", [False, True], ids=["empty file", "dead link"])
def test_a_file_that_is_dicom_by_name_alone_is_said(scene, tmp_path, is_link: bool) -> None:
    folder = save(tmp_path / "scan", make_slices())
    name = folder / "IM9999.dcm"
    _ = name.symlink_to("nowhere") if is_link else name.touch()
    lines: list[str] = []
    check_voxels(load_volume(scene, folder, on_warning=lines.append))
    assert len(lines) == 1
    assert "left out: IM9999.dcm; slices may be missing" in lines[0]


def _set(name: str, value: Any, chosen: slice) -> Callable[[list[FileDataset]], list[FileDataset]]:
    def edit(slices: list[FileDataset]) -> list[FileDataset]:
        for data in slices[chosen]:
            setattr(data, name, value)
        return slices

    return edit


def _drift(slices: list[FileDataset]) -> list[FileDataset]:
    """The steps grow by less than a tenth, but the middle lies more than half a slice off an even stack."""
    stack = [*slices, *(make_slices("a") for _ in range(9))]
    flat = [data for part in stack for data in (part if isinstance(part, list) else [part])]
    steps = np.where(np.arange(len(flat)) < len(flat) // 2, 0.955, 1.045)
    for number, data in enumerate(flat):
        data.ImagePositionPatient = position(float(steps[:number].sum()))
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(number)])
    return flat


def _shrink(slices: list[FileDataset]) -> list[FileDataset]:
    slices[2].Rows, slices[2].Columns, slices[2].PixelData = 4, 5, bytes(40)
    return slices


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (_set("PixelSpacing", [2.0, 1.2], slice(3, None)), r"differ in their pixel spacing \(1.2 to 2 mm\)"),
        (_set("PixelSpacing", None, slice(None)), "lack the pixel spacing"),
        (_set("ImagePositionPatient", None, slice(2, 3)), "lack position"),
        (_shrink, r"different sizes \(5 x 4 and 10 x 8\)"),
        (_drift, "off an evenly spaced stack"),
        (lambda slices: slices[:2] + slices[3:], "add the missing ones"),
        (_set("PhotometricInterpretation", "PALETTE COLOR", slice(None)), r"holds colors \(PALETTE COLOR\)"),
        (_set("PixelData", b"", slice(2, 3)), "describes an image, but holds no voxels"),
    ],
)
def test_slices_that_are_not_one_stack_are_refused(
    scene, tmp_path, edit: Callable[[list[FileDataset]], list[FileDataset]], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        load_volume(scene, save(tmp_path / "scan", edit(make_slices())))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PixelData", ARRAY[0].tobytes()[:60], "describes 160 bytes of voxels, but there are 60"),
        ("Rows", 60000, "describes 1200000 bytes of voxels, but there are 160"),
        ("BitsAllocated", 8, "describes 80 bytes of voxels, but there are 160"),
        ("PixelSpacing", [0, 0], "spacing of the DICOM slices is not above 0"),
        ("PixelSpacing", [-2, 1.5], "spacing of the DICOM slices is not above 0"),
        ("ImageOrientationPatient", [0] * 6, "orientation of the DICOM slices is damaged"),
        ("ImageOrientationPatient", [1, 0, 0, 0.5, 0.8, 0], "orientation of the DICOM slices is damaged"),
        ("ImageOrientationPatient", [2, 0, 0, 0, 2, 0], "orientation of the DICOM slices is damaged"),
        ("RescaleSlope", 0, "RescaleSlope of the DICOM file is 0, so that all voxels are equal"),
        ("HighBit", 12, r"do not begin at the lowest one \(BitsStored 16, HighBit 12\)"),
    ],
)
def test_slices_that_contradict_themselves_are_refused(scene, tmp_path, name: str, value: Any, says: str) -> None:
    slices = make_slices()
    for data in slices:
        setattr(data, name, value)
    with pytest.raises(InputError, match=says):
        load_volume(scene, save(tmp_path, slices))


def test_slices_of_several_voxel_types_are_refused(scene, tmp_path) -> None:
    slices = make_slices()
    slices[3].PixelRepresentation = 0
    with pytest.raises(InputError, match="several voxel types"):
        load_volume(scene, save(tmp_path, slices))


def test_values_that_are_not_read_as_stored_are_said(scene, tmp_path) -> None:
    inverted, with_table = make_slices(), make_slices()
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [2, 0, 16], "HU"
    table.add_new(0x00283006, "OW", bytes(4))
    for data in inverted:
        data.PhotometricInterpretation = "MONOCHROME1"
    for data in with_table:
        data.ModalityLUTSequence = Sequence([table])
    for slices, says in ((inverted, "MONOCHROME1.*were read inverted"), (with_table, "Modality LUT.*not applied")):
        lines: list[str] = []
        load_volume(scene, save(tmp_path / says[:4], slices), on_warning=lines.append)
        assert len(lines) == 1
        assert re.search(says, lines[0])


def test_a_dose_that_is_read_as_stored_is_said(scene, tmp_path) -> None:
    data, lines = make_frames([0, 1, 2, 3, 4, 5]), list[str]()
    data.DoseGridScaling = 0.001
    check_voxels(load_volume(scene, save(tmp_path, [data]), on_warning=lines.append))
    assert len(lines) == 1
    assert "not as a dose: one step is 0.001 dose units" in lines[0]


def test_colors_are_named(scene, tmp_path) -> None:
    slices = make_slices()
    for data in slices:
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
        data.PixelData *= 3
    with pytest.raises(InputError, match=r"holds colors \(3 channels\)"):
        load_volume(scene, save(tmp_path, slices))


def _remove_positions(data: FileDataset) -> None:
    del data.PerFrameFunctionalGroupsSequence


def _rescale(data: FileDataset) -> None:
    data.PerFrameFunctionalGroupsSequence[3].PixelValueTransformationSequence[0].RescaleSlope = 2


def _flatten(data: FileDataset) -> None:
    for frame in data.PerFrameFunctionalGroupsSequence:
        frame.PixelValueTransformationSequence[0].RescaleSlope = 0


@pytest.mark.parametrize(
    ("order", "edit", "says"),
    [
        ([0, 1, 2, 4, 5], None, "4.00 to 8.00 mm apart"),
        ([0, 1, 1, 2, 3, 4], None, "several slices at one position"),
        ([0, 1, 2, 3, 4, 5], _remove_positions, "does not give position, orientation and pixel spacing"),
        ([0, 1, 2, 3, 4, 5], _rescale, "different intensity scales"),
        ([0, 1, 2, 3, 4, 5], _flatten, "RescaleSlope of the DICOM file is 0"),
    ],
)
def test_frames_that_are_not_one_stack_are_refused(scene, tmp_path, order, edit, says: str) -> None:
    data = make_frames(order)
    if edit:
        edit(data)
    with pytest.raises(InputError, match=says):
        load_volume(scene, save(tmp_path / "scan", [data]))


def test_a_series_of_a_folder_is_listed_and_chosen(scene, tmp_path) -> None:
    folder = save(tmp_path / "scan", make_slices("a"))
    other = make_slices("b")[:4]
    save(folder, other, prefix="other")
    listed = list_series(folder)
    assert [s.describe() for s in listed] == ["2 'Axial a' (6 slices of 10 x 8)", "7 'Axial b' (4 slices of 10 x 8)"]
    with pytest.raises(InputError, match=r"2 DICOM series: 2 'Axial a' \(6 slices.*--series"):
        load_volume(scene, folder)
    with pytest.raises(InputError, match="no DICOM series 3; there are: 2 "):
        load_volume(scene, folder, series="3")
    check_voxels(load_volume(scene, folder, series="2"))
    assert volume_from_node(load_volume(scene, folder, series=listed[1].uid)).array.shape == (4, 8, 10)


def test_one_file_stands_for_its_series_if_that_is_chosen(scene, tmp_path) -> None:
    folder = save(tmp_path / "scan", make_slices("a"))
    file = sorted(folder.iterdir())[2]
    with pytest.raises(InputError, match=r"one slice of the DICOM series 2 'Axial a' \(6 slices.*--series 2"):
        load_volume(scene, file)
    lines: list[str] = []
    check_voxels(load_volume(scene, file, series="2", on_warning=lines.append))
    assert len(lines) == 1
    assert "its whole series was read" in lines[0]
    assert "Secret" not in lines[0]
