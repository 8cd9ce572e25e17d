"""Series in 4-D NRRD files: what their headers say of the frames is heeded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.scene.files.sequences import read_volume_sequence

FRAMES = np.arange(2 * 4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6, 2)


def write(path: Path, array: np.ndarray = FRAMES, kind: str = "list", type_name: str = "short") -> Path:
    header = (
        f"NRRD0004\ntype: {type_name}\ndimension: 4\nspace: RAS\nsizes: {array.shape[-1]} 6 5 4\n"
        "space directions: none (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n"
        f"kinds: {kind} domain domain domain\nendian: little\nencoding: raw\n\n"
    )
    path.write_bytes(header.encode() + array.tobytes())
    return path


def read(scene, path: Path) -> tuple[list[np.ndarray], list[str]]:
    lines: list[str] = []
    _, items = read_volume_sequence(scene, path, lines.append)
    return [volume.array for _, volume in items], lines


def test_the_frames_are_read(scene, tmp_path: Path) -> None:
    arrays, lines = read(scene, write(tmp_path / "a.seq.nrrd"))
    assert lines == []
    for number, array in enumerate(arrays):
        np.testing.assert_array_equal(array, FRAMES[..., number])


def test_what_the_header_leaves_open_is_said(scene, tmp_path: Path) -> None:
    path = write(tmp_path / "a.seq.nrrd")
    path.write_bytes(path.read_bytes().replace(b"space origin: (0,0,0)\n", b"") + bytes(1000))
    lines = read(scene, path)[1]
    assert [line.startswith(f"{path}: ") for line in lines] == [True, True]
    assert "holds 1000 bytes more" in lines[0]
    assert "gives no position" in lines[1]
    assert "taken as the frames" in "".join(read(scene, write(path, kind="vector"))[1])


@pytest.mark.parametrize(
    ("kind", "count"), [("RGB-color", 3), ("RGBA-color", 4), ("complex", 2), ("3D-symmetric-matrix", 6)]
)
def test_several_numbers_of_one_voxel_are_no_series(scene, tmp_path: Path, kind: str, count: int) -> None:
    path = write(tmp_path / "a.nrrd", np.zeros((4, 5, 6, count), np.int16), kind)
    with pytest.raises(InputError, match=f"of the kind '{kind.lower()}', which is no series"):
        read(scene, path)


def test_integers_of_64_bits_are_refused_by_name(scene, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="integers of 64 bits are not read from a series"):
        read(scene, write(tmp_path / "a.nrrd", FRAMES.astype(np.int64), type_name="int64"))


def write_indexed(path: Path, values: str) -> Path:
    content = write(path).read_bytes()
    path.write_bytes(content.replace(b"encoding", f"axis 0 index values:={values}\nencoding".encode()))
    return path


@pytest.mark.parametrize("values", ["1 1", "1"])
def test_index_values_that_would_lose_a_frame_are_refused(scene, tmp_path: Path, values: str) -> None:
    with pytest.raises(InputError, match="its 2 frames do not have 2 different index values"):
        read(scene, write_indexed(tmp_path / "a.seq.nrrd", values))


def test_frames_in_another_order_than_in_the_file_are_said(scene, tmp_path: Path) -> None:
    arrays, lines = read(scene, write_indexed(tmp_path / "a.seq.nrrd", "3 1.5"))
    np.testing.assert_array_equal(arrays[0], FRAMES[..., 1])
    (line,) = lines
    assert "in the order of their index values" in line
    assert read(scene, write_indexed(tmp_path / "b.seq.nrrd", "1.5 3"))[1] == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"kinds: list", b"kinds: time", "no axis of the kind 'list'"),
        (
            b"dimension: 4\nspace: RAS\nsizes: 2 6 5 4",
            b"dimension: 3\nspace: RAS\nsizes: 6 5 4",
            "only one frame in it",
        ),
    ],
)
def test_what_is_no_series_is_named(scene, tmp_path: Path, old: bytes, new: bytes, says: str) -> None:
    path = write(tmp_path / "a.nrrd")
    content = path.read_bytes().replace(old, new)
    if b"dimension: 3" in content:
        content = content.replace(b"none ", b"").replace(b"list ", b"")
    path.write_bytes(content)
    with pytest.raises(InputError, match=says):
        read(scene, path)
