"""Memory and time are bounded by what a header claims and by the size of the file, before anything is read."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.files import nifti
from LightRegistrationLib.core.files.settings import FILES
from LightRegistrationLib.scene.files.segmentation_loading import load_segmentation
from LightRegistrationLib.scene.files.volume_loading import load_volume
from LightRegistrationLib.scene.nodes.volumes import volume_from_node

HUGE = 100_000
ZEROS = bytes(60_000)
SMALL = np.arange(512, dtype=np.int16).reshape(8, 8, 8)


def nifti2(size: int, voxels: bytes, offset: int = 544) -> bytes:
    content = bytearray(544)
    struct.pack_into("<i8s2h", content, 0, 540, b"n+2\0\r\n\x1a\n", 4, 16)
    struct.pack_into("<8q", content, 16, 3, size, size, size, 1, 1, 1, 1)
    struct.pack_into("<4d", content, 104, 1, 1, 1, 1)
    struct.pack_into("<q2d", content, 168, offset, 1, 0)
    struct.pack_into("<2i", content, 344, 0, 1)
    struct.pack_into("<12d", content, 400, *np.eye(4)[:3].ravel())
    return bytes(content) + voxels


def nrrd(size: int, voxels: bytes, *lines: str, encoding: str = "raw") -> bytes:
    header = (
        f"NRRD0004\ntype: short\ndimension: 3\nsizes: {size} {size} {size}\nspace: RAS\nencoding: {encoding}\n"
        "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\nendian: little\n"
    )
    return (header + "".join(f"{line}\n" for line in lines) + "\n").encode() + voxels


def meta(size: int, voxels: bytes, *lines: str) -> bytes:
    header = f"NDims = 3\nDimSize = {size} {size} {size}\nElementSpacing = 1 1 1\nElementType = MET_SHORT\n"
    return (header + "".join(f"{line}\n" for line in lines) + "ElementDataFile = LOCAL\n").encode() + voxels


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.nii", nifti2(HUGE, ZEROS)),
        ("a.nii.gz", gzip.compress(nifti2(HUGE, ZEROS))),
        ("a.nii.gz", gzip.compress(nifti2(8, ZEROS, offset=1 << 40))),
        ("a.nii", nifti2(8, ZEROS, offset=1 << 62)),
        ("a.nrrd", nrrd(HUGE, ZEROS)),
        ("a.nrrd", nrrd(HUGE, gzip.compress(ZEROS), encoding="gzip")),
        ("a.nrrd", nrrd(HUGE, b"0 " * 9000, encoding="ascii")),
        ("a.nrrd", nrrd(HUGE, b"", "data file: LIST", "a.raw")),
        ("a.nrrd", nrrd(8, ZEROS, "byte skip: nan")),
        ("a.mha", meta(HUGE, ZEROS)),
        ("a.mha", meta(HUGE, zlib.compress(ZEROS), "CompressedData = True")),
        ("a.mha", meta(8, zlib.compress(ZEROS), "CompressedData = True", "CompressedDataSize = 1e17")),
        ("a.mha", meta(8, ZEROS, "ElementNumberOfChannels = 100000000000")),
        ("a.mha", meta(HUGE, b"0 " * 9000, "BinaryData = False")),
    ],
)
@pytest.mark.parametrize("load", [load_volume, load_segmentation])
def test_a_small_file_that_claims_a_huge_volume_is_refused_before_it_is_read(scene, tmp_path, name, content, load):
    path = tmp_path / name
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"cut off|damaged|missing"):
            load(scene, path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * FILES.read_bytes
    assert scene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == 0


def pack_with_a_long_end(content: bytes, chunks: int = 200) -> bytes:
    """Compress with a stream that goes on for long after the content: a megabyte of zeros for each chunk."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(content) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(chunks)) + packer.flush()


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
def test_a_compressed_file_is_unpacked_only_as_far_as_its_header_says(scene, tmp_path, monkeypatch, name) -> None:
    path = tmp_path / name
    path.write_bytes(pack_with_a_long_end(nifti2(8, SMALL.tobytes())))
    assert path.stat().st_size < 500_000
    unpacked = []

    class CountingFile(gzip.GzipFile):
        def read(self, size: int | None = -1) -> bytes:
            content = super().read(size)
            unpacked.append(len(content))
            return content

    monkeypatch.setattr(nifti.gzip, "GzipFile", CountingFile)
    assert (volume_from_node(load_volume(scene, path)).array == SMALL).all()
    assert 0 < sum(unpacked) < 2 * FILES.max_trailing_bytes


def test_a_nrrd_stream_that_is_too_long_takes_no_memory(scene, tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(nrrd(8, pack_with_a_long_end(SMALL.tobytes()), encoding="gzip"))
    assert (volume_from_node(load_volume(scene, path)).array == SMALL).all()
