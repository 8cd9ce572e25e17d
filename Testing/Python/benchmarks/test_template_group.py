"""The benchmark of templates makes a group of the size asked for, and reports its mean."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .. import quick_model
from .conftest import RunBenchmark


def test_missing_scans_are_deformed_ones(benchmark: RunBenchmark, head_data: Path, tmp_path: Path) -> None:
    arguments = ("--data", head_data, "--work", tmp_path / "work", "--output", tmp_path / "out", "--threads", "1")
    done = benchmark("template_group", *arguments, "--model", quick_model.NAME, "--brains", "4", "--iterations", "1")
    assert done.status == 0, done.stderr
    assert "4 brains (1 of them deformed scans)" in done.stdout
    (deformed,) = (tmp_path / "work" / "deformed").iterdir()
    first, second = (sitk.GetArrayFromImage(sitk.ReadImage(str(p))) for p in (head_data / "0.nii", deformed))
    assert 0.8 < np.corrcoef(first.ravel(), second.ravel())[0, 1] < 0.999
    values = json.loads((tmp_path / "out" / "template_group.json").read_text(encoding="utf-8"))
    assert [own["number"] for own in values["iterations"]] == [0, 1]
    assert str(tmp_path) not in json.dumps(values), "a path of this machine"
    assert (tmp_path / "out" / "template_group_mean.png").exists()
