"""Runs of the real command line, shared by the tests of this folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from jsonschema import Draft202012Validator

from LightRegistrationLib.commands.phantom.pair import make_phantom_pair
from LightRegistrationLib.core.report.schema import SCHEMA_FILE

from ..command_line import run_fresh_command
from .batch_study import make_arguments, write_study
from .pair_files import PairFiles


@dataclass(frozen=True)
class Run:
    """A finished run: how it ended, and the folder that it was told to write to."""

    status: int
    stdout: str
    stderr: str
    output: Path

    @property
    def report(self) -> dict[str, Any]:
        return json.loads((self.output / "report.json").read_text(encoding="utf-8"))

    def image(self, name: str) -> sitk.Image:
        return sitk.ReadImage(str(self.output / name))


def check_schema(report: dict[str, Any]) -> None:
    """Raise ValidationError for a report.json that does not follow the shipped schema."""
    Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))).validate(report)


def write_image(array: np.ndarray, affine: np.ndarray, path: Path) -> Path:
    """Write an array [k, j, i] with its affine to RAS mm by SimpleITK (which speaks LPS)."""
    to_lps = np.diag((-1.0, -1.0, 1.0))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin((to_lps @ affine[:3, 3]).tolist())
    image.SetDirection((to_lps @ affine[:3, :3] / spacing).ravel().tolist())
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture(scope="session")
def pair_files(tmp_path_factory: pytest.TempPathFactory) -> PairFiles:
    folder = tmp_path_factory.mktemp("pair")
    pair = make_phantom_pair(spacing_mm=2.5)
    files = {}
    for volume, labels in ((pair.fixed, pair.fixed_segmentation), (pair.moving, pair.moving_segmentation)):
        files[volume.name] = write_image(volume.array, volume.affine, folder / f"{volume.name}.nii.gz")
        key = f"{volume.name}_segmentation"
        files[key] = write_image(labels.layers[0], labels.affine, folder / f"{key}.nii.gz")
    return PairFiles(pair=pair, **files)


@pytest.fixture(scope="session")
def registered(pair_files: PairFiles, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`register` on the small pair, with both segmentations."""
    output = tmp_path_factory.mktemp("registered") / "new" / "result"
    done = run_fresh_command(
        "register",
        pair_files.fixed,
        pair_files.moving,
        "--fixed-segmentation",
        pair_files.fixed_segmentation,
        "--moving-segmentation",
        pair_files.moving_segmentation,
        "--output",
        output,
        "--threads",
        "1",
    )
    return Run(done.returncode, done.stdout, done.stderr, output)


@pytest.fixture(scope="session")
def demonstrated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`demo` on the built-in pair."""
    output = tmp_path_factory.mktemp("demonstrated") / "demo"
    done = run_fresh_command("demo", "--output", output, "--threads", "1")
    return Run(done.returncode, done.stdout, done.stderr, output)


@pytest.fixture(scope="session")
def study(pair_files: PairFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list for `batch`: a good pair, and a damaged file."""
    return write_study(tmp_path_factory.mktemp("study"), pair_files)


@pytest.fixture(scope="session")
def finished(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The study in one unbroken run."""
    output = tmp_path_factory.mktemp("finished") / "out"
    done = run_fresh_command(*make_arguments(study, output))
    return Run(done.returncode, done.stdout, done.stderr, output)
