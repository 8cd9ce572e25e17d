"""Every kind of bad input: exit status 2, one line that says what to do, nothing written."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from ..command_line import COMMAND, run_command
from .conftest import write_image
from .pair_files import PairFiles


@dataclass(frozen=True)
class Workshop:
    """A folder of one test, and good files to make bad ones from."""

    folder: Path
    good: PairFiles

    def image(self, array: np.ndarray, name: str = "bad.nii.gz", affine: np.ndarray | None = None) -> Path:
        return write_image(array, self.good.pair.fixed.affine if affine is None else affine, self.folder / name)

    def text(self, content: bytes, name: str) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


Arguments = list[object]
MakeArguments = Callable[[Workshop], Arguments]
SMALL = np.arange(8 * 9 * 10, dtype=np.int16).reshape(8, 9, 10)


def _as_moving(make: Callable[[Workshop], object]) -> MakeArguments:
    return lambda w: [w.good.fixed, make(w)]


def _with_option(*option: object) -> MakeArguments:
    return lambda w: [w.good.fixed, w.good.moving, *option]


def _with_file(option: str, make: Callable[[Workshop], Path]) -> MakeArguments:
    return lambda w: [w.good.fixed, w.good.moving, option, make(w)]


def _zero_axis(w: Workshop) -> Path:
    """A NIfTI file as a program with a bug writes it: the third axis has the length 0."""
    content = bytearray(gzip.decompress(w.image(SMALL, "sound.nii.gz").read_bytes()))
    struct.pack_into("<f", content, 76 + 12, 0.0)
    struct.pack_into("<2h", content, 252, 0, 2)
    struct.pack_into("<12f", content, 280, 3, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0)
    return w.text(gzip.compress(bytes(content)), "axis.nii.gz")


def _zero_spacing(w: Workshop) -> Path:
    header = b"ObjectType = Image\nNDims = 3\nDimSize = 10 9 8\nElementSpacing = 1 1 0\nElementType = MET_SHORT\n"
    return w.text(header + b"ElementDataFile = LOCAL\n" + SMALL.tobytes(), "spacing.mha")


def _sheared(w: Workshop) -> Path:
    header = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 10 9 8\nencoding: raw\nendian: little\nspace: RAS\n"
    header += b"space directions: (1,0,0) (0.2,1,0) (0,0,1)\nspace origin: (0,0,0)\n\n"
    return w.text(header + SMALL.astype("<i2").tobytes(), "sheared.nrrd")


def _bent_transform(w: Workshop) -> Path:
    field = sitk.Image((4, 4, 4), sitk.sitkVectorFloat64, 3)
    path = w.folder / "bent.h5"
    sitk.WriteTransform(sitk.DisplacementFieldTransform(field), str(path))
    return path


def _far_away(w: Workshop) -> Path:
    affine = np.array(w.good.pair.moving.affine)
    affine[0, 3] += 5000
    return w.image(w.good.pair.moving.array, "far.nii.gz", affine)


BAD_INPUTS: dict[str, tuple[MakeArguments, str]] = {
    "missing file": (_as_moving(lambda w: w.folder / "absent.nii.gz"), "absent.nii.gz: there is no such file"),
    "name too long": (_as_moving(lambda w: w.folder / ("a" * 300)), "too long"),
    "name not in UTF-8": (_as_moving(lambda w: w.text(b"hello", "\udcff.nii.gz")), "not valid UTF-8"),
    "sheared fixed grid": (lambda w: [_sheared(w), w.good.moving], "sheared.nrrd: the axes of the fixed volume"),
    "slice": (_as_moving(lambda w: w.image(SMALL[:1])), "a 3-D volume is needed"),
    "time series": (_as_moving(lambda w: _series(w)), "a 3-D volume is needed"),
    "colors": (_as_moving(lambda w: _colors(w)), "3 components"),
    "no bytes": (_as_moving(lambda w: w.text(b"", "none.nii.gz")), "the file is empty"),
    "all zero": (_as_moving(lambda w: w.image(SMALL * 0)), "the volume is empty"),
    "NaN only": (_as_moving(lambda w: w.image(np.full((8, 9, 10), np.nan, np.float32))), "no finite value"),
    "zero axis": (_as_moving(_zero_axis), "length zero"),
    "zero spacing": (_as_moving(_zero_spacing), "length zero"),
    "not an image": (_as_moving(lambda w: w.text(b"hello", "letter.nii.gz")), "not a NIfTI image"),
    "unknown format": (_as_moving(lambda w: w.text(b"hello", "letter.docx")), "kind of file"),
    "folder without images": (_as_moving(lambda w: w.folder), "DICOM"),
    "no overlap": (lambda w: [w.good.fixed, _far_away(w), "--initial", "none"], "affine"),
    "unknown model": (_with_option("--model", "giraffe"), "brain-mri"),
    "no cascades": (_with_option("--cascades", "0"), "1 to 3"),
    "too many cascades": (_with_option("--cascades", "9"), "1 to 3"),
    "cascades in words": (_with_option("--cascades", "two"), "--cascades"),
    "no threads": (_with_option("--threads", "0"), "least one thread"),
    "empty initial alignment": (_with_option("--initial", ""), "the name is empty"),
    "unknown initial alignment": (_with_option("--initial", "magic"), "none, centers, rigid, affine"),
    "unknown option": (_with_option("--fast"), "--fast"),
    "bent initial transform": (_with_file("--initial", _bent_transform), "not linear"),
    "broken initial transform": (_with_file("--initial", lambda w: w.text(b"?", "t.tfm")), "transform"),
    "missing segmentation": (
        _with_file("--moving-segmentation", lambda w: w.folder / "absent.nii.gz"),
        "there is no such file",
    ),
    "segmentation of fractions": (
        _with_file("--moving-segmentation", lambda w: w.image(SMALL.astype(np.float32) / 7)),
        "not a label map",
    ),
    "empty segmentation": (_with_file("--fixed-segmentation", lambda w: w.image(SMALL * 0)), "the label map is empty"),
    "unknown refinement": (_with_option("--refine", "turbo"), "turbo"),
    "missing mask": (_with_file("--fixed-mask", lambda w: w.folder / "absent.nii.gz"), "there is no such file"),
    "empty mask": (_with_file("--moving-mask", lambda w: w.image(SMALL * 0)), "the mask is empty"),
    "no segmentation to preserve": (_with_option("--keep-volume", "Tumor"), "give the moving segmentation"),
    "unknown structure to preserve": (
        lambda w: [
            w.good.fixed,
            w.good.moving,
            "--moving-segmentation",
            w.good.moving_segmentation,
            "--keep-volume",
            "Tumor",
        ],
        "there is no structure 'Tumor' to preserve; there are Label_",
    ),
}


def _series(w: Workshop) -> Path:
    path = w.folder / "series.nii.gz"
    image = sitk.GetImageFromArray(SMALL)
    sitk.WriteImage(sitk.JoinSeries([image, image]), str(path))
    return path


def _colors(w: Workshop) -> Path:
    path = w.folder / "colors.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([SMALL] * 3, -1), isVector=True), str(path))
    return path


@pytest.fixture
def workshop(tmp_path: Path, pair_files: PairFiles) -> Workshop:
    folder = tmp_path / "inputs"
    folder.mkdir()
    return Workshop(folder, pair_files)


@pytest.mark.parametrize("kind", BAD_INPUTS)
def test_bad_input_gives_one_error_line_and_writes_nothing(workshop: Workshop, tmp_path: Path, kind: str) -> None:
    make, expected = BAD_INPUTS[kind]
    output = tmp_path / "output"
    done = run_command("register", *make(workshop), "--output", output / "deep")
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("light-registration: error: ")
    assert expected in done.stderr
    assert not output.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["inputs"]


def test_segmentations_without_common_structures_are_refused(workshop: Workshop, tmp_path: Path) -> None:
    ones = workshop.image((SMALL > 100).astype(np.uint8), "ones.nii.gz")
    twos = workshop.image((SMALL > 100).astype(np.uint8) * 2, "twos.nii.gz")
    done = run_command(
        "register",
        workshop.good.fixed,
        workshop.good.moving,
        "--fixed-segmentation",
        ones,
        "--moving-segmentation",
        twos,
        "--output",
        tmp_path / "output",
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "neither a name nor a label value" in done.stderr
    assert not (tmp_path / "output").exists()


def test_output_folder_that_is_not_empty_is_refused_and_unchanged(pair_files: PairFiles, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = run_command("register", pair_files.fixed, pair_files.moving, "--output", tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "--force" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_output_that_cannot_be_made_is_refused(pair_files: PairFiles, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "loop").symlink_to("loop")
    for output in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("a" * 300), tmp_path / "loop"):
        done = run_command("register", pair_files.fixed, pair_files.moving, "--output", output)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert str(output) in done.stderr


def test_output_that_would_replace_an_input_is_refused(pair_files: PairFiles, tmp_path: Path) -> None:
    warped = tmp_path / "warped.nii.gz"
    warped.write_bytes(pair_files.moving.read_bytes())
    done = run_command("register", pair_files.fixed, warped, "--output", tmp_path, "--force")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert warped.read_bytes() == pair_files.moving.read_bytes()


@pytest.mark.parametrize("arguments", [[], ["register"], ["register", "one.nii"], ["paint"]])
def test_wrong_usage_is_one_line(arguments: list[str]) -> None:
    done = run_command(*arguments)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "--help" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "choices"),
    [
        (["register", "a", "b", "--refine", "turbo"], "none, fast, best"),
        (["apply", "a", "--interpolation", "turbo"], "linear, nearest, label-smooth"),
        (["train", "turbo"], "teacher, student, toy-data"),
    ],
)
def test_a_wrong_choice_is_named_with_the_right_ones(arguments: list[str], choices: str) -> None:
    assert f": invalid choice: 'turbo' (choose from {choices}) (see " in run_command(*arguments).stderr


def test_simple_mistakes_are_reported_without_slow_imports(pair_files: PairFiles, tmp_path: Path) -> None:
    arguments = ("register", tmp_path / "absent.nii", pair_files.moving, "--output", tmp_path / "output")
    command = [sys.executable, "-X", "importtime", *COMMAND[1:], *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert any(name.startswith("LightRegistrationLib.commands.") for name in imported)
    assert not {"torch", "slicer", "vtk"} & imported, "imported to say that a file is missing"
