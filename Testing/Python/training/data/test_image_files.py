"""Reading of image files for training and evaluation: right, refused in one line, or with a warning."""

from __future__ import annotations

import gzip
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.core.geometry.geometry import apply_affine
from LightRegistrationLib.training.data.image_files import read_image

from ..scan_files import header, refusal, to_itk, write


def _ramp(shape: tuple[int, ...] = (6, 5, 4)) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize(
    "affine",
    [
        header((12, -20, 7), (1.0, 2.0, 3.5), (6, 5, 4), (120, -40, 900)),
        header((0, 0, 0), (1.5, 1.0, 4.0), (6, 5, 4), (-3, 8, 2), (-2, 3, 1)),
        header((5, 4, -9), (2.0, 2.0, 2.0), (6, 5, 4), (0, 0, 0), (-1, 2, 3)),
    ],
    ids=["oblique", "permuted", "left-handed"],
)
def test_an_image_has_the_geometry_of_its_header(tmp_path, affine, ending):
    volume = read_image(write(tmp_path / f"scan{ending}", _ramp(), affine))
    assert volume.name == f"scan{ending}"
    np.testing.assert_array_equal(volume.array, _ramp())
    indices = [(0, 0, 0), (3, 0, 0), (0, 4, 0), (1, 2, 5)]
    itk = sitk.ReadImage(str(tmp_path / f"scan{ending}"))
    expected = np.array([itk.TransformIndexToPhysicalPoint(index) for index in indices]) * [-1, -1, 1]
    np.testing.assert_allclose(apply_affine(volume.affine, indices), expected, atol=1e-3)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-3)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("share", [0.5, 0.98])
def test_a_file_that_is_cut_off_is_refused(tmp_path, ending, share):
    noise = np.random.default_rng(1).normal(size=(12, 12, 12)).astype(np.float32)
    path = write(tmp_path / f"scan{ending}", noise, header(shape=(12, 12, 12)))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert str(path) in refusal(read_image, path)


def test_other_data_than_a_scalar_volume_are_refused(tmp_path):
    four = sitk.GetImageFromArray(np.zeros((3, 4, 4, 4), np.float32), isVector=False)
    vector = sitk.GetImageFromArray(np.zeros((4, 4, 4, 3), np.float32), isVector=True)
    flat = sitk.GetImageFromArray(np.zeros((4, 4), np.float32))
    for name, image, said in (("four", four, "4 dimensions"), ("vector", vector, "5 dim"), ("flat", flat, "2 dim")):
        path = tmp_path / f"{name}.nii.gz"
        sitk.WriteImage(image, str(path))
        message = refusal(read_image, path)
        assert str(path) in message
        assert said in message


def test_a_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "scan.nii.gz").write_text("not an image")
    (tmp_path / "scan.nrrd").mkdir()
    for name in ("scan.nii.gz", "scan.nrrd", "absent.nii.gz"):
        assert name in refusal(read_image, tmp_path / name)


def test_not_a_number_is_named(tmp_path):
    sitk.WriteImage(to_itk(np.full((6, 5, 4), np.nan, np.float32), header(shape=(6, 5, 4))), str(tmp_path / "a.nii.gz"))
    assert "a.nii.gz" in refusal(read_image, tmp_path / "a.nii.gz")


SMALL = header(spacing_mm=(1.0, 2.0, 3.0), shape=(6, 5, 4))


def _changed(path: Path, *changes: tuple[int, str, float]) -> Path:
    """Change numbers of a file: each with its place in bytes and its type."""
    content = bytearray(path.read_bytes())
    for place, kind, value in changes:
        struct.pack_into(f"<{kind}", content, place, value)
    path.write_bytes(content)
    return path


def _edited(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    return path


def _write(folder: Path, name: str) -> Path:
    return write(folder / name, _ramp(), SMALL)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda f: _changed(_write(f, "a.nii"), (112, "f", 1e-30)), "so small a scale of the values"),
        (lambda f: _changed(_write(f, "a.nii"), (68, "h", 1006)), "says that its voxels are displacements"),
        (lambda f: _edited(_write(f, "a.nrrd"), b"NRRD0004", b"NRRD0006"), "NRRD0006, is newer than is read"),
        (lambda f: _edited(_write(f, "a.mha"), b"OrderMSB = False", b"OrderMSB = no"), "is 'no', not True or False"),
    ],
)
def test_what_the_reader_takes_otherwise_than_it_is_meant_is_refused(tmp_path, make, says):
    assert says in refusal(read_image, make(tmp_path))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda f: _changed(_write(f, "a.nii"), (268, "f", 30.0)), "qform and sform) disagree by up to"),
        (lambda f: _changed(_write(f, "a.nii"), (80, "f", -1.0)), "gives axis i a negative voxel spacing"),
        (lambda f: _changed(_write(f, "a.nii"), (352, "f", np.nan)), "1 of its voxels are NaN or infinite"),
        (lambda f: _edited(_write(f, "a.mha"), b"Offset = ", b"Origins = "), "the header gives no position"),
        (
            lambda f: _edited(_write(f, "a.nrrd"), b"space: left-posterior-superior", b"space: scanner-xyz"),
            "scanner-xyz",
        ),
    ],
    ids=["two positions", "negative spacing", "NaN", "no position", "scanner"],
)
def test_what_a_header_leaves_open_is_a_warning(tmp_path, make, says):
    lines: list[str] = []
    path = make(tmp_path)
    read_image(path, lines.append)
    (line,) = lines
    assert line.startswith(f"{path}: ")
    assert says in line


def test_a_warning_without_a_listener_is_logged_once(tmp_path, caplog):
    path = _changed(_write(tmp_path, "a.nii"), (268, "f", 30.0))
    with caplog.at_level(logging.WARNING, logger="LightRegistrationLib.training"):
        read_image(path)
        read_image(path)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "a.nii: the two positions in the header" in caplog.text


def test_positions_that_agree_are_no_warning(tmp_path):
    lines: list[str] = []
    for name in ("a.nii.gz", "a.nrrd", "a.mha"):
        read_image(write(tmp_path / name, _ramp(), header((12, -20, 7), (1.0, 2.0, 3.5), (6, 5, 4))), lines.append)
    assert lines == []


@pytest.mark.parametrize("name", ["packed.nii", "plain.nii.gz", "second.nii", "offset.nii", "pair.hdr"])
def test_a_nifti_file_that_itk_does_not_read_as_it_is_meant_is_read(tmp_path, name):
    plain = _write(tmp_path, "a.nii").read_bytes()
    path = tmp_path / name
    if name == "second.nii":
        sitk.WriteImage(sitk.ReadImage(str(tmp_path / "a.nii")), str(path))
        path.write_bytes(_to_nifti2(plain))
    elif name == "pair.hdr":
        path.write_bytes(plain[:108] + struct.pack("<f", 0) + plain[112:344] + b"ni1\0")
        path.with_suffix(".img").write_bytes(plain[352:])
    else:
        path.write_bytes(gzip.compress(plain) if name == "packed.nii" else plain)
    if name == "offset.nii":  # beside a slope of 0, it does not count
        _changed(path, (112, "f", 0.0), (116, "f", 7.0))
    volume = read_image(path)
    np.testing.assert_array_equal(volume.array, _ramp())
    np.testing.assert_allclose(volume.affine, SMALL, atol=1e-4)


def _to_nifti2(first: bytes) -> bytes:
    """The same image with a header of NIfTI-2 (float32)."""
    content = bytearray(544)
    struct.pack_into("<i8s2h", content, 0, 540, b"n+2\0\r\n\x1a\n", 16, 32)
    struct.pack_into("<8q", content, 16, *struct.unpack_from("<8h", first, 40))
    struct.pack_into("<8d", content, 104, *struct.unpack_from("<8f", first, 76))
    struct.pack_into("<q2d", content, 168, 544, 1, 0)
    struct.pack_into("<2i", content, 344, *struct.unpack_from("<2h", first, 252))
    struct.pack_into("<6d", content, 352, *struct.unpack_from("<6f", first, 256))
    struct.pack_into("<12d", content, 400, *struct.unpack_from("<12f", first, 280))
    struct.pack_into("<i", content, 500, first[123])
    return bytes(content) + first[352:]


@pytest.mark.parametrize("name", ["A.MHA", "A.Nii", "A.Nii.Gz", "A.NRRD"])
def test_an_extension_in_capitals_is_known(tmp_path, capfd, name):
    path = _write(tmp_path, name.lower()).rename(tmp_path / name)
    np.testing.assert_array_equal(read_image(path).array, _ramp())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.dcm", "a.png", "a.tif", "a.dat"])
def test_a_file_whose_geometry_is_not_known_is_refused(tmp_path, name):
    """ITK would read them: frames of DICOM 1 mm apart, pictures as one slice."""
    (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    message = refusal(read_image, tmp_path / name)
    assert message.startswith(f"{tmp_path / name}: a volume cannot be read from this kind of file; use .nii")
