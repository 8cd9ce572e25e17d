"""Files that are not what the option is for, or are given twice: said in words that fit the option."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.files.landmark_table import read_landmarks
from LightRegistrationLib.core.files.plain_file import list_same_files
from LightRegistrationLib.scene.files.segmentation_loading import load_mask
from LightRegistrationLib.scene.files.transform_loading import load_linear_transform
from LightRegistrationLib.scene.headless.application import headless_application
from LightRegistrationLib.training.evaluation.cases import load_case
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair

from ..command_line import QUICK, run_command
from .conftest import write_image
from .pair_files import PairFiles


@pytest.fixture(scope="module")
def scene() -> Any:
    return headless_application().scene


def test_one_file_for_both_volumes_is_said(pair_files: PairFiles, tmp_path: Path) -> None:
    """A link is the same file, too."""
    (tmp_path / "link.nii.gz").symlink_to(pair_files.fixed)
    done = run_command("register", pair_files.fixed, tmp_path / "link.nii.gz", "--output", tmp_path / "out", *QUICK)
    assert done.returncode == 0
    assert "link.nii.gz: this is given both as the fixed and as the moving volume." in done.stderr
    pair = EvaluationPair("same", pair_files.fixed, pair_files.fixed)
    assert load_case(pair).warnings == (
        f"{pair_files.fixed}: this is given both as the fixed and as the moving volume.",
    )


def test_one_segmentation_for_two_volumes_is_said_and_that_of_one_volume_is_not(pair_files: PairFiles) -> None:
    volumes, labels = (pair_files.fixed, pair_files.moving), (pair_files.fixed_segmentation,) * 2
    (line,) = list_same_files([("volume", *volumes), ("segmentation", *labels)])
    assert line.endswith("fixed_segmentation.nii.gz: this is given both as the fixed and as the moving segmentation")
    assert len(list(list_same_files([("volume", volumes[0], volumes[0]), ("segmentation", *labels)]))) == 1
    assert list(list_same_files([("volume", *volumes), ("mask", None, labels[0])])) == []


def test_a_mask_of_percent_is_refused_as_a_mask(scene: Any, tmp_path: Path) -> None:
    path = write_image(np.linspace(0, 100, 64, dtype=np.float32).reshape(4, 4, 4), np.eye(4), tmp_path / "a.nrrd")
    with pytest.raises(InputError, match=r"a\.nrrd: the mask holds fractions, up to 100; a mask has whole numbers, or"):
        load_mask(scene, path)


@pytest.mark.parametrize("name", ["a.mrk.json", "a.fcsv", "A.XLSX"])
def test_landmarks_in_another_kind_of_file_are_told_the_right_one(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(
        InputError, match=f"{name}: landmarks of both volumes are read from one CSV file; its columns: f"
    ):
        read_landmarks(tmp_path / name)


def test_a_transform_with_the_mark_of_its_encoding_is_read(scene: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.tfm"
    sitk.WriteTransform(sitk.TranslationTransform(3, (1.0, 2.0, 3.0)), str(path))
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    np.testing.assert_allclose(load_linear_transform(scene, path).matrix[:3, 3], (-1, -2, 3))


def test_a_transform_that_enlarges_beyond_measure_is_called_so(scene: Any, tmp_path: Path) -> None:
    """Its inverse looks flat: a matrix between meters and millimeters."""
    path = tmp_path / "a.tfm"
    sitk.WriteTransform(sitk.ScaleTransform(3, (1000.0,) * 3), str(path))
    with pytest.raises(InputError, match=r"a\.tfm: the transform enlarges volumes 1e\+09 times"):
        load_linear_transform(scene, path)
