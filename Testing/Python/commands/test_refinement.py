"""`register` with refinement, masks, a structure whose volume is preserved, and files that are not compressed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from ..command_line import QUICK, run_command
from .conftest import Run, check_schema, write_image
from .pair_files import PairFiles

PRESERVED = 10
"""The label value of a thalamus of the phantom."""


def register(pair_files: PairFiles, folder: Path, *options: str | Path) -> Run:
    """Register the pair with its segmentations and a mask of the fixed head."""
    head = (pair_files.pair.inside_head).astype(np.uint8)
    mask = write_image(head, pair_files.pair.fixed.affine, folder / "head.nii.gz")
    files = ("--fixed-mask", mask, "--fixed-segmentation", pair_files.fixed_segmentation)
    files += ("--moving-segmentation", pair_files.moving_segmentation, "--output", folder / "result")
    done = run_command("register", pair_files.fixed, pair_files.moving, *files, *QUICK, *options)
    assert (done.returncode, done.stderr) == (0, "")
    return Run(done.returncode, done.stdout, done.stderr, folder / "result")


@pytest.fixture(scope="module")
def refined(pair_files: PairFiles, tmp_path_factory: pytest.TempPathFactory) -> Run:
    options = ("--refine", "fast", "--keep-volume", str(PRESERVED), "--no-compression")
    return register(pair_files, tmp_path_factory.mktemp("refined"), *options)


def test_refinement_raises_dice(refined: Run, pair_files: PairFiles, tmp_path: Path) -> None:
    refinement = refined.report["refinement"]
    assert refinement["preset"] == refined.report["settings"]["refine"] == "fast"
    assert refinement["steps"] > 0
    assert refinement["similarity_after"] > refinement["similarity_before"]
    without = register(pair_files, tmp_path)
    assert refined.report["mean"]["after"]["dice"] > without.report["mean"]["after"]["dice"] + 0.005
    assert refined.report["jacobian"]["percent_nonpositive"] == 0


def test_report_follows_the_schema(refined: Run) -> None:
    check_schema(refined.report)


def test_files_are_written_without_compression(refined: Run) -> None:
    names = {"transform": "transform.h5", "warped": "warped.nii", "warped_segmentation": "warped_segmentation.nii"}
    assert refined.report["outputs"] == names
    assert sorted(p.name for p in refined.output.iterdir()) == ["report.json", *names.values()]
    voxels = np.prod(refined.report["fixed"]["size_ijk"])
    assert (refined.output / "warped.nii").stat().st_size == voxels * 2 + 352


def test_a_preserved_structure_has_its_volume_in_the_written_labels(refined: Run, pair_files: PairFiles) -> None:
    """Measured again by counting voxels."""
    (preserved,) = refined.report["kept"]
    assert preserved["name"] == f"Label_{PRESERVED}"
    moving, warped = (
        sitk.ReadImage(str(path))
        for path in (pair_files.moving_segmentation, refined.output / "warped_segmentation.nii")
    )
    before, after = (
        float((sitk.GetArrayViewFromImage(image) == PRESERVED).sum() * np.prod(image.GetSpacing()))
        for image in (moving, warped)
    )
    assert 100 * (after / before - 1) == pytest.approx(preserved["change_percent"], abs=4), "voxels are coarse"
    assert abs(preserved["change_percent"]) < max(1.0, 0.5 * abs(preserved["change_percent_free"]))


def test_the_report_names_the_masks(refined: Run) -> None:
    assert refined.report["masks"] == {"fixed": "head", "moving": None}
    assert Path(refined.report["inputs"]["fixed_mask"]).name == "head.nii.gz"


def test_an_earlier_compressed_result_is_replaced(refined: Run, pair_files: PairFiles, tmp_path: Path) -> None:
    from LightRegistrationLib.commands.files.output_folder import staging_folder

    for name in ("warped.nii.gz", "report.json", "notes.txt"):
        (tmp_path / name).write_text("earlier")
    with staging_folder(tmp_path) as folder:
        (folder / "warped.nii").write_text("new")
        (folder / "report.json").write_text("new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", "report.json", "warped.nii"]
