"""`register_files`, the command as a Python call: the same, many times in one process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ..command_line import ONE_THREAD
from .pair_files import PairFiles

BATCH = """
import json, sys
from LightRegistrationLib.commands.register import register_files
from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.scene.headless.application import headless_application

fixed, moving, output = sys.argv[1:]
steps, counts, reports = [], [], []
for number, initial in enumerate(("centers", "centers", "affine")):
    steps.append([])
    report = register_files(
        fixed,
        moving,
        f"{output}/{number}",
        initial=initial,
        model="quick",
        threads=1,
        progress=lambda update: steps[-1].append((update.fraction, update.stage)),
    )
    reports.append(report)
    counts.append(headless_application().scene.GetNumberOfNodes())
try:
    register_files(fixed, moving, f"{output}/0")
except InputError as error:
    refusal = str(error)
print(json.dumps({"steps": steps, "counts": counts, "reports": reports, "refusal": refusal}))
"""


def test_batch_in_one_process(pair_files: PairFiles, tmp_path: Path) -> None:
    arguments = [str(pair_files.fixed), str(pair_files.moving), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", BATCH, *arguments], capture_output=True, text=True, env=ONE_THREAD, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert len(set(told["counts"])) == 1, "nodes of the first pair are still in the scene"
    for number, report in enumerate(told["reports"]):
        assert report == json.loads((tmp_path / str(number) / "report.json").read_text(encoding="utf-8"))
        assert report["settings"]["initial"] == ("centers", "centers", "affine")[number]
    assert _bytes(tmp_path / "0") == _bytes(tmp_path / "1"), "the same pair gave another result"
    assert "--force" in told["refusal"]
    first = told["steps"][0]
    assert [f for f, _ in first] == sorted(f for f, _ in first)
    assert first[-1][0] == 1
    assert told["reports"][0]["jacobian"] != told["reports"][2]["jacobian"], "the initial alignment makes no difference"


def _bytes(folder: Path) -> bytes:
    return (folder / "warped.nii.gz").read_bytes()
