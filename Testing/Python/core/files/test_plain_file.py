"""What is no plain file, or no text in UTF-8, is refused at once, by what it is."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.files.data_files import find_data_file
from LightRegistrationLib.core.files.nifti import find_nifti_data, parse_nifti_header
from LightRegistrationLib.core.files.plain_file import check_plain_file, hash_file, name_other_kind, read_plain_text

from ...scene.test_headers import nifti1

unix = pytest.mark.skipif(sys.platform == "win32", reason="special files are of Unix")


@unix
@pytest.mark.parametrize("read", [check_plain_file, read_plain_text, hash_file])
@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a device", "a folder"])
def test_what_may_never_end_is_refused_by_its_kind(tmp_path: Path, monkeypatch, kind: str, read) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    path = Path("input")
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "a folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    assert name_other_kind(path).startswith(kind)
    with pytest.raises(InputError, match=f"^input: a plain file is needed here, .*{kind}"):
        read(path)


@pytest.mark.parametrize("name", ["absent", "file/below", "null\0character"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    assert name_other_kind(tmp_path / name) == ""
    with pytest.raises(InputError, match="there is no such file"):
        read_plain_text(tmp_path / name)


def test_a_name_that_is_too_long_is_said(tmp_path: Path) -> None:
    assert name_other_kind(tmp_path / ("x" * 300)) == ""
    with pytest.raises(InputError, match="cannot be opened"):
        read_plain_text(tmp_path / ("x" * 300))


@unix
def test_the_files_of_voxels_are_checked_too(tmp_path: Path) -> None:
    for name in ("a.raw", "a.img"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=r"a\.raw: a data file is needed here, but this is a pipe"):
        find_data_file(tmp_path / "a.mhd", "a.raw")
    header = parse_nifti_header(nifti1()[:344] + b"ni1\0")
    assert header is not None
    with pytest.raises(InputError, match=r"a\.img: a data file is needed here, but this is a pipe"):
        find_nifti_data(tmp_path / "a.hdr", header)


def test_text_is_read_with_or_without_the_mark_of_its_encoding(tmp_path: Path) -> None:
    path = tmp_path / "text.csv"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_text("Größe\n", encoding=encoding)
        assert read_plain_text(path) == "Größe\n"
    for encoding in ("utf-16", "latin-1"):
        path.write_text("Größe\n", encoding=encoding)
        with pytest.raises(InputError, match=r"text\.csv: this is not a CSV file of text in UTF-8; save it as UTF-8"):
            read_plain_text(path, "CSV")
