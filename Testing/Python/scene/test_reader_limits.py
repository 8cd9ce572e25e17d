"""What ITK's readers take otherwise than it is meant, or refuse without a reason: read, refused by name, or said."""

from __future__ import annotations

import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.scene.files.segmentation_loading import load_segmentation
from LightRegistrationLib.scene.files.transform_loading import load_linear_transform, load_transform_node
from LightRegistrationLib.scene.files.volume_loading import load_volume
from LightRegistrationLib.scene.nodes.segmentations import segmentation_from_node
from LightRegistrationLib.scene.nodes.volumes import volume_from_node

from .test_claimed_sizes import SMALL, meta, nrrd
from .test_damaged_shapes import LABELS, segments, vectors
from .test_headers import ARRAY, nifti1

VOXELS = SMALL.tobytes()
DIRECTIONS = b"space: RAS\nencoding: raw\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)"
SPACINGS = nrrd(8, VOXELS).replace(DIRECTIONS, b"encoding: raw\nspacings: 1 1 1")


def changed(content: bytes, *changes: tuple[int, str, float]) -> bytes:
    """Change numbers of a NIfTI header: each with its place in bytes and its type."""
    header = bytearray(content)
    for place, kind, value in changes:
        struct.pack_into(f"<{kind}", header, place, value)
    return bytes(header)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.nii", changed(nifti1(), (112, "f", 1e-30)), r"so small a scale of the values \(scl_slope 1e-30\)"),
        ("a.nii", changed(nifti1(), (112, "f", 1e37)), "scale makes the values too large"),
        ("a.nii", changed(nifti1(), (68, "h", 1006)), "says that its voxels are displacements"),
        ("a.nrrd", SPACINGS.replace(b"endian", b'units: "cm" "cm" "cm"\nendian'), "unit of length is cm"),
        ("a.nrrd", nrrd(8, VOXELS, "sizes: 8 8 8"), "gives 'sizes' twice"),
        ("a.nrrd", nrrd(8, VOXELS, "kinds: domain domain list"), "an axis is of the kind 'list'"),
        ("a.nrrd", nrrd(8, VOXELS).replace(b"NRRD0004", b"NRRD0006"), r"NRRD0006, is newer than is read"),
        ("a.nrrd", SPACINGS.replace(b"1 1 1", b"1 0 1"), "gives an axis the length zero"),
        (
            "a.nrrd",
            nrrd(8, VOXELS, "measurement frame: (1,0)"),
            "damaged, of a kind that is not read, or has the wrong",
        ),
        ("a.mha", meta(8, VOXELS, "BinaryDataByteOrderMSB = yes"), "BinaryDataByteOrderMSB in the header is 'yes'"),
        ("a.mha", meta(8, VOXELS, "HeaderSize = -2"), "a HeaderSize below -1"),
    ],
)
def test_a_header_that_would_be_read_wrongly_is_refused(scene, tmp_path: Path, name: str, content, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        load_volume(scene, path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_detached_header_without_a_line_end_says_so(scene, tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(VOXELS)
    path = tmp_path / "a.nhdr"
    path.write_bytes(nrrd(8, b"", "data file: a.raw").rstrip())
    with pytest.raises(InputError, match="the last line of the header has no line end"):
        load_volume(scene, path)
    path.write_bytes(nrrd(8, b"", "data file: a.raw").rstrip() + b"\n")
    assert (volume_from_node(load_volume(scene, path)).array == SMALL).all()


def test_a_scale_of_spm_and_an_axis_of_time_are_said(scene, tmp_path: Path) -> None:
    header, image, lines = tmp_path / "a.hdr", tmp_path / "a.img", []
    content = nifti1(magic=b"\0\0\0\0")
    image.write_bytes(content[352:])
    header.write_bytes(changed(content[:348], (112, "f", 2.5)))
    load_volume(scene, header, on_warning=lines.append)
    assert any("a scale of the values (2.5) where SPM writes one" in line for line in lines)
    lines.clear()
    (tmp_path / "a.nrrd").write_bytes(nrrd(8, VOXELS, "kinds: domain domain time"))
    load_volume(scene, tmp_path / "a.nrrd", on_warning=lines.append)
    assert [line.partition(": ")[2] for line in lines] == [
        "by the header, one of its axes is time (kinds); it is taken as an axis of space."
    ]


@pytest.mark.parametrize("name", ["A.Nii", "A.Nii.Gz", "A.NII", "A.NRRD", "A.MHA"])
def test_an_extension_in_capitals_is_known(scene, tmp_path: Path, name: str) -> None:
    contents = {".nii": nifti1(), ".gz": gzip.compress(nifti1()), ".nrrd": nrrd(8, VOXELS), ".mha": meta(8, VOXELS)}
    path = tmp_path / name
    path.write_bytes(contents[path.suffix.lower()])
    node = load_volume(scene, path)
    expected = ARRAY if ".nii" in name.lower() else SMALL
    assert (volume_from_node(node).array == expected).all()
    assert node.GetStorageNode().GetFileName() == str(path)


@pytest.mark.parametrize(("header", "image"), [("a.hdr", "a.IMG"), ("A.HDR", "A.img"), ("A.HDR", "A.IMG")])
def test_a_pair_is_known_in_capitals(scene, tmp_path: Path, header: str, image: str) -> None:
    content = nifti1(magic=b"ni1\0")
    (tmp_path / header).write_bytes(content[:348])
    (tmp_path / image).write_bytes(content[352:])
    assert (volume_from_node(load_volume(scene, tmp_path / header)).array == ARRAY).all()


def test_a_detached_metaimage_in_capitals_is_refused(scene, tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(VOXELS)
    (tmp_path / "A.MHD").write_bytes(meta(8, b"").replace(b"LOCAL", b"a.raw"))
    with pytest.raises(InputError, match=r"known in lower case only; rename it to '\.mhd'"):
        load_volume(scene, tmp_path / "A.MHD")


# Segmentations

LAYERS = {
    "dimension": "dimension: 4",
    "sizes": "sizes: 1 8 7 6",
    "space directions": "space directions: none (1,0,0) (0,1,0) (0,0,1)",
    "kinds": "kinds: list domain domain domain",
}


def load_structures(scene, path: Path, content: bytes) -> tuple[dict[str, int], list[str]]:
    """Load a segmentation from a file with this content: the voxels of each structure, and warnings."""
    lines: list[str] = []
    path.write_bytes(content)
    found = segmentation_from_node(load_segmentation(scene, path, on_warning=lines.append))
    return {s.name: int((found.layers[s.layer] == s.value).sum()) for s in found.segments}, lines


def test_a_list_of_one_layer_is_read(scene, tmp_path: Path) -> None:
    """Slicer before 4.11 wrote one for a single segment, without its label value."""
    path = tmp_path / "a.seg.nrrd"
    counts = {"s0": int((LABELS == 1).sum()), "s1": int((LABELS == 2).sum())}
    assert load_structures(scene, path, segments(**LAYERS))[0] == counts
    only = re.sub(rb"Segment1_.*\n|Segment0_(LabelValue|Layer).*\n", b"", segments(b"", **LAYERS))
    assert load_structures(scene, path, only + (LABELS == 1).tobytes())[0] == {"s0": counts["s0"]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (segments(kinds="Segmentation_MasterRepresentation:=Fractional labelmap"), "its segments are fractional"),
        (segments((LABELS / 2).tobytes(), type="type: double\nendian: little"), "are not whole numbers"),
    ],
)
def test_shares_are_no_labels(scene, tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_structures(scene, tmp_path / "a.seg.nrrd", content)


def test_what_the_header_of_a_segmentation_leaves_open_is_said(scene, tmp_path: Path) -> None:
    content = segments(**{"space:": "space: scanner-xyz"})
    lines = load_structures(scene, tmp_path / "a.seg.nrrd", content)[1]
    assert [line for line in lines if "the space 'scanner-xyz'" in line]


def test_label_values_below_0_are_said(scene, tmp_path: Path) -> None:
    counts, lines = load_structures(scene, tmp_path / "a.nii", nifti1(LABELS.astype(np.int16) - 1))
    assert counts["Label_-1"] == int((LABELS == 0).sum())
    assert [line.partition(": ")[2] for line in lines] == [
        "label values below 0 count as structures, as all values except 0 do."
    ]


# Transforms


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".mat"])
def test_an_affine_transform_of_old_versions_of_ants_is_read(scene, tmp_path: Path, suffix: str) -> None:
    """They call it by its base class; and an extension in capitals is known too."""
    transform = sitk.AffineTransform((1.1, 0.1, 0, 0, 0.9, 0, 0.2, 0, 1), (5, 6, 7), (1, 2, 3))
    plain, old = tmp_path / f"plain{suffix}", tmp_path / f"OLD{suffix.upper()}"
    sitk.WriteTransform(transform, str(plain))
    name, base = b"AffineTransform_double_3_3", b"MatrixOffsetTransformBase_double_3_3"
    content = plain.read_bytes()
    assert content.count(name) == 1
    if suffix == ".mat":
        place = content.index(name)
        (length,) = struct.unpack_from("<i", content, place - 4)
        content = content[: place - 4] + struct.pack("<i", length + len(base) - len(name)) + content[place:]
    old.write_bytes(content.replace(name, base))
    expected = load_linear_transform(scene, plain).matrix
    np.testing.assert_array_equal(load_linear_transform(scene, old).matrix, expected)


def test_what_the_header_of_displacements_leaves_open_is_said(scene, tmp_path: Path) -> None:
    nifti, text, lines = tmp_path / "a.nii", tmp_path / "a.nrrd", []
    sitk.WriteImage(vectors(3, 4.0), str(nifti))
    sitk.WriteImage(vectors(3, 4.0), str(text))
    for path in (nifti, text):
        load_transform_node(scene, path, on_warning=lines.append)
    assert lines == []
    nifti.write_bytes(changed(nifti.read_bytes(), (268, "f", 99.0)))
    text.write_bytes(text.read_bytes().replace(b"left-posterior-superior", b"right-anterior-superior"))
    for path in (nifti, text):
        load_transform_node(scene, path, on_warning=lines.append)
    disagreement, system = lines
    assert disagreement.startswith(f"{nifti}: the two positions in the header (qform and sform) disagree by up to 99")
    assert system.startswith(f"{text}: the displacements are taken as LPS mm")


@pytest.mark.parametrize(("name", "says"), [(b"Mapping", "a deformation of SPM"), (b"NREG_TRANS", "of NiftyReg")])
def test_vectors_of_other_programs_are_no_displacements(scene, tmp_path: Path, name: bytes, says: str) -> None:
    """They have the form of ITK's displacement fields, but hold positions."""
    path = tmp_path / "y.nii"
    sitk.WriteImage(vectors(3, 4.0), str(path))
    content = path.read_bytes()
    path.write_bytes(content[:328] + name.ljust(16, b"\0") + content[344:])
    with pytest.raises(InputError, match=rf"its vectors are those of .*{says} \(intent_name {name.decode()}\)"):
        load_transform_node(scene, path)


def test_transforms_that_are_not_one_composite_are_named(scene, tmp_path: Path) -> None:
    path = tmp_path / "a.tfm"
    sitk.WriteTransform(sitk.TranslationTransform(3, (1, 2, 3)), str(path))
    first, rest = path.read_text().split("\n", 1)
    path.write_text(f"{first}\n{rest}{rest.replace('Transform 0', 'Transform 1')}")
    with pytest.raises(InputError, match="or holds several that are not one composite"):
        load_transform_node(scene, path)
