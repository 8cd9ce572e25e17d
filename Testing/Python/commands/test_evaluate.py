"""The command `evaluate` on real files: output, exit status, and reuse of finished pairs."""

from __future__ import annotations

import csv
import gzip
import json
import struct
from pathlib import Path

import pytest

from LightRegistrationLib.commands.evaluate.command import evaluate_files
from LightRegistrationLib.core.errors import InputError

from ..command_line import QUICK, run_command
from .pair_files import PairFiles


@pytest.fixture
def pairs(pair_files: PairFiles, tmp_path: Path) -> Path:
    """A list of one good pair, whose fixed volume needs a warning, and one whose moving volume is cut off."""
    (tmp_path / "cut.nii.gz").write_bytes(pair_files.moving.read_bytes()[:5000])
    two_places = bytearray(gzip.decompress(pair_files.fixed.read_bytes()))
    struct.pack_into("<f", two_places, 268, 500.0)  # the qform lies elsewhere
    (tmp_path / "fixed.nii").write_bytes(two_places)
    files = (tmp_path / "fixed.nii", pair_files.moving, pair_files.fixed_segmentation, pair_files.moving_segmentation)
    path = tmp_path / "pairs.csv"
    path.write_text(
        "id,fixed,moving,fixed_labels,moving_labels\n"
        f"good,{','.join(map(str, files))}\n"
        f"cut,{pair_files.fixed},cut.nii.gz,,\n"
    )
    return path


def test_good_pairs_are_measured_failed_ones_listed_and_finished_ones_reused(pairs: Path, tmp_path: Path) -> None:
    output = tmp_path / "evaluation"
    arguments = ("evaluate", pairs, "--output", output, "--cascades", "1", "2", *QUICK, "--pictures")
    done = run_command(*arguments)
    assert done.returncode == 2
    warning, line = done.stderr.splitlines()
    assert "fixed.nii: the two positions in the header (qform and sform) disagree" in warning
    assert "1 of 2 pairs could not be evaluated" in line
    assert "FAILED" in next(row for row in done.stdout.splitlines() if row.startswith("| cut "))
    assert "cut.nii.gz" in done.stdout

    with (output / "results.csv").open() as stream:
        rows = {(r["pair"], r["method"]): r for r in csv.DictReader(stream)}
    dice = {method: float(row["dice"]) for (pair, method), row in rows.items() if pair == "good"}
    assert list(dice) == ["before", "affine", "quick, 1 cascade", "quick, 2 cascades"]
    assert dice["before"] < dice["affine"] < dice["quick, 2 cascades"]
    assert rows["good", "quick, 2 cascades"]["folding_percent"] == "0.0"
    assert "cut.nii.gz" in rows["cut", ""]["error"]
    assert [method for (_, method), row in rows.items() if "qform and sform" in row["warnings"]] == ["before"]
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    assert summary["groups"][""]["affine"]["mean"]["dice"] == pytest.approx(dice["affine"])
    assert list(summary["failed"]) == ["cut"]
    assert (output / "pictures" / "good.png").stat().st_size > 10_000

    # Wall times never repeat, so that equal files were not measured again.
    before = (output / "pairs" / "good.json").read_text(encoding="utf-8")
    pairs.write_text("\n".join(pairs.read_text(encoding="utf-8").splitlines()[:2]))
    again = run_command(*arguments)
    assert (again.returncode, again.stderr.splitlines()) == (0, [warning])
    assert (output / "pairs" / "good.json").read_text(encoding="utf-8") == before


def test_a_wrong_list_of_pairs_is_one_line(pairs: Path, tmp_path: Path) -> None:
    pairs.write_text("fixed,moving\na.nii,b.nii\n")
    done = run_command("evaluate", pairs, "--output", tmp_path / "out")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{pairs}, line 2: 'fixed': there is no file a.nii" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "giraffe"}, "giraffe"),
        ({"cascades": [4]}, "1 to 3 cascades"),
        ({"refine": ["none", "turbo"]}, "Unknown refinement 'turbo'"),
        ({"threads": 0}, "At least one thread"),
        ({"output": "pairs.csv"}, "this is a file"),
        ({"groups": ["brain"]}, "no pair of 'brain'"),
        ({"minimum_voxels": -1}, "least number of voxels is 0 or more, got -1"),
        ({"pairs": "none.csv"}, "none.csv: there is no such file"),
    ],
)
def test_wrong_choices_are_refused_before_any_computation(pairs: Path, tmp_path: Path, changes, message) -> None:
    arguments = {"pairs": pairs, "output": tmp_path / "out", **changes}
    for name in ("pairs", "output"):
        arguments[name] = tmp_path / arguments[name]
    with pytest.raises(InputError, match=message):
        evaluate_files(**arguments)
    assert not (tmp_path / "out").exists()


def test_each_refinement_is_measured_on_its_own() -> None:
    from LightRegistrationLib.training.evaluation.methods import build_model_methods

    methods = build_model_methods("auto", (1, 2), refine=("none", "fast"))
    names = ["auto, 1 cascade", "auto, 1 cascade, fast", "auto, 2 cascades", "auto, 2 cascades, fast"]
    assert [method.name for method in methods] == names
    assert len({method.key for method in methods}) == 4


def test_files_of_another_origin_are_not_replaced(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("mine")
    with pytest.raises(InputError, match=r"results.csv is not of an evaluation"):
        evaluate_files(pairs, tmp_path)
    assert (tmp_path / "results.csv").read_text(encoding="utf-8") == "mine"
