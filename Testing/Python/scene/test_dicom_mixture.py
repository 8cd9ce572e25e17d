"""DICOM series whose slices do not belong together or are stored in an unusual way: right, refused, or said."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.scene.files.volume_loading import load_volume

from .test_dicom import ARRAY, check_voxels, make_frames, make_slices, save

LABEL_MAP_CLASS = "1.2.840.10008.5.1.4.1.1.66.7"


def _set(chosen: slice = slice(None), **values: Any) -> Callable[[list[FileDataset]], None]:
    def edit(slices: list[FileDataset]) -> None:
        for data in slices[chosen]:
            for name, value in values.items():
                setattr(data, name, value)

    return edit


def _leave_out_each_second(slices: list[FileDataset]) -> None:
    del slices[1::2]


def _delete(name: str) -> Callable[[list[FileDataset]], None]:
    return lambda slices: delattr(slices[2], name)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (_set(slice(2, 3), PatientID="other"), "its slices are of several patients"),
        (_set(slice(2, 3), FrameOfReferenceUID="1.2.3"), "several frames of reference"),
        (_set(slice(2, 3), EchoTime=80), "several echo times, 20 to 80 ms"),
        (_delete("RescaleSlope"), "some of its slices have a scale of their values"),
        (
            _leave_out_each_second,
            "in steps of 2 and lie 8 mm apart, but are 4 mm thick; slices may be missing",
        ),
    ],
)
def test_slices_that_may_not_belong_together_are_said(scene, tmp_path: Path, edit, says: str) -> None:
    slices, lines = make_slices(), []
    _set(FrameOfReferenceUID="1.2", EchoTime=20)(slices)
    edit(slices)
    load_volume(scene, save(tmp_path / "scan", slices), on_warning=lines.append)
    (line,) = lines
    assert line.startswith(f"{tmp_path / 'scan'}: ")
    assert says in line


def test_slices_of_one_stack_with_gaps_are_no_warning(scene, tmp_path: Path) -> None:
    slices, lines = make_slices(), []
    _set(FrameOfReferenceUID="1.2", EchoTime=20, SliceThickness=2)(slices)
    check_voxels(load_volume(scene, save(tmp_path / "scan", slices), on_warning=lines.append))
    assert lines == []


def _compress_as_film(slices: list[FileDataset]) -> None:
    for data in slices:
        data.file_meta.TransferSyntaxUID = MPEG2MPML
        data.PixelData = encapsulate([bytes(100)])
        data["PixelData"].is_undefined_length = True


def _store_floats(slices: list[FileDataset]) -> None:
    for data, array in zip(slices, ARRAY, strict=True):
        del data.PixelData
        data.BitsAllocated, data.FloatPixelData = 32, array.astype(np.float32).tobytes()


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (
            _set(ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"]),
            "are mosaics, with all slices of a volume in",
        ),
        (_compress_as_film, "the voxels, which are compressed as MPEG2 Main Profile / Main Level, cannot be read"),
        (_store_floats, "the voxels of this DICOM file are floating-point numbers"),
        (_set(SOPClassUID=LABEL_MAP_CLASS), "this is a DICOM segmentation, not an image"),
        (lambda slices: slices.append(make_frames([0, 1])), "consists of 1 multi-frame file and 6 other files"),
        (
            lambda slices: [delattr(data, "Rows") for data in slices],
            r"in the folder holds an image \(CT\)",
        ),
    ],
)
def test_what_is_no_stack_of_slices_is_named(scene, tmp_path: Path, edit, says: str) -> None:
    slices = make_slices()
    edit(slices)
    with pytest.raises(InputError, match=says):
        load_volume(scene, save(tmp_path / "scan", slices))


def test_private_data_that_look_like_voxels_are_no_damage(scene, tmp_path: Path) -> None:
    slices = make_slices()
    for data in slices:
        block = data.private_block(0x29, "MAKER", create=True)
        block.add_new(0x10, "OB", b"\xe0\x7f\x10\x00OW" + b"x" * 200)
    check_voxels(load_volume(scene, save(tmp_path / "scan", slices)))


@pytest.mark.parametrize("count", [1, 100])
def test_voxels_that_are_cut_off_are_refused(scene, tmp_path: Path, count: int) -> None:
    folder = save(tmp_path / "scan", make_slices())
    path = sorted(folder.iterdir())[3]
    path.write_bytes(path.read_bytes()[:-count])
    with pytest.raises(InputError, match=re.escape(f"{path.name}: the file is cut off")):
        load_volume(scene, folder)


def test_a_series_of_number_0_and_one_without_uid_are_chosen(scene, tmp_path: Path) -> None:
    slices, others = make_slices(), make_slices("b")
    _set(SeriesNumber=0)(slices)
    for data in others:
        del data.SeriesInstanceUID
    folder = save(tmp_path / "scan", slices)
    save(folder, others, prefix="OT")
    for series in ("0", " 7 "):
        check_voxels(load_volume(scene, folder, series=series))


def test_a_voxel_type_that_is_several_numbers_is_no_other_error(scene, tmp_path: Path) -> None:
    """Found by the made-up damage of `Testing/Benchmarks/fuzz.py`."""
    slices = make_slices()
    _set(slice(3, 4), BitsStored=[16, 16])(slices)
    with pytest.raises(InputError, match="the DICOM header is damaged"):
        load_volume(scene, save(tmp_path / "scan", slices))
