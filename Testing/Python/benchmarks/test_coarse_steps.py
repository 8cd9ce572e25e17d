"""Coarse steps in small: every number of steps reaches the refinement, and the table is of what was measured."""

from __future__ import annotations

import json

import SimpleITK as sitk


def test_each_number_of_steps_is_registered_and_compared(head_data, tmp_path, benchmark):
    manifest = head_data / "manifest.json"
    records = json.loads(manifest.read_text())["records"]
    for number, record in enumerate(records):
        record |= {"anatomy": "hippocampus_t1", "use": "evaluate" if number == 1 else "train"}
        for file in (head_data / record["image"], head_data / record["labels"]):
            image = sitk.ReadImage(str(file))
            image.SetSpacing((1.2, 1.2, 1.2))  # as small as a crop, and as quick
            sitk.WriteImage(image, str(file))
    manifest.write_text(json.dumps({"records": records}))
    options = ("--brains", "0", "--crops", "3", "--steps", "1", "6", "--threads", "1")
    done = benchmark("coarse_steps", "--data", head_data, "--output", tmp_path, *options)
    assert done.status == 0, done.stderr
    rows = json.loads((tmp_path / "coarse_steps.json").read_text(encoding="utf-8"))
    assert [(row["pair"], row["coarse_steps"]) for row in rows] == [
        ("head 0__head 2", n) for n in (1, 6)
    ]  # none held out
    few, many = (row["dice"] for row in rows)
    assert few != many
    assert f"{many - few:+.4f}" in (tmp_path / "coarse_steps.md").read_text(encoding="utf-8")
