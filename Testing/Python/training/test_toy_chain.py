"""The README's toy chain, smaller: heads, teacher, distillation, a model, evaluation, registration."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.commands.train.request import CONFIGS

from ..command_line import run_command

MODEL = "toy-aldk"
SMALLER = {"steps": "110", "spacing_mm": "8", "channels": "4", "validate_minutes": "0"}
"""At 8 mm a step takes an eighth of the time. The channels of the discriminator are a list and stay unchanged."""
TEACHER_STEPS = "15"


def write_smaller_config(name: str, folder: Path, **changes: str) -> Path:
    """Write a configuration of the package, reduced to some seconds."""
    text = (CONFIGS / f"{name}.toml").read_text(encoding="utf-8")
    for key, value in (SMALLER | changes).items():
        text = re.sub(rf"(?m)^{key} = [\d.]+$", f"{key} = {value}", text)
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder / f"{name}.toml"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("chain")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LIGHTREG_MODELS": str(folder / "my models")}

    def command(*arguments: str | Path) -> str:
        done = run_command(*arguments, environment=environment, folder=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    command.folder = folder
    return command


def test_from_heads_to_a_model_that_registers_better_than_affine(run) -> None:
    folder: Path = run.folder
    teacher = write_smaller_config("toy-teacher", folder, steps=TEACHER_STEPS)
    student = write_smaller_config(MODEL, folder)
    run("train", "toy-data", "heads", "--subjects", "6", "--validation", "3", "--spacing", "6")
    common = ("--data", "heads", "--threads", "1", "--no-tensorboard")
    assert "toy-teacher is trained." in run("train", "teacher", teacher, "--output", "runs/teacher", *common)
    said = run("distill", student, "--teacher", "runs/teacher", "--output", "runs/distilled", *common)
    assert f"light-registration models add runs/distilled/models/{MODEL}" in said
    run("models", "add", f"runs/distilled/models/{MODEL}")
    assert MODEL in run("models", "list")

    run(*f"evaluate heads/pairs.csv --model {MODEL} --minimum-voxels 60 --threads 1 --output evaluation".split())
    rows = list(csv.DictReader((folder / "evaluation" / "results.csv").open()))
    affine, student = ([float(r["dice"]) for r in rows if r["method"] == name] for name in ("affine", MODEL))
    assert len(student) == 3
    assert all(after > before for before, after in zip(affine, student, strict=True))
    assert np.mean(student) > np.mean(affine) + 0.02

    scans = [f"heads/scans/head_{n:02d}.nii.gz" for n in (6, 7)]
    run("register", *scans, "--model", MODEL, "--threads", "1", "--output", "result")
    report = json.loads((folder / "result" / "report.json").read_text(encoding="utf-8"))
    assert report["model"]["name"] == MODEL
    assert report["jacobian"]["minimum"] > 0
    field = sitk.ReadTransform(str(folder / "result" / "transform.h5"))
    assert np.isfinite(np.array(field.GetParameters())).all()
    assert np.isfinite(sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "result" / "warped.nii.gz")))).all()
