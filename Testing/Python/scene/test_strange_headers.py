"""Inputs that the fuzzing of `Testing/Benchmarks/fuzz.py` found: each ended in a traceback, a crash or other values."""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.models.cards import list_cards
from LightRegistrationLib.scene.files.segmentation_loading import load_segmentation, read_segmentation
from LightRegistrationLib.scene.files.volume_loading import load_volume
from LightRegistrationLib.scene.nodes.segmentations import segmentation_from_node
from LightRegistrationLib.scene.nodes.volumes import volume_from_node
from LightRegistrationLib.training.configuration_file import load_config
from LightRegistrationLib.training.evaluation.pairs import read_pairs

from .test_claimed_sizes import SMALL, meta, nifti2, nrrd

VOXELS = SMALL.tobytes()
DIGITS = "9" * 5000


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.nrrd", nrrd(8, VOXELS).replace(b"(1,0,0)", f"({DIGITS},0,0)".encode()), "too long to be numbers"),
        ("a.nrrd", nrrd(8, VOXELS).replace(b"8 8 8", b"8 8"), "number of axes"),
        ("a.nrrd", nrrd(8, VOXELS).replace(b"short", b"sh\x19ort"), "of the type 'sh ort' are not read"),
        ("a.nrrd", nrrd(8, b"", "data file: " + "x" * 300), "is missing"),
        ("a.nrrd", nrrd(8, VOXELS, "data file: a.nrrd"), "names itself"),
        ("a.nrrd", nrrd(8, b"", "content: " + "x" * (1 << 20)), "does not end within"),
        ("a.mha", meta(8, VOXELS).replace(b"LOCAL", b"a.mha"), "names itself"),
        ("a.mha", meta(8, VOXELS).replace(b"NDims = 3", b"NDims = 3.5"), "number of axes"),
        ("a.mha", meta(8, VOXELS, "TransformMatrix = 1 0"), "TransformMatrix in the header has 2 numbers"),
        ("a.mha", meta(8, VOXELS).replace(b"LOCAL", b"a%d\x01 1 2 0 0"), "cannot be read"),
        ("a.mha", meta(8, VOXELS).replace(b"LOCAL", b"a%d.raw 1 8 0"), "fewer than its 8 slices"),
        ("a.mha", meta(8, VOXELS).replace(b"MET_SHORT", b"MET_X"), "of the type 'X' are not read"),
        (
            "a.nii",
            nifti2(8, VOXELS).replace(struct.pack("<2h", 4, 16), struct.pack("<2h", 4, 8)),
            "does not have 8 bits",
        ),
        ("a.nii", nifti2(8, VOXELS)[:344] + struct.pack("<2i", 1 << 20, 1) + nifti2(8, VOXELS)[352:], "too large"),
    ],
)
def test_a_strange_header_is_refused_with_one_line(scene, tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        load_volume(scene, path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


LONG = np.where(SMALL > 9, (1 << 31) - 1, np.arange(SMALL.size).reshape(SMALL.shape)).astype(np.int64)


def write_long(path: Path, values: np.ndarray, encoding: str) -> None:
    """Write 8 x 8 x 8 integers of 64 bits as NRRD or MetaImage."""
    voxels = "\n".join(map(str, values.ravel())).encode() if encoding == "ascii" else values.tobytes()
    kind = "u" * (values.dtype.kind == "u")
    if path.suffix == ".nrrd":
        content = nrrd(8, gzip.compress(voxels) if encoding == "gzip" else voxels)
        content = content.replace(b"type: short", f"type: {kind}int64".encode())
        content = content.replace(b"encoding: raw", f"encoding: {encoding}".encode())
    else:
        packed = zlib.compress(voxels) if encoding == "gzip" else voxels
        lines = ["CompressedData = True", f"CompressedDataSize = {len(packed)}"] if encoding == "gzip" else []
        content = meta(8, packed, *lines).replace(b"MET_SHORT", f"MET_{kind.upper()}LONG_LONG".encode())
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("a.nrrd", "raw"), ("a.nrrd", "gzip"), ("a.nrrd", "ascii"), ("a.mha", "raw"), ("a.mha", "gzip")],
)
def test_integers_of_64_bits_are_read_exactly(scene, tmp_path: Path, name: str, encoding: str) -> None:
    path = tmp_path / name
    for values in (LONG, LONG.astype(np.uint64) * 1000, -LONG - (1 << 40)):
        write_long(path, values, encoding)
        node = load_volume(scene, path)
        np.testing.assert_array_equal(volume_from_node(node).array.astype(np.int64), values.astype(np.int64))


def test_labels_of_64_bits_keep_their_values(scene, tmp_path: Path) -> None:
    path, value = tmp_path / "a.nrrd", (1 << 31) - 1
    write_long(path, np.where(SMALL > 9, value, 0).astype(np.int64), "raw")
    assert [s.value for s in segmentation_from_node(load_segmentation(scene, path)).segments] == [value]
    write_long(path, np.where(SMALL > 9, 1 << 32, 0).astype(np.int64), "raw")
    assert [s.value for s in read_segmentation(scene, path)[0].segments] == [1 << 32]


def test_integers_that_are_rounded_are_said(scene, tmp_path: Path) -> None:
    path, lines = tmp_path / "a.nrrd", []
    write_long(path, LONG * (1 << 30), "raw")
    load_volume(scene, path, on_warning=lines.append)
    assert re.search(r"a\.nrrd: its whole numbers reach from 0 to .*beyond 2\^53 are rounded", "\n".join(lines))


def test_integers_of_64_bits_that_lie_elsewhere_are_refused(scene, tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    write_long(path, LONG, "raw")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"encoding: raw", b"encoding: raw\nbyte skip: -1"))
    with pytest.raises(InputError, match=r"64 bits from 2\^24 on"):
        load_volume(scene, path)


def test_a_metaimage_of_long_integers_has_32_bits(scene, tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(meta(8, LONG.astype(np.int32).tobytes()).replace(b"MET_SHORT", b"MET_LONG"))
    np.testing.assert_array_equal(volume_from_node(load_volume(scene, path)).array, LONG)
    path.write_bytes(meta(8, LONG.tobytes()).replace(b"MET_SHORT", b"MET_LONG"))
    with pytest.raises(InputError, match="MET_LONG_LONG in the header"):
        load_volume(scene, path)


PACKED = zlib.compress(VOXELS)


@pytest.mark.parametrize(
    ("packed", "lines", "says"),
    [
        (PACKED, [], "lacks CompressedDataSize"),
        (PACKED, ["CompressedDataSize = -7"], "lacks CompressedDataSize"),
        (PACKED, [f"CompressedDataSize = {len(PACKED) - 9}"], "compressed data are not the voxels"),
        (zlib.compress(VOXELS[:-2]), [f"CompressedDataSize = {len(zlib.compress(VOXELS[:-2]))}"], "are not the voxels"),
        (PACKED[:9] + b"\xff" + PACKED[10:], [f"CompressedDataSize = {len(PACKED)}"], "cannot be read to the end"),
    ],
)
def test_a_metaimage_that_is_not_unpacked_whole_is_refused(scene, tmp_path: Path, packed: bytes, lines, says) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(meta(8, packed, "CompressedData = True", *lines))
    with pytest.raises(InputError, match=says):
        load_volume(scene, path)


def test_huge_values_are_no_labels(scene, tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(nrrd(8, np.where(SMALL > 9, 1e30, 0).tobytes()).replace(b"short", b"double"))
    with pytest.raises(InputError, match="values up to 1e\\+30"):
        load_segmentation(scene, path)


def test_label_values_beyond_slicers_name_their_file(scene, tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(nrrd(8, np.where(SMALL > 9, 1 << 31, 0).astype(np.uint32).tobytes()).replace(b"short", b"uint32"))
    with pytest.raises(InputError, match=r"a\.nrrd: Label values up to 2147483648 do not fit"):
        load_segmentation(scene, path)


def test_deeply_nested_text_is_refused(tmp_path: Path) -> None:
    card = tmp_path / "models" / "m" / "card.json"
    card.parent.mkdir(parents=True)
    card.write_text("[" * 100_000)
    assert "cannot be read as a model card" in list_cards((tmp_path / "models",)).damaged["m"]
    (tmp_path / "pairs.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="not valid JSON"):
        read_pairs(tmp_path / "pairs.json")
    (tmp_path / "run.toml").write_text("a = " + "[" * 100_000)
    with pytest.raises(InputError, match="not valid TOML"):
        load_config(tmp_path / "run.toml")


@pytest.mark.parametrize("kind", ["{}", "[]", "1"])
def test_a_kind_that_is_no_text_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "run.toml").write_text(f"kind = {kind}")
    with pytest.raises(InputError, match="use one of"):
        load_config(tmp_path / "run.toml")


def test_a_name_that_no_file_can_have_is_missing(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(f"fixed,moving\n{'x' * 300},a\x00b\n")
    with pytest.raises(InputError, match="'fixed': there is no file x"):
        read_pairs(tmp_path / "pairs.csv")


def test_control_characters_and_long_text_do_not_reach_the_terminal() -> None:
    message = str(InputError("a\n\x1b[31mb\x9b" + "c" * 9000))
    assert message.startswith("a [31mb c")
    assert message.isprintable()
    assert len(message) == 2000


@pytest.mark.parametrize("surplus", [0, 1, 100_000], ids="{} bytes too many".format)
def test_a_broken_checksum_is_found(scene, tmp_path: Path, surplus: int) -> None:
    packed = bytearray(gzip.compress(nifti2(8, VOXELS + bytes(surplus))))
    packed[-6] ^= 1
    path = tmp_path / "a.nii.gz"
    path.write_bytes(packed)
    with pytest.raises(InputError, match="compressed data"):
        load_volume(scene, path)
