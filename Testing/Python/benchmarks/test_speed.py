"""The speed benchmark runs, and the tools that it compares do the same."""

from __future__ import annotations

import json


def test_the_three_warps_agree_and_all_rows_are_measured(benchmark, tmp_path):
    done = benchmark(
        "speed", "--size", "70", "60", "50", "--grid", "16", "20", "24", "--repeat", "1", "--output", tmp_path
    )
    assert done.status == 0, done.stderr
    report = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))
    assert set(report["warps"]) == {"ours", "SimpleITK Resample", "vtkImageReslice"}
    assert min(row["compared"] for row in report["warps"].values()) > 0.5
    assert max(row["mean_difference"] for row in report["warps"].values()) < 0.6  # both others cut instead of rounding
    assert len(report["samplers"]) == 6
    assert all(row["wall_ms"] > 0 for part in ("warps", "samplers") for row in report[part].values())
    assert "SimpleITK Resample" in done.stdout
