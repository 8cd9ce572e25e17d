"""Voxels written as text: numbers that their type cannot hold are refused, where ITK's readers change them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.files import text_voxels
from LightRegistrationLib.core.files.settings import FILES
from LightRegistrationLib.core.files.text_voxels import check_text_voxels
from LightRegistrationLib.scene.files.volume_loading import load_volume
from LightRegistrationLib.scene.nodes.volumes import volume_from_node

WORDS = [str(number) for number in range(64)]
FORMATS = {
    "a.nrrd": "NRRD0004\ntype: {}\ndimension: 3\nsizes: 4 4 4\nencoding: ascii\nspace: RAS\n"
    "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n\n",
    "a.mha": "NDims = 3\nDimSize = 4 4 4\nBinaryData = False\nElementSpacing = 1 1 1\nElementType = {}\n"
    "ElementDataFile = LOCAL\n",
}
META = {"uchar": "MET_UCHAR", "short": "MET_SHORT", "uint": "MET_UINT", "int": "MET_INT", "float": "MET_FLOAT"}


def write(path: Path, kind: str, words: list[str], separator: str = " ") -> Path:
    kind = kind if path.suffix == ".nrrd" else META[kind]
    path.write_text(FORMATS[path.name].format(kind) + separator.join(words) + "\n")
    return path


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("kind", "word"),
    [("uchar", "300"), ("uchar", "-1"), ("uchar", "1e2"), ("short", "70000"), ("short", "1.5"), ("short", "0x10"),
     ("uint", "-1"), ("uint", "4294967296"), ("int", "9" * 400), ("float", "1e39"), ("float", "0x10")],
)  # fmt: skip
def test_a_number_that_the_voxels_cannot_hold_is_refused(scene, tmp_path: Path, name: str, kind: str, word: str):
    path = write(tmp_path / name, kind, [*WORDS[:-1], word])
    with pytest.raises(InputError, match=f"the number '{word[:40]}' among the voxels does not fit their type"):
        load_volume(scene, path)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("separator", [" ", ", ", "\n"])
def test_numbers_that_fit_are_read(scene, tmp_path: Path, name: str, separator: str) -> None:
    for kind, word, value in [("uchar", "255", 255), ("short", "-32768", -32768), ("float", "-1.5e2", -150)]:
        node = load_volume(scene, write(tmp_path / name, kind, [*WORDS[:-1], word], separator))
        assert volume_from_node(node).array.ravel().tolist() == [*range(63), value]


@pytest.mark.parametrize("name", FORMATS)
def test_another_number_of_voxels_is_refused(scene, tmp_path: Path, name: str) -> None:
    for words, says in ((WORDS[:-1], "only 63 of"), ([*WORDS, "5"], "more than")):
        with pytest.raises(InputError, match=f"the file holds {says} the 64 voxels of its header"):
            load_volume(scene, write(tmp_path / name, "short", words))


def test_words_are_read_across_the_parts_of_a_file(tmp_path: Path, monkeypatch) -> None:
    path, words = tmp_path / "a.txt", [str(number) for number in np.random.default_rng(0).integers(0, 10**6, 500)]
    path.write_text(" ".join(words))
    monkeypatch.setattr(text_voxels, "FILES", replace(FILES, read_bytes=7))
    check_text_voxels(path, 0, len(words), "i4", "int")
    with pytest.raises(InputError, match="does not fit"):
        check_text_voxels(path, 0, len(words), "i2", "short")


def test_a_wrong_word_after_many_good_ones_is_found_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("12.25 " * 100_000 + "x")
    with pytest.raises(InputError, match="the number 'x'"):
        check_text_voxels(path, 0, 100_001, "f4", "float")
