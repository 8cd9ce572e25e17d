"""Files compressed in parallel can be read by common readers, for any length."""

from __future__ import annotations

import gzip
import subprocess
import zlib

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.core.files.compression import compress_file


@pytest.mark.parametrize("length", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 9_500_000])
def test_the_content_is_restored_from_one_gzip_member(tmp_path, length):
    content = np.random.default_rng(0).integers(0, 20, length, dtype=np.uint8).tobytes()
    (tmp_path / "plain").write_bytes(content)
    compress_file(tmp_path / "plain", tmp_path / "file.gz")
    packed = (tmp_path / "file.gz").read_bytes()
    assert gzip.decompress(packed) == content
    reader = zlib.decompressobj(16 + zlib.MAX_WBITS)  # knows one member only, as many readers do
    assert reader.decompress(packed) == content
    assert reader.eof
    assert reader.unused_data == b""
    assert length < 1000 or len(packed) < 0.7 * length
    subprocess.run(["gzip", "-t", str(tmp_path / "file.gz")], check=True)


def test_threads_do_not_change_the_file(tmp_path):
    (tmp_path / "plain").write_bytes(np.random.default_rng(1).integers(0, 9, 5_000_000, dtype=np.uint8).tobytes())
    for threads in (1, 3):
        compress_file(tmp_path / "plain", tmp_path / f"{threads}.gz", threads)
    assert (tmp_path / "1.gz").read_bytes() == (tmp_path / "3.gz").read_bytes()


def test_itk_reads_a_compressed_image(tmp_path):
    array = np.random.default_rng(2).integers(-1000, 1000, (30, 256, 256)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "image.nii"))
    compress_file(tmp_path / "image.nii", tmp_path / "image.nii.gz")
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "image.nii.gz"))) == array).all()
