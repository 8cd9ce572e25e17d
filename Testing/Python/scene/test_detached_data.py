"""Headers that name their data by a path: only files in their folder are opened, and wrong lists are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.scene.files.segmentation_loading import load_segmentation
from LightRegistrationLib.scene.files.sequences import read_volume_sequence
from LightRegistrationLib.scene.files.transform_loading import load_transform_node
from LightRegistrationLib.scene.files.volume_loading import load_volume
from LightRegistrationLib.scene.nodes.volumes import volume_from_node
from LightRegistrationLib.training.data.image_files import read_image

SIZE = 8
ARRAY = np.arange(SIZE**3, dtype=np.int16).reshape(SIZE, SIZE, SIZE)
NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nsizes: 8 8 8\nendian: little\nencoding: raw\nspace: RAS\n"
    "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n"
)
META = "NDims = 3\nDimSize = 8 8 8\nElementSpacing = 1 1 1\nElementType = MET_SHORT\n"
ONLY_BESIDE = "put the data file beside the header, and write its name alone"


def write_header(folder: Path, name: str, data: str) -> Path:
    """Write a header that names its data, in the folder `scan`; the folder beside it has the same data."""
    for place in (folder / "scan", folder / "scan" / "sub", folder / "other"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "x.raw").write_bytes(ARRAY.tobytes())
        for number, image in enumerate(ARRAY):
            (place / f"s{number}.raw").write_bytes(image.tobytes())
    path = folder / "scan" / name
    field = "ElementDataFile = " if name.endswith((".mha", ".mhd")) else "data file: "
    path.write_text(f"{META if 'Element' in field else NRRD}{field}{data.format(folder=folder)}\n")
    return path


def list_names(folder: str) -> str:
    return "LIST\n" + "\n".join(f"{folder}s{number}.raw" for number in range(SIZE))


OUTSIDE = ["{folder}/other/x.raw", "../other/x.raw", "sub/../../other/x.raw", "sub/../x.raw", "../other/s%d.raw 0 7 1",
           "{folder}/other/s%d.raw 0 7 1", list_names("../other/"), list_names("{folder}/other/"),
           "C:\\other\\x.raw", "..\\other\\x.raw", "\\\\server\\x.raw", "~/x.raw"]  # fmt: skip


@pytest.mark.parametrize("data", OUTSIDE)
@pytest.mark.parametrize("name", ["a.nhdr", "a.nrrd", "a.mhd", "a.mha"])
def test_a_header_opens_no_file_outside_of_its_folder(scene, tmp_path: Path, name: str, data: str) -> None:
    path = write_header(tmp_path, name, data)
    named = data.format(folder=tmp_path).removeprefix("LIST\n").splitlines()[0]
    for read in (load_volume, load_segmentation, *([] if name == "a.nhdr" else [load_transform_node])):
        with pytest.raises(InputError, match=ONLY_BESIDE) as caught:
            read(scene, path)
        if "%" not in data:
            assert f"by the path '{named}'" in str(caught.value)
        assert str(caught.value).startswith(str(path))
    with pytest.raises(InputError, match=ONLY_BESIDE):
        read_image(path)


def test_a_sequence_and_a_segmentation_open_no_file_outside_of_their_folder(scene, tmp_path: Path) -> None:
    path = write_header(tmp_path, "a.seq.nrrd", "../other/x.raw")
    with pytest.raises(InputError, match=ONLY_BESIDE):
        read_volume_sequence(scene, path)
    path = write_header(tmp_path, "a.seg.nrrd", "../other/x.raw")
    path.write_text(path.read_text().replace("space: RAS", "space: RAS\nSegment0_ID:=a\nSegment0_Extent:=0 7 0 7 0 7"))
    with pytest.raises(InputError, match=ONLY_BESIDE):
        load_segmentation(scene, path)


@pytest.mark.parametrize("name", ["a.dat", "a.mha", "a.nii"])
def test_a_nrrd_file_of_another_name_opens_no_file_outside_of_its_folder(tmp_path: Path, name: str) -> None:
    path = write_header(tmp_path, "a.nrrd", "../other/x.raw")
    path = path.rename(path.with_name(name))
    with pytest.raises(InputError, match=r"this kind of file|this is a NRRD file|not a NIfTI image"):
        read_image(path)


@pytest.mark.parametrize(
    "header",
    [
        META + "ElementDataFile : ../other/x.raw\nElementDataFile = LOCAL\n",
        META + "Comment = a\rElementDataFile = LOCAL\nElementDataFile = ../other/x.raw\n",
        META + "Comment\nElementDataFile = LOCAL\nElementDataFile = ../other/x.raw\n",
    ],
    ids=["colon", "carriage return", "line without a value"],
)
def test_the_data_file_is_that_of_itks_reader(scene, tmp_path: Path, header: str) -> None:
    path = write_header(tmp_path, "a.mha", "x.raw")
    path.write_bytes(header.encode() + bytes(ARRAY.nbytes))
    with pytest.raises(InputError, match=f"{ONLY_BESIDE}|header is damaged"):
        load_volume(scene, path)


@pytest.mark.parametrize(
    "data", ["x.raw", "./x.raw", "sub/x.raw", "s%d.raw 0 7 1", "sub/s%d.raw 0 7 1", list_names(""), list_names("sub/")]
)
@pytest.mark.parametrize("name", ["a.nhdr", "a.mhd"])
def test_data_beside_the_header_or_in_a_subfolder_are_read(scene, tmp_path: Path, name: str, data: str) -> None:
    node = load_volume(scene, write_header(tmp_path, name, data))
    np.testing.assert_array_equal(volume_from_node(node).array, ARRAY)


@pytest.mark.parametrize("data", ["s%d.raw 0", "s%d.raw 0 8"])
def test_numbered_slices_of_a_metaimage_need_no_step(scene, tmp_path: Path, data: str) -> None:
    node = load_volume(scene, write_header(tmp_path, "a.mhd", data))
    np.testing.assert_array_equal(volume_from_node(node).array, ARRAY)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.mhd", "LISTING.raw", "LIST of files that are no slices"),
        ("a.mhd", "a%s.raw", "numbered files, 'a%s.raw', cannot be read"),
        ("a.mhd", "s%d%d.raw 0 7 1", "cannot be read"),
        ("a.mhd", "s%d.raw 0 7", "are fewer than its 8 slices"),
        ("a.mhd", "s%d.raw 4 7 1", "are fewer than its 8 slices"),
        ("a.mhd", "s%d.raw 1 8 1", "s8.raw, is missing"),
        ("a.nhdr", "s%d.raw 0 7 0", "cannot be read"),
        ("a.nhdr", "s%d.raw", "cannot be read"),
        ("a.nhdr", "LIST", "lists no file"),
        ("a.nhdr", "LIST\ns0.raw\nabsent.raw", "absent.raw, is missing"),
    ],
)
def test_a_wrong_list_of_files_is_refused(scene, tmp_path: Path, name: str, data: str, says: str) -> None:
    path = write_header(tmp_path, name, data)
    for file in ("LISTING.raw", "a%s.raw"):  # of these names ITK's reader ends the process
        (path.parent / file).write_bytes(ARRAY.tobytes())
    with pytest.raises(InputError, match=says):
        load_volume(scene, path)


@pytest.mark.parametrize("name", ["a.nhdr", "a.mhd"])
def test_a_listed_slice_that_is_cut_off_is_refused(scene, tmp_path: Path, name: str) -> None:
    path = write_header(tmp_path, name, list_names(""))
    (path.parent / "s7.raw").write_bytes(ARRAY[7].tobytes()[:-2])
    with pytest.raises(InputError, match=r"s7.raw: the file is cut off"):
        load_volume(scene, path)


def test_listed_slices_without_a_spacing_are_a_warning(scene, tmp_path: Path) -> None:
    path = write_header(tmp_path, "a.mhd", list_names(""))
    path.write_text(path.read_text().replace("ElementSpacing = 1 1 1\n", ""))
    lines: list[str] = []
    load_volume(scene, path, on_warning=lines.append)
    assert [line for line in lines if "no voxel spacing" in line]
