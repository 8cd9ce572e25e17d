"""The evaluation: its scores against independent ones, its stored records, its error messages."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.image import imread
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.files.landmark_table import read_landmarks
from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine, homogeneous
from LightRegistrationLib.core.geometry.transforms import AffineTransform
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.result.settings import RegistrationSettings
from LightRegistrationLib.training.evaluation.cases import (
    AffineStart,
    Case,
    Method,
    Outcome,
    Scores,
    evaluate_affine,
    evaluate_case,
    evaluate_field,
    load_case,
)
from LightRegistrationLib.training.evaluation.files import read_labels, read_volume, to_sitk_image
from LightRegistrationLib.training.evaluation.methods import build_model_method
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair, read_pairs
from LightRegistrationLib.training.evaluation.run import EvaluationOptions, PairRecord, evaluate_pairs
from LightRegistrationLib.training.evaluation.tables import format_pairs_table, summarize, write_results

from ...analytic import displacement_mm, map_points, nearest_warp, phantom, points_inside, smooth_field

FIXED = Geometry((30, 36, 33), homogeneous(np.diag((-2.0, 2.0, 2.5)), (30, -25, 12)))
TILT = np.array([[0.98, -0.1, 0.02], [0.1, 0.97, 0.05], [-0.03, -0.04, 1.02]])
AFFINE = AffineTransform(homogeneous(TILT, (4.0, -6.0, 3.0)))


class KnownField:
    """A method that returns a known smooth field and counts its calls."""

    def __init__(self, key: str = "1") -> None:
        self.calls = 0
        self.method = Method("known", key, self.run)

    def run(self, case: Case, start: AffineStart | None) -> Outcome:
        self.calls += 1
        outcome = evaluate_field(case, smooth_field(case.fixed.geometry, 4.0))
        return Outcome(**{**vars(outcome), "start": AffineStart(AFFINE, 0.5), "seconds": 1.5})


def save(volume: Volume, path: Path) -> Path:
    sitk.WriteImage(to_sitk_image(volume), str(path))
    return path


@pytest.fixture
def pair(tmp_path: Path) -> EvaluationPair:
    """A phantom and a deformed one, on disk with labels and landmarks; one structure is tiny in the moving labels."""
    image, labels = phantom(FIXED, seed=1)
    points = points_inside(FIXED, 40, seed=3, margin_voxels=6)
    moved = points + displacement_mm(points, FIXED.center_mm, 4.0) + (0.5, 0.0, 0.0)
    other, other_labels = phantom(FIXED, seed=2)
    drawn = np.roll(other_labels.layers[0], 2, axis=1)
    drawn[drawn == 11] = 0
    drawn[10, 10, 10:20] = 11
    rows = ["fixed_x,fixed_y,fixed_z,moving_x,moving_y,moving_z"]
    rows += [",".join(f"{v:.6f}" for v in (*a, *b)) for a, b in zip(points, moved, strict=True)]
    (tmp_path / "landmarks.csv").write_text("\n".join(rows))
    return EvaluationPair(
        "pair",
        save(image, tmp_path / "fixed.nii.gz"),
        save(other, tmp_path / "moving.nii.gz"),
        save(Volume(labels.layers[0], FIXED.affine), tmp_path / "fixed_labels.nii.gz"),
        save(Volume(drawn, FIXED.affine), tmp_path / "moving_labels.nii.gz"),
        tmp_path / "landmarks.csv",
        "phantoms",
    )


def label_overlap(fixed: np.ndarray, warped: np.ndarray, values: tuple[int, ...]) -> tuple[float, float]:
    """Mean Dice and Jaccard by SimpleITK."""
    measure = sitk.LabelOverlapMeasuresImageFilter()
    measure.Execute(*(sitk.GetImageFromArray(a.astype(np.int32)) for a in (fixed, warped)))
    dice = [measure.GetDiceCoefficient(v) for v in values]
    return float(np.mean(dice)), float(np.mean([measure.GetJaccardCoefficient(v) for v in values]))


def surface_distance_95(first: np.ndarray, second: np.ndarray) -> float:
    """95th percentile of the distances between surface voxels, both directions pooled, mm; by brute force."""
    surfaces = [np.argwhere(m & ~binary_erosion(m))[:, ::-1] @ FIXED.affine[:3, :3].T for m in (first, second)]
    distances = cdist(*surfaces)
    return float(np.percentile(np.r_[distances.min(0), distances.min(1)], 95))


def test_scores_agree_with_an_independent_warp_and_label_overlap(pair):
    scores, _ = evaluate_case(load_case(pair), [KnownField().method])
    fixed, moving = (sitk.GetArrayFromImage(sitk.ReadImage(str(p))) for p in (pair.fixed_labels, pair.moving_labels))
    marks = read_landmarks(pair.landmarks)
    field = smooth_field(FIXED, 4.0)
    linear = evaluate_affine(load_case(pair), AFFINE).field
    warped = {
        "before": moving,
        "affine": nearest_warp(moving, FIXED.affine, linear, FIXED),
        "known": nearest_warp(moving, FIXED.affine, field, FIXED),
    }
    mapped = {
        "before": marks[:, 0],
        "affine": apply_affine(AFFINE.matrix, marks[:, 0]),
        "known": map_points(field, marks[:, 0]),
    }
    assert list(scores) == ["before", "affine", "known"]
    for name, own in scores.items():
        dice, jaccard = label_overlap(fixed, warped[name], (2, 5))
        assert own.dice == pytest.approx(dice, abs=2e-3), name
        assert own.jaccard == pytest.approx(jaccard, abs=2e-3), name
        tre = np.linalg.norm(mapped[name] - marks[:, 1], axis=1).mean()
        assert own.tre_mm == pytest.approx(tre, abs=0.01), name
        distances = [surface_distance_95(fixed == v, warped[name] == v) for v in (2, 5)]
        assert own.hd95_mm == pytest.approx(np.mean(distances), abs=0.05), name
        assert list(own.structures) == ["Label_2", "Label_5"]
    assert scores["known"].tre_mm == pytest.approx(0.5, abs=0.1)
    assert (scores["affine"].seconds, scores["known"].seconds) == (0.5, 1.5)
    assert scores["before"].folding_percent == scores["affine"].std_log_jacobian == 0


def test_spread_and_folding_of_the_determinant(pair):
    case = load_case(pair)
    mild, wild = (evaluate_field(case, smooth_field(FIXED, amplitude)).jacobian for amplitude in (4.0, 60.0))
    assert mild.percent_nonpositive == 0
    assert wild.percent_nonpositive > 1
    field = smooth_field(FIXED, 4.0)
    steps = np.stack(np.gradient(field.array.astype(float), 4.0, axis=(2, 1, 0)), axis=-1)
    directions = FIXED.affine[:3, :3] / FIXED.spacing_mm
    determinants = np.linalg.det(steps @ directions.T + np.eye(3))[2:-2, 2:-2, 2:-2]
    assert mild.std_log == pytest.approx(np.log(determinants).std(), rel=0.1)


def test_small_structures_are_left_out_and_counted(pair):
    assert load_case(pair).structures_left_out == 1
    everything = load_case(pair, minimum_voxels=1)
    assert [s.value for s in everything.fixed_labels.segments] == [2, 5, 11]
    with pytest.raises(InputError, match=r"no structure has 1000000 voxels.*moving_labels"):
        load_case(pair, minimum_voxels=1_000_000)


def test_labels_and_landmarks_at_another_place_are_said(pair):
    assert load_case(pair).warnings == ()
    labels = sitk.ReadImage(str(pair.moving_labels))
    place = labels.GetOrigin()
    labels.SetOrigin((place[0] + 40, *place[1:]))
    sitk.WriteImage(labels, str(pair.moving_labels))
    with pair.landmarks.open("a") as stream:
        stream.write("\n900,0,0," + ",".join(map(str, FIXED.center_mm)))
    outside, elsewhere = load_case(pair).warnings
    assert outside.startswith(f"{pair.landmarks}: 1 of 41 fixed landmarks lie outside of the volume")
    assert elsewhere.startswith(f"{pair.moving_labels}: ")
    labels.SetOrigin((place[0] + 4000, *place[1:]))
    sitk.WriteImage(labels, str(pair.moving_labels))
    with pytest.raises(InputError, match=r"moving_labels.nii.gz: the moving label map lies wholly outside"):
        load_case(pair)


def test_a_model_registers_as_in_the_product_and_shares_the_affine_stage(pair):
    registry = ModelRegistry()
    methods = [
        build_model_method(str(n), "", RegistrationSettings("brain-mri", n, threads=1), registry) for n in (1, 2)
    ]
    scores, outcomes = evaluate_case(load_case(pair), methods)
    assert list(scores) == ["before", "affine", "1", "2"]
    np.testing.assert_array_equal(outcomes["1"].start.transform.matrix, outcomes["2"].start.transform.matrix)
    assert scores["1"].model == "brain-mri"
    assert scores["1"].seconds > scores["affine"].seconds > 0
    assert scores["2"].seconds > scores["affine"].seconds
    assert scores["1"].grid_seconds < scores["1"].seconds


def test_records_are_used_again_until_their_inputs_change(pair, tmp_path):
    output, counter = tmp_path / "out", KnownField()
    (first,) = evaluate_pairs([pair], [counter.method], output)
    os.utime(pair.fixed)
    (again,) = evaluate_pairs([pair], [counter.method], output)
    assert counter.calls == 1
    assert again == first
    evaluate_pairs([pair], [counter.method], output, EvaluationOptions(minimum_voxels=5))
    assert counter.calls == 2
    other = KnownField("another model")
    evaluate_pairs([pair], [other.method], output, EvaluationOptions(minimum_voxels=5))
    assert other.calls == 1
    image, _ = phantom(FIXED, seed=9)
    save(image, pair.moving)
    evaluate_pairs([pair], [other.method], output, EvaluationOptions(minimum_voxels=5))
    assert other.calls == 2
    (output / "pairs" / "pair.json").write_text("{ damaged")
    evaluate_pairs([pair], [other.method], output, EvaluationOptions(minimum_voxels=5))
    assert other.calls == 3


def test_a_failed_pair_is_reported_and_tried_again(pair, tmp_path):
    whole = pair.moving.read_bytes()
    broken = EvaluationPair("broken", pair.fixed, tmp_path / "broken.nii.gz")
    broken.moving.write_bytes(whole[:600])
    counter = KnownField()
    records = evaluate_pairs([broken, pair], [counter.method], tmp_path / "out")
    assert "broken.nii.gz" in records[0].error
    assert records[0].scores == {}
    assert records[1].scores["known"].dice > 0.5
    line = next(line for line in format_pairs_table(records).splitlines() if line.startswith("| broken"))
    assert "FAILED" in line
    assert "broken.nii.gz" in line
    broken.moving.write_bytes(whole)
    records = evaluate_pairs([broken, pair], [counter.method], tmp_path / "out")
    assert records[0].error == ""
    assert counter.calls == 2


def test_summary_and_csv_against_numpy(tmp_path):
    rng = np.random.default_rng(4)
    affine, model = rng.uniform(0.3, 0.6, 9), rng.uniform(0.45, 0.8, 9)
    model[3] = affine[3] - 0.05
    records = [
        PairRecord(
            f"p{n}",
            "g",
            "key",
            {
                "before": Scores(dice=0.1, tre_mm=9.0),
                "affine": Scores(dice=float(a), tre_mm=5.0),
                "m": Scores(dice=float(d), tre_mm=6.0 if n == 5 else 4.0, seconds=float(n)),
            },
        )
        for n, (a, d) in enumerate(zip(affine, model, strict=True))
    ]
    records.append(PairRecord("bad", "g", error="bad.nii: cut off."))
    summary = summarize(records)["g"]["m"]
    assert summary.pairs == 9
    assert summary.mean["dice"] == pytest.approx(model.mean(), abs=1e-6)
    assert summary.sd["dice"] == pytest.approx(model.std(ddof=1), abs=1e-6)
    assert summary.dice30 == pytest.approx(np.percentile(model, 30), abs=1e-6)
    assert summary.worst_pair == f"p{model.argmin()}"
    assert summary.least_gain == pytest.approx((model - affine).min(), abs=1e-6)
    worse = set(np.flatnonzero(model < affine)) | {5}
    assert set(summary.below_affine) == {f"p{n}" for n in worse}
    assert summary.median_seconds == 4
    assert summarize(records)["g"]["before"].below_affine == ()
    write_results(records, tmp_path, {"model": "m"})
    with (tmp_path / "results.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [float(r["dice"]) for r in rows if r["method"] == "m"] == pytest.approx(model.tolist())
    assert {r["pair"] for r in rows if r["below_affine"] == "1"} == set(summary.below_affine)
    assert rows[-1]["error"] == "bad.nii: cut off."
    written = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert written["failed"] == {"bad": "bad.nii: cut off."}
    assert written["groups"]["g"]["m"]["dice30"] == summary.dice30


def test_pictures_show_both_outlines(pair, tmp_path):
    counter = KnownField()
    options = EvaluationOptions(pictures=True)
    evaluate_pairs([pair], [counter.method], tmp_path / "out")
    evaluate_pairs([pair], [counter.method], tmp_path / "out", options)
    assert counter.calls == 2  # the picture was missing
    evaluate_pairs([pair], [counter.method], tmp_path / "out", options)
    assert counter.calls == 2
    picture = imread(tmp_path / "out" / "pictures" / "pair.png")
    red, green, blue = (picture[..., channel] for channel in range(3))
    assert ((green > 0.7) & (red < 0.3) & (blue < 0.3)).sum() > 100
    assert ((red > 0.6) & (green < 0.3) & (blue < 0.3)).sum() > 100
    assert ((red == green) & (green == blue) & (red > 0.2) & (red < 0.9)).sum() > 1000  # the scans


def test_label_values_below_zero_are_said(tmp_path):
    image = sitk.GetImageFromArray(np.full((4, 4, 4), -3, np.int16))
    sitk.WriteImage(image, str(tmp_path / "a.nii"))
    lines: list[str] = []
    assert [segment.value for segment in read_labels(tmp_path / "a.nii", lines.append).segments] == [-3]
    assert lines == [f"{tmp_path / 'a.nii'}: label values below 0 count as structures, as all values except 0 do."]


def write_list(folder: Path, *lines: str) -> Path:
    for name in ("a.nii", "b.nii", "c.nii"):
        (folder / name).touch()
    path = folder / "pairs.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["fixed,movin", "a.nii,b.nii"], "line 1: the header lacks moving"),
        (["fixed,moving,color", "a.nii,b.nii,red"], "line 1: the header has the column 'color'"),
        (["fixed,moving,moving", "a.nii,b.nii,c.nii"], "line 1: the header names a column twice"),
        (["fixed,moving", "a.nii,b.nii", "", "a.nii,gone.nii"], "line 4: 'moving': there is no file gone.nii"),
        (["fixed,moving", "a.nii,"], "line 2: 'moving' is empty"),
        (["fixed,moving", "a.nii,b.nii,c.nii"], "line 2: 3 fields where the header has 2 columns"),
        (["fixed,moving,fixed_labels", "a.nii,b.nii,c.nii"], "line 2: labels are compared"),
        (["fixed,moving,id", "a.nii,b.nii,x", "b.nii,a.nii,x"], "line 3: the id 'x' occurs twice"),
        (["fixed,moving", *["a.nii,x.nii"] * 5], "line 2.*line 3.*line 4.*and 2 more"),
        (["fixed,moving"], "there is no pair in this list"),
        ([""], "the file is empty"),
    ],
)
def test_an_error_in_the_list_is_reported_with_its_line(tmp_path, lines, message):
    with pytest.raises(InputError, match=message) as caught:
        read_pairs(write_list(tmp_path, *lines))
    assert str(tmp_path / "pairs.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lists_are_read_with_names_and_groups(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.nii").touch()
    path = write_list(tmp_path, "\ufefffixed,moving,group", "one/a.nii, b.nii ,x", "a.nii,b.nii,y", "a.nii,b.nii,y")
    pairs = read_pairs(path)
    assert [p.name for p in pairs] == ["one-a__b", "a__b", "a__b_line_4"]
    assert pairs[0].files == {"fixed": tmp_path / "one" / "a.nii", "moving": tmp_path / "b.nii"}
    assert [p.group for p in read_pairs(path, ["y"])] == ["y", "y"]
    with pytest.raises(InputError, match="no pair of 'z'; the groups in it are: x, y"):
        read_pairs(path, ["z"])
    manifest = tmp_path / "manifest.json"
    row = {"id": "p 1", "anatomy": "x", "fixed": "a.nii", "moving": "b.nii", "landmarks": None, "kind": "any"}
    manifest.write_text(json.dumps({"pairs": [row], "records": []}))
    (pair,) = read_pairs(manifest)
    assert (pair.name, pair.group, pair.landmarks) == ("p_1", "x", None)
    manifest.write_text(json.dumps({"pairs": [row, {**row, "id": "2", "moving": 3}]}))
    with pytest.raises(InputError, match="pair 2: 'moving' has to be the name of a file, got 3"):
        read_pairs(manifest)


def test_files_that_cannot_be_used_are_named(pair, tmp_path):
    marks = tmp_path / "marks.csv"
    marks.write_text("fixed_x,fixed_y,fixed_z,moving_x,moving_y,moving_z\n1,2,3,4,5,6\n1,2,x,4,5,6\n")
    with pytest.raises(InputError, match=r"marks.csv, line 3: a landmark is six numbers"):
        read_landmarks(marks)
    marks.write_text("fixed_x,fixed_y,fixed_z,moving_x,moving_y,moving_z,fixed_x\n1,2,3,4,5,6,7\n")
    with pytest.raises(InputError, match=r"marks.csv, line 1: the header names the column fixed_x twice"):
        read_landmarks(marks)
    flat = tmp_path / "flat.nii"
    sitk.WriteImage(sitk.Image(8, 8, sitk.sitkUInt8), str(flat))
    with pytest.raises(InputError, match=r"flat.nii: a 3-D volume is needed"):
        read_volume(flat)
    cut = tmp_path / "cut.nii"
    sitk.WriteImage(sitk.ReadImage(str(pair.fixed)), str(cut))
    cut.write_bytes(cut.read_bytes()[:-5000])
    with pytest.raises(InputError, match=r"cut.nii: the file is cut off"):
        read_volume(cut)
