"""The package that CMake makes: every file in its place in an empty folder of Slicer, and it runs from there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .test_cmake_lists import MODULE, REPOSITORY, cmake_list

VERSION = "5.11"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """An empty folder of Slicer into which the extension was installed."""
    if shutil.which("cmake") is None or not (shutil.which("cc") and shutil.which("c++")):
        pytest.skip("CMake and a compiler, which it asks for, are not installed")
    folder = tmp_path_factory.mktemp("package")
    options = [
        f"-DSlicer_DIR={REPOSITORY / 'Testing' / 'Package'}",
        f"-DSlicer_VERSION={VERSION}",
        "-DBUILD_TESTING=OFF",
    ]
    build = folder / "build"
    for command in (
        ["cmake", "-S", str(REPOSITORY), "-B", str(build), *options],
        ["cmake", "--install", str(build), "--prefix", str(folder / "Slicer")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder / "Slicer"


def read_hashes(folder: Path, names: list[str]) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(names)}


def test_every_listed_file_and_no_other_is_in_its_place(installed):
    module = installed / "lib" / f"Slicer-{VERSION}" / "qt-scripted-modules"
    listed = cmake_list("MODULE_PYTHON_SCRIPTS") + cmake_list("MODULE_PYTHON_RESOURCES")
    found = [path.relative_to(module).as_posix() for path in module.rglob("*") if path.is_file()]
    assert read_hashes(module, found) == read_hashes(MODULE, listed)
    share = installed / "share" / f"Slicer-{VERSION}"
    others = [path for path in installed.rglob("*") if path.is_file() and module not in path.parents]
    assert others == [share / "LightRegistration.s4ext"]
    lines = dict(line.split(" ", 1) for line in others[0].read_text(encoding="utf-8").splitlines())
    assert lines["depends"] == "PyTorch"


def test_the_installed_library_finds_its_models(installed):
    module = installed / "lib" / f"Slicer-{VERSION}" / "qt-scripted-modules"
    code = (
        "import json, LightRegistrationLib; from LightRegistrationLib.core.models.registry import ModelRegistry; "
        "print(json.dumps([LightRegistrationLib.__file__, sorted(ModelRegistry().names())]))"
    )
    environment = os.environ | {"PYTHONPATH": str(module), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    file, names = json.loads(done.stdout)
    assert Path(file).is_relative_to(module)
    assert {card.parent.name for card in (MODULE / "Resources" / "Models").glob("*/card.json")} <= set(names)
