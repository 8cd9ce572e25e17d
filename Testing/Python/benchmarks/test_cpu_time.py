"""The command that measures CPU time: one table for each processor, and a warning if the machine was busy."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.core.geometry.geometry import Geometry, homogeneous
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.training.evaluation.files import to_sitk_image

from ..analytic import phantom
from .conftest import RunBenchmark


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with two brain scans that are phantoms."""
    folder, records = tmp_path / "data", []
    folder.mkdir()
    for seed in range(2):
        image, labels = phantom(Geometry((20, 20, 20), homogeneous(np.eye(3) * 3.0, (-29, -29, -29))), seed)
        files = {"image": f"{seed}.nii.gz", "labels": f"{seed}_labels.nii.gz"}
        sitk.WriteImage(to_sitk_image(image), str(folder / files["image"]))
        sitk.WriteImage(to_sitk_image(Volume(labels.layers[0], image.affine)), str(folder / files["labels"]))
        records.append({"id": f"scan{seed}", "anatomy": "brain_t1", **files})
    (folder / "manifest.json").write_text(json.dumps({"records": records, "pairs": []}))
    return folder


@pytest.mark.usefixtures("forked_rows")
def test_each_processor_has_one_table(benchmark: RunBenchmark, data, tmp_path):
    import cpu_time
    from compare.machine import processor_name

    output = tmp_path / "results"
    output.mkdir()
    other = {"cores": 8, "threads": 1, "pairs": ["scan0__scan1"], "most_other_work": 0.01}
    syn = {"runs": 2, "failed": 0, "cpu_seconds": 77.0, "least": 76.0, "most": 78.0}
    none = {**syn, "cpu_seconds": 1.75}
    before = {"Another processor": {**other, "methods": {"ours-none": none, "syn": syn}}, processor_name(): {}}
    (output / "cpu_time.json").write_text(json.dumps(before))
    arguments = ("--data", data, "--output", output, "--methods", "ours-none", "demons")
    done = benchmark("cpu_time", *arguments)
    assert done.status == 0, done.stderr

    after = json.loads((output / "cpu_time.json").read_text(encoding="utf-8"))
    assert set(after) == set(before)
    assert after["Another processor"] == before["Another processor"]
    own = after[processor_name()]
    assert own["pairs"] == ["scan0__scan1"]
    assert own["threads"] == 1
    methods = own["methods"]
    assert list(methods) == ["ours-none", "demons"]
    assert all(m["runs"] == 2 and 0 < m["least"] <= m["cpu_seconds"] <= m["most"] for m in methods.values())
    order = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("scan0__scan1")]
    assert order == ["ours-none", "demons"] * 2

    text = (output / "cpu_time.md").read_text(encoding="utf-8")
    assert f"## {processor_name()}, " in text
    cells = [[c.strip() for c in line.strip("| ").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert ["ANTs SyN, default", "77.00", "2 runs, 76.00 to 78.00", "44.0"] in cells
    demons = next(c for c in cells if c[0].startswith("demons"))
    times = cpu_time.ratio(methods["demons"]["cpu_seconds"] / methods["ours-none"]["cpu_seconds"])
    assert demons[3] == times
    assert "nothing else running" in text  # on the other processor


def test_a_failed_method_is_named_and_a_busy_machine_is_said(benchmark: RunBenchmark):
    import cpu_time

    runs = [
        {"pair": "a", "method": "syn", "error": "no memory", "cpu_seconds": None, "other_work": 0.5},
        {"pair": "a", "method": "ours-none", "error": None, "cpu_seconds": 1.0, "other_work": 0.0},
        {"pair": "a", "method": "ours-none", "error": None, "cpu_seconds": 3.0, "other_work": 0.0},
    ]
    text = cpu_time.text_of({"Some processor": cpu_time.summarize(runs, 1)})
    assert "failed: no memory" in text
    assert "NOT alone on the machine: other work took up to 50% of a core" in text
    assert "| 2.00 " in text


def test_other_work_is_seen(benchmark: RunBenchmark):
    from compare.load import OtherWork

    if not Path("/proc/stat").is_file():
        pytest.skip("the load of the machine was NOT measured: only Linux counts it")
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        work = OtherWork()
        own = time.process_time()
        time.sleep(1.0)
        share = work.share(time.process_time() - own)
        none_left = OtherWork()
        time.sleep(0.2)
        all_of_it = none_left.share(1e6)
    finally:
        busy.kill()
        busy.wait()
    assert share is not None
    assert share > 0.1
    assert all_of_it == 0.0
