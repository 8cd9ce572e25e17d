"""The import contracts: a layer imports only the layers below it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

from ..command_line import COMMAND, ONE_THREAD, run_fresh_command

REPOSITORY = Path(__file__).resolve().parents[3]


def test_import_contracts_hold() -> None:
    checker = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([checker], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


HELP = [[], ["register"], ["apply"], ["models"], ["models", "verify"], ["evaluate"], ["train"], ["train", "student"]]
HELP += [["distill"], ["demo"], ["profile"], ["batch"], ["fuse"], ["template"], ["series"]]
REFUSED = [
    ["register", "absent.nii", "absent.nii", "--output", "result"],
    ["register", __file__, __file__],
    ["register", __file__, __file__, "--output", "result", "--cascades", "9"],
    ["register", __file__, __file__, "--output", "result", "--model", "giraffe"],
    ["apply", "absent.nii", "--transform", "absent.h5", "--output", "result.nii"],
    ["apply", __file__, "--transform", __file__, "--output", "result.nii"],
    ["fuse", "absent.csv", "--target", __file__, "--output", "result"],
    ["fuse", "absent.csv", "--leave-one-out", "--output", "result", "--search-radius", "9"],
    ["template", "absent.nii", __file__, "--output", "result"],
    ["series", "absent.nii", "--frame", "0", "--output", "result"],
    ["models", "giraffe"],
    ["evaluate", "pairs.csv", "--output", "result", "--cascades", "9"],
    ["demo", "--fixed", "absent.nii"],
    ["paint"],
]
SLOW = {"numpy", "scipy", "torch", "safetensors", "slicer", "slicer_core", "vtk", "vtkmodules", "pydicom", "SimpleITK"}
SLOW |= {"tqdm", "email", "socket", "asyncio", "unittest"}


@pytest.mark.parametrize("arguments", [[*words, "--help"] for words in HELP] + REFUSED + [["--version"]], ids=" ".join)
def test_help_and_refusals_import_nothing_slow(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", *COMMAND[1:], *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == (0 if arguments[-1] in ("--help", "--version") else 2)
    lines = done.stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert "LightRegistrationLib.commands.main" in imported
    assert sorted(SLOW & {name.partition(".")[0] for name in imported}) == []


def test_a_command_that_ends_at_once_leaves_no_temporary_folder(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("x,y,z\n1,2,3\n")
    (tmp_path / "temporary").mkdir()
    sitk.WriteTransform(sitk.TranslationTransform(3, (3.0, 0.0, 0.0)), str(tmp_path / "shift.tfm"))
    done = run_fresh_command(
        "apply",
        "points.csv",
        "--transform",
        "shift.tfm",
        "--output",
        "moved.csv",
        environment={**ONE_THREAD, "TMPDIR": str(tmp_path / "temporary")},
        folder=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "moved.csv").exists()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_files_are_read_without_all_of_vtk() -> None:
    code = (
        "import sys, LightRegistrationLib.commands.register.inputs, LightRegistrationLib.commands.register.outputs;"
        "print(*{'torch', 'vtk', 'vtkmodules.all'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, []), "imported before it is needed"
