"""The benchmark of label fusion runs, resumes, and compares with the best single atlas."""

from __future__ import annotations

import json
from pathlib import Path

from .. import quick_model
from .conftest import RunBenchmark


def test_each_scan_is_labeled_once_in_every_way(benchmark: RunBenchmark, head_data: Path, tmp_path: Path) -> None:
    arguments = ("--data", head_data, "--work", tmp_path / "work", "--output", tmp_path / "out", "--threads", "1")
    arguments += ("--model", quick_model.NAME, "--scans", "1")
    done = benchmark("label_fusion", *arguments)
    assert done.status == 0, done.stderr
    rows = {
        r["method"]: r for r in json.loads((tmp_path / "out" / "label_fusion_1_scans.json").read_text(encoding="utf-8"))
    }
    assert set(rows) == {"best single atlas", "single atlases, mean", "majority", "joint"}
    assert rows["single atlases, mean"]["dice"] <= rows["best single atlas"]["dice"]
    assert rows["joint"]["dice"] > rows["majority"]["dice"] - 0.02
    gain = rows["joint"]["dice"] - rows["best single atlas"]["dice"]
    assert f"| joint | 1 | {rows['joint']['dice']:.4f} | {gain:+.4f}" in (
        tmp_path / "out" / "label_fusion_1_scans.md"
    ).read_text(encoding="utf-8")
    assert (tmp_path / "out" / "label_fusion_1_scans.png").read_bytes().startswith(b"\x89PNG")
    (kept,) = (tmp_path / "work").iterdir()
    before = kept.stat().st_mtime_ns
    assert benchmark("label_fusion", *arguments).status == 0
    assert kept.stat().st_mtime_ns == before, "a finished scan is labeled again"
