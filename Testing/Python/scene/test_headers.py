"""Headers of NIfTI, NRRD and MetaImage files: read rightly, or refused or warned of by what is wrong with them."""

from __future__ import annotations

import bz2
import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.scene.files.saving import save_node
from LightRegistrationLib.scene.files.segmentation_loading import load_mask, load_segmentation
from LightRegistrationLib.scene.files.volume_loading import load_volume
from LightRegistrationLib.scene.nodes.segmentations import segmentation_from_node
from LightRegistrationLib.scene.nodes.volumes import volume_from_node

ARRAY = np.random.default_rng(1).integers(0, 1000, (6, 7, 8)).astype(np.int16)
AFFINE = np.array([[1.5, 0, 0, -10], [0, 2, 0, 5], [0, 0, 3, 7], [0, 0, 0, 1.0]])
CODES = {"int16": (4, 16), "int64": (1024, 64), "uint64": (1280, 64), "float32": (16, 32)}


def nifti1(
    array: np.ndarray = ARRAY,
    *,
    qform: np.ndarray | None = AFFINE,
    sform: np.ndarray | None = AFFINE,
    codes: tuple[int, int] = (1, 1),
    kind: tuple[int, int] | None = None,
    pixdim: tuple[float, ...] = (1.5, 2, 3),
    magic: bytes = b"n+1\0",
) -> bytes:
    """A NIfTI-1 file with axes along R, A, S (the quaternion is 0)."""
    content = bytearray(352)
    struct.pack_into("<i", content, 0, 348)
    struct.pack_into("<8h", content, 40, 3, *array.shape[::-1], 1, 1, 1, 1)
    struct.pack_into("<2h", content, 70, *(kind or CODES[str(array.dtype)]))
    struct.pack_into("<4f", content, 76, 1, *pixdim)
    struct.pack_into("<3f", content, 108, 352 if magic == b"n+1\0" else 0, 1, 0)
    content[123] = 2
    struct.pack_into("<2h", content, 252, *codes)
    if qform is not None:
        struct.pack_into("<3f", content, 268, *qform[:3, 3])
    if sform is not None:
        struct.pack_into("<12f", content, 280, *sform[:3].ravel())
    content[344:348] = magic
    return bytes(content) + array.tobytes()


def nifti2(array: np.ndarray = ARRAY) -> bytes:
    content = bytearray(544)
    struct.pack_into("<i8s2h", content, 0, 540, b"n+2\0\r\n\x1a\n", *CODES[str(array.dtype)])
    struct.pack_into("<8q", content, 16, 3, *array.shape[::-1], 1, 1, 1, 1)
    struct.pack_into("<4d", content, 104, 1, 1.5, 2, 3)
    struct.pack_into("<q2d", content, 168, 544, 1, 0)
    struct.pack_into("<2i", content, 344, 0, 1)
    struct.pack_into("<12d", content, 400, *AFFINE[:3].ravel())
    struct.pack_into("<i", content, 500, 2)
    return bytes(content) + array.tobytes()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def read(scene, path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    lines: list[str] = []
    volume = volume_from_node(load_volume(scene, path, on_warning=lines.append))
    return volume.array, volume.affine, lines


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("second.nii", nifti2()),
        ("second.nii.gz", gzip.compress(nifti2())),
        ("packed.nii", gzip.compress(nifti1())),
        ("plain.nii.gz", nifti1()),
        ("long.nii", nifti1(ARRAY.astype(np.int64))),
        ("unsigned_long.nii", nifti1(ARRAY.astype(np.uint64))),
        (".nii", nifti1()),
    ],
)
def test_an_unusual_nifti_file_is_read(scene, tmp_path, capfd, name: str, content: bytes) -> None:
    path = write(tmp_path / name, content)
    array, affine, lines = read(scene, path)
    assert (array == ARRAY).all()
    assert np.abs(affine - AFFINE).max() < 1e-5
    assert lines == []
    assert capfd.readouterr() == ("", "")


def test_long_voxels_can_be_saved(scene, tmp_path, capfd) -> None:
    node = load_volume(scene, write(tmp_path / "a.nii", nifti1(ARRAY.astype(np.int64))))
    save_node(node, tmp_path / "b.nii.gz")
    assert (read(scene, tmp_path / "b.nii.gz")[0] == ARRAY).all()
    assert capfd.readouterr() == ("", "")


def test_a_pair_of_header_and_voxels_is_read(scene, tmp_path) -> None:
    content = nifti1(magic=b"ni1\0")
    header = write(tmp_path / "scan.hdr", content[:348])
    with pytest.raises(InputError, match=r"scan.img, is missing"):
        load_volume(scene, header)
    image = write(tmp_path / "scan.img", content[352:])
    array, affine, lines = read(scene, header)
    assert (array == ARRAY).all()
    assert np.abs(affine - AFFINE).max() < 1e-5
    assert lines == []
    with pytest.raises(InputError, match=r"name the .hdr file"):
        load_volume(scene, image)
    write(image, content[352:-10])
    with pytest.raises(InputError, match=r"scan.img: the file is cut off"):
        load_volume(scene, header)


def scaled(slope: float, offset: float) -> bytes:
    content = bytearray(nifti1())
    struct.pack_into("<2f", content, 112, slope, offset)
    return bytes(content)


@pytest.mark.parametrize(("slope", "offset"), [(np.inf, 0), (2, np.nan), (1, np.inf)])
def test_a_scale_that_programs_read_differently_is_refused(scene, tmp_path, slope: float, offset: float) -> None:
    with pytest.raises(InputError, match=r"programs read the header's scale of the values \(scl_slope"):
        load_volume(scene, write(tmp_path / "a.nii", scaled(slope, offset)))


@pytest.mark.parametrize(
    ("slope", "offset"), [(0, 0), (0, 100), (np.nan, 100), (np.nan, np.nan), (0, np.nan), (1, 0), (0.5, -1024)]
)
def test_a_scale_is_applied_unless_the_header_has_none(scene, tmp_path, slope: float, offset: float) -> None:
    array, _, lines = read(scene, write(tmp_path / "a.nii", scaled(slope, offset)))
    expected = ARRAY * slope + offset if slope > 0 else ARRAY
    np.testing.assert_allclose(array, expected)
    assert lines == []


SHIFTED = AFFINE + np.array([[0, 0, 0, 40.0], *[[0] * 4] * 3])
MIRRORED = AFFINE * np.array([-1.0, 1, 1, 1])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sform": SHIFTED, "codes": (1, 2)}, r"disagree by up to 40.0 mm; the qform was used\."),
        ({"sform": SHIFTED, "codes": (2, 1)}, r"disagree by up to 40.0 mm; the sform was used\."),
        ({"sform": MIRRORED}, "the sform was used, and left and right may be exchanged"),
        ({"pixdim": (-1.5, 2, 3)}, "axis i a negative voxel spacing.*left and right may be exchanged"),
        ({"codes": (0, 0)}, "no position or orientation.*left and right may be exchanged"),
    ],
)
def test_a_position_that_programs_read_differently_is_a_warning(scene, tmp_path, capfd, options, says: str) -> None:
    path = write(tmp_path / "scan.nii", nifti1(**options))
    _, _, lines = read(scene, path)
    assert len(lines) == 1
    assert lines[0].startswith(f"{path}: ")
    assert re.search(says, lines[0])
    assert capfd.readouterr() == ("", "")


def nrrd(*extra: str, encoding: str = "raw", space: bool = True) -> bytes:
    lines = ["NRRD0004", "type: short", "dimension: 3", "sizes: 8 7 6", "endian: little", f"encoding: {encoding}"]
    if space:
        lines += ["space: RAS", "space directions: (1.5,0,0) (0,2,0) (0,0,3)", "space origin: (-10,5,7)"]
    return "\n".join([*lines, *extra]).encode() + b"\n\n"


def meta(*extra: str, data: str = "LOCAL") -> bytes:
    lines = ["ObjectType = Image", "NDims = 3", "DimSize = 8 7 6", *extra, "ElementType = MET_SHORT"]
    return "\n".join([*lines, f"ElementDataFile = {data}"]).encode() + b"\n"


def test_a_detached_nrrd_header_is_read(scene, tmp_path) -> None:
    header = write(tmp_path / "scan.nhdr", nrrd("data file: scan.raw"))
    with pytest.raises(InputError, match=r"scan.raw, is missing"):
        load_volume(scene, header)
    write(tmp_path / "scan.raw", ARRAY.tobytes())
    array, affine, lines = read(scene, header)
    assert (array == ARRAY).all()
    assert np.abs(affine - AFFINE).max() < 1e-5
    assert lines == []


VOXELS = ARRAY.tobytes()
ORDER, AXES = "ElementByteOrderMSB = False", "TransformMatrix = 1 0 0 0 1 0 0 0 1"
PLACE = ("ElementSpacing = 1 1 1", ORDER, AXES, "Offset = 1 2 3")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.nii", nifti1(kind=(1536, 128)) + bytes(8 * len(VOXELS)), "the type 'float128' are not read"),
        ("a.nii", nifti1(kind=(1, 1)), "the type 'bit' are not read"),
        ("a.nii", nifti1(kind=(2304, 32)) + VOXELS, "the type 'RGBA' are not read"),
        ("a.nrrd", nrrd("spacings: 1 1 nan", space=False) + VOXELS, r"no voxel spacing \(nan\)"),
        ("a.nrrd", nrrd(encoding="bzip2") + bz2.compress(VOXELS), "the encoding 'bzip2' is not read"),
        ("a.nrrd", nrrd('space units: "um" "um" "um"') + VOXELS, "unit of length is um"),
        ("a.nrrd", nrrd("data file: b.raw"), "b.raw, is missing"),
        ("a.nrrd", nrrd() + VOXELS[:-100], r"cut off \(572 of 672 bytes\)"),
        ("a.nrrd", nifti1(), "not a NRRD file"),
        ("a.mhd", meta("ElementSpacing = 1 1 1", data="b.raw"), "b.raw, is missing"),
        ("a.mha", meta("ElementSpacing = 1 1 1") + VOXELS[:-100], r"cut off \(572 of 672 bytes\)"),
        ("a.mha", meta("ElementSpacing = 1 1 nan") + VOXELS, "ElementSpacing in the header is not made of finite"),
        ("a.mha", meta("ElementSpacing = 1,5 2,0 3,0") + VOXELS, "ElementSpacing in the header is not made of finite"),
        ("a.mha", meta("ElementSpacing = 1 1 1", data="LIST") + b"0.raw\n" * 6, "0.raw, is missing"),
        ("a.mha", meta("ElementSpacing = 1 1 1", data="LIST") + b"0.raw\n", "lists 1 files with voxels, but has 6"),
        ("a.mha", meta("ElementSpacing = 1 1 1", data="LIST 1") + b"0.raw\n" * 6, "a LIST of files that are no slices"),
        ("a.nrrd", nrrd('space units: "mm" "mm" "m"') + VOXELS, "unit of length is m;"),
        ("a.nrrd", nrrd().replace(b"(1.5,0,0)", b"none") + VOXELS, "gives an axis no direction in space"),
        ("a.mha", meta("Offset = 1 2 3", "Origin = 1 2 4") + VOXELS, "gives position twice"),
        ("a.mha", meta("DimSize = 6 7 8") + VOXELS, "gives DimSize twice"),
        ("a.mha", meta(*PLACE, "DistanceUnits = um") + VOXELS, "unit of length is um;"),
        ("a.nrrd", nrrd().replace(b"endian: little\n", b"") + VOXELS, "does not give the byte order"),
        ("a.nrrd", nrrd().replace(b"RAS", b"XYZ") + VOXELS, "space 'XYZ' of the header is not read"),
        ("a.nrrd", nrrd().replace(b"space: RAS\n", b"") + VOXELS, "space directions, but no space"),
        ("a.nrrd", nrrd("spacings: 1 1 1") + VOXELS, "gives spacings and space directions"),
        (
            "a.nrrd",
            nrrd().replace(b"(0,0,3)", b"(0,0,nan)") + VOXELS,
            "are not 3 finite numbers for each of its 3 axes",
        ),
        ("a.nrrd", nrrd().replace(b" (0,0,3)", b"") + VOXELS, "are not 3 finite numbers for each of its 3 axes"),
        ("a.nrrd", nrrd().replace(b"(-10,5,7)", b"(-10,inf,7)") + VOXELS, "are not 3 finite numbers"),
        (
            "a.mha",
            meta("ElementByteOrderMSB = True", "BinaryDataByteOrderMSB = False") + VOXELS,
            "gives byte order twice",
        ),
    ],
)
def test_a_file_that_is_not_read_is_named_as_what_it_is(scene, tmp_path, capfd, name, content, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        load_volume(scene, write(tmp_path / name, content))
    assert "damaged" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def moved(content: bytes, kind: str, place: int, offset: float) -> bytes:
    """A NIfTI file whose header says that the voxels begin elsewhere."""
    return content[:place] + struct.pack(kind, offset) + content[place + struct.calcsize(kind) :]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *[("a.nii", moved(nifti1(), "<f", 108, offset)) for offset in (0, 348, -1)],
        ("a.nii.gz", gzip.compress(moved(nifti1(), "<f", 108, 0))),
        ("a.nii", moved(nifti2(), "<q", 168, 352)),
        ("a.mha", meta("ElementSpacing = 1 1 1", "HeaderSize = 10") + VOXELS),
        ("a.nrrd", nrrd("byte skip: -5") + VOXELS),
    ],
)
def test_voxels_are_not_taken_from_the_header(scene, tmp_path, capfd, name: str, content: bytes) -> None:
    says = r"the header is damaged \((the voxels would begin inside it|a byte skip below)"
    with pytest.raises(InputError, match=says):
        load_volume(scene, write(tmp_path / name, content))
    assert capfd.readouterr() == ("", "")


def test_a_metaimage_of_listed_slices_is_read(scene, tmp_path) -> None:
    for number, slice_ in enumerate(ARRAY):
        write(tmp_path / f"{number}.raw", slice_.tobytes())
    names = "".join(f"{number}.raw\n" for number in range(len(ARRAY)))
    header = write(tmp_path / "a.mhd", meta("ElementSpacing = 1.5 2 3", data="LIST") + names.encode())
    assert (read(scene, header)[0] == ARRAY).all()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.nrrd", nrrd(space=False) + VOXELS, ["no voxel spacing", "no orientation"]),
        ("a.nrrd", nrrd("spacings: 1 1 1", space=False) + VOXELS, ["no orientation"]),
        (
            "a.mha",
            meta(ORDER, AXES, "Offset = 0 0 0") + VOXELS,
            ["no voxel spacing"],
        ),
        ("a.mha", meta("ElementSpacing = 1 1 1") + VOXELS, ["no orientation", "no position", "no byte order"]),
        ("a.mha", meta(*PLACE, "ElementToIntensityFunctionSlope = 2") + VOXELS, ["which is not applied"]),
        ("a.nrrd", nrrd() + VOXELS + bytes(112), ["a.nrrd holds 112 bytes more than the 672"]),
        ("a.mha", meta(*PLACE) + VOXELS + bytes(112), ["a.mha holds 112 bytes more than the 672"]),
        ("a.nii", nifti1() + bytes(112), ["a.nii holds 112 bytes more than the 672"]),
        ("a.nii", nifti1() + bytes(111), []),
    ],
)
def test_what_a_header_leaves_open_is_a_warning(scene, tmp_path, name, content, says: list[str]) -> None:
    _, _, lines = read(scene, write(tmp_path / name, content))
    assert len(lines) == len(says)
    assert all(word in line for word, line in zip(says, lines, strict=True))


def labels() -> np.ndarray:
    array = np.zeros((20, 20, 20), np.float32)
    array[4:10, 4:16, 4:16], array[10:16, 4:16, 4:16] = 1, 2
    return array


def test_labels_next_to_whole_numbers_are_rounded(scene, tmp_path) -> None:
    noisy = labels() + np.float32(4e-4) * np.sign(np.random.default_rng(0).normal(size=(20, 20, 20))).astype(np.float32)
    node = load_segmentation(scene, write(tmp_path / "a.nii", nifti1(noisy)))
    segmentation = segmentation_from_node(node)
    assert [s.value for s in segmentation.segments] == [1, 2]
    assert (segmentation.layers[0] == labels()).all()
    with pytest.raises(InputError, match="not whole numbers"):
        load_segmentation(scene, write(tmp_path / "b.nii", nifti1(noisy + np.float32(0.01))))


def test_a_probability_map_is_a_mask_from_one_half_on(scene, tmp_path) -> None:
    probabilities = labels() * np.float32(0.3)
    path = write(tmp_path / "a.nii", nifti1(probabilities))
    lines: list[str] = []
    mask = segmentation_from_node(load_mask(scene, path, on_warning=lines.append))
    assert (mask.layers[0] == (labels() == 2)).all()
    assert len(lines) == 1
    assert "0.5" in lines[0]
    with pytest.raises(InputError, match=r"the mask is empty; no voxel is 0\.5 or more"):
        load_mask(scene, write(path, nifti1(probabilities * np.float32(0.5))))
    with pytest.raises(InputError, match="not whole numbers"):
        load_segmentation(scene, path)


def test_values_below_0_in_a_mask_are_said(scene, tmp_path) -> None:
    lines: list[str] = []
    array = np.where(labels() > 0, 40, -1000).astype(np.int16)
    load_mask(scene, write(tmp_path / "mask.nii", nifti1(array)), on_warning=lines.append)
    assert len(lines) == 1
    assert "voxels below 0 count as inside of the mask" in lines[0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_labels_that_are_not_finite_are_said(scene, tmp_path, value: float) -> None:
    array = labels()
    array[:2] = value
    lines: list[str] = []
    node = load_segmentation(scene, write(tmp_path / "a.nii", nifti1(array)), on_warning=lines.append)
    assert [s.value for s in segmentation_from_node(node).segments] == [1, 2]
    assert len(lines) == 1
    assert "800 of its voxels are NaN or infinite; they are read as 0" in lines[0]
    array[array > 0] = value
    for read in (load_segmentation, load_mask):
        with pytest.raises(InputError, match="empty; its voxels are 0, NaN or infinite"):
            read(scene, write(tmp_path / "b.nii", nifti1(array)))
    header = nrrd().replace(b"8 7 6", b"20 20 20").replace(b"short", b"float")
    with pytest.raises(InputError, match="it holds NaN or infinity"):
        load_segmentation(scene, write(tmp_path / "c.nrrd", header + array.tobytes()))


@pytest.mark.parametrize("spacing", [1e12, 1001, 9e-9, 1e-12])
def test_voxels_of_a_size_that_no_scan_has_are_refused(scene, tmp_path, spacing: float) -> None:
    affine = np.diag([1, 1, spacing, 1])
    for read, array in ((load_volume, ARRAY), (load_segmentation, labels())):
        content = nifti1(array, qform=None, sform=affine, codes=(0, 1), pixdim=(1, 1, spacing))
        with pytest.raises(InputError, match=r"spacing of .* mm is not possible in a scan|zero spacing"):
            read(scene, write(tmp_path / "a.nii", content))
    content = nrrd().replace(b"(0,0,3)", f"(0,0,{spacing})".encode()) + VOXELS
    with pytest.raises(InputError, match=r"spacing of .* mm is not possible in a scan|zero spacing"):
        load_volume(scene, write(tmp_path / "a.nrrd", content))


@pytest.mark.parametrize("spacing", [1e-7, 4e-6, 900])
def test_voxels_of_microscopes_and_of_large_phantoms_are_read(scene, tmp_path, spacing: float) -> None:
    axes = f"({spacing},0,0) (0,{spacing},0) (0,0,{spacing})".encode()
    content = nrrd().replace(b"(1.5,0,0) (0,2,0) (0,0,3)", axes).replace(b"(-10,5,7)", b"(0,0,0)")
    volume = volume_from_node(load_volume(scene, write(tmp_path / "a.nrrd", content + VOXELS)))
    assert volume.geometry.spacing_mm == pytest.approx([spacing] * 3)


def test_a_place_too_far_for_exact_positions_is_refused(scene, tmp_path) -> None:
    for read, array in ((load_volume, ARRAY), (load_segmentation, labels())):
        for origin in (1e6, -1.6e6):
            affine = AFFINE + np.array([[0, 0, 0, origin], *[[0] * 4] * 3])
            path = write(tmp_path / "a.nii", nifti1(array, qform=None, sform=affine, codes=(0, 1)))
            if origin > 0:
                read(scene, path)
                continue
            with pytest.raises(InputError, match="from the origin, too far for exact positions"):
                read(scene, path)


def test_a_scan_is_no_segmentation(scene, tmp_path) -> None:
    smooth = np.add.outer(np.add.outer(np.arange(20), np.arange(20)), np.arange(20)).astype(np.int16) * 9
    scan = smooth + np.random.default_rng(0).integers(0, 5, smooth.shape).astype(np.int16)
    with pytest.raises(InputError, match="looks like a scan"):
        load_segmentation(scene, write(tmp_path / "a.nii", nifti1(scan)))
    atlas = (1 + np.arange(20) // 4)[:, None, None] * 100 + (np.arange(20) // 4)[:, None] * 10 + np.arange(20) // 4
    node = load_segmentation(scene, write(tmp_path / "b.nii", nifti1(atlas.astype(np.int16))))
    assert len(segmentation_from_node(node).segments) == 125
