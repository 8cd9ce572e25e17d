"""`light-registration demo`: the built-in pair, the table, the pictures."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import SimpleITK as sitk

from ..command_line import run_command
from .conftest import Run, check_schema

PICTURES = ("before", "after", "grid", "outlines", "match")


def test_table_says_what_the_report_says(demonstrated: Run) -> None:
    assert (demonstrated.status, demonstrated.stderr) == (0, "")
    rows = {line[:29].strip(): line[29:].split() for line in demonstrated.stdout.splitlines()}
    for structure in demonstrated.report["structures"]:
        shown = [float(number) for number in rows[structure["name"]]]
        assert shown == pytest.approx([structure["before"]["dice"], structure["after"]["dice"]], abs=6e-4)
    assert f"brain-mri: {demonstrated.report['model']['reason']}" in demonstrated.stdout
    for word in ("Mean", "Folding", "Seconds", "Pictures", str(demonstrated.output / "views")):
        assert word in demonstrated.stdout


def test_report_follows_the_schema(demonstrated: Run) -> None:
    check_schema(demonstrated.report)


def test_structures_keep_their_names(demonstrated: Run) -> None:
    names = [structure["name"] for structure in demonstrated.report["structures"]]
    assert len(names) == len(set(names)) > 15
    assert "Left thalamus" in names
    values = {label["value"]: label["name"] for label in demonstrated.report["labels"]}
    assert values[10] == "Left thalamus"
    assert set(values) == set(np.unique(_array(demonstrated, "warped_segmentation.nii.gz"))) - {0}


def test_registration_undoes_most_of_the_known_deformation(demonstrated: Run) -> None:
    mean = demonstrated.report["mean"]
    assert mean["after"]["dice"] > mean["before"]["dice"] + 0.2
    brain = demonstrated.report["known_deformation"]["brain"]
    assert brain["mean_displacement_mm"] > 5
    assert brain["mean_error_mm"] < 0.5 * brain["mean_displacement_mm"]


def test_known_errors_agree_with_the_saved_transforms(demonstrated: Run) -> None:
    """The numbers of the report, computed again by SimpleITK from the two transform files."""
    found = sitk.ReadTransform(str(demonstrated.output / "transform.h5"))
    truth = sitk.ReadTransform(str(demonstrated.output / "inputs" / "true_transform.h5"))
    labels = sitk.ReadImage(str(demonstrated.output / "inputs" / "fixed_segmentation.seg.nrrd"))
    voxels = np.argwhere(sitk.GetArrayViewFromImage(labels) > 0)[::97, ::-1].tolist()
    points = [labels.TransformIndexToPhysicalPoint(v) for v in voxels]
    errors = [np.subtract(found.TransformPoint(p), truth.TransformPoint(p)) for p in points]
    expected = np.linalg.norm(errors, axis=1).mean()
    assert demonstrated.report["known_deformation"]["brain"]["mean_error_mm"] == pytest.approx(expected, rel=0.03)


def test_both_transforms_move_points_far_outside_alike_but_for_the_initial_alignments_error(demonstrated: Run) -> None:
    """10 cm beyond the head nothing was compared; the true transform is rigid there."""
    found = sitk.ReadTransform(str(demonstrated.output / "transform.h5"))
    truth = sitk.ReadTransform(str(demonstrated.output / "inputs" / "true_transform.h5"))
    points = [tuple(200.0 * direction) for direction in (*np.eye(3), *-np.eye(3))]
    mapped = np.array([truth.TransformPoint(p) for p in points])
    assert np.linalg.norm(mapped[0] - mapped[3]) == pytest.approx(400, abs=1e-3)
    errors = np.linalg.norm(mapped - [found.TransformPoint(p) for p in points], axis=1)
    moved = np.linalg.norm(mapped - points, axis=1)
    assert errors.mean() < 0.7 * moved.mean()


def test_pictures_show_five_different_things(demonstrated: Run) -> None:
    assert demonstrated.report["outputs"]["views"] == [f"views/{name}.png" for name in PICTURES]
    pictures = {name: _array(demonstrated, f"views/{name}.png").astype(int) for name in PICTURES}
    for picture in pictures.values():
        height, width, channels = picture.shape
        assert (channels, width) == (3, 3 * height)
        for view in np.split(picture, 3, axis=1):
            assert view.std() > 20, "a view is empty"
    for one, other in combinations(PICTURES, 2):
        assert (np.abs(pictures[one] - pictures[other]).max(-1) > 30).mean() > 0.005, f"{one} looks like {other}"


def test_inputs_lie_beside_the_result(demonstrated: Run) -> None:
    inputs = demonstrated.report["inputs"]
    assert inputs.keys() == {"fixed", "moving", "fixed_segmentation", "moving_segmentation"}
    for path in inputs.values():
        assert (demonstrated.output / path).is_file()
    assert demonstrated.report["fixed"]["name"] == "fixed.nii.gz"


def test_half_of_a_pair_is_refused(demonstrated: Run) -> None:
    done = run_command("demo", "--fixed", demonstrated.output / "inputs" / "fixed.nii.gz", "--output", "unused")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "--moving" in done.stderr


def _array(run: Run, name: str) -> np.ndarray:
    return sitk.GetArrayFromImage(run.image(name))
