"""What CMake installs is what is on disk, so that nothing is missing from a package."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
MODULE = REPOSITORY / "LightRegistration"
NOT_INSTALLED = {"__pycache__", "Screenshots"}


def cmake_list(name: str) -> list[str]:
    text = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    body = re.search(rf"set\({name}\s(.*?)\)", text, re.DOTALL)
    assert body is not None, f"CMakeLists.txt sets no {name}"
    return body[1].replace("${MODULE_NAME}", "LightRegistration").split()


def files_on_disk(*folders: str) -> set[str]:
    found = (path for folder in folders for path in (MODULE / folder).rglob("*") if path.is_file())
    return {path.relative_to(MODULE).as_posix() for path in found if not NOT_INSTALLED & set(path.parts)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "MODULE_PYTHON_SCRIPTS",
            {"LightRegistration.py"} | {f for f in files_on_disk("LightRegistrationLib") if f.endswith(".py")},
        ),
        (
            "MODULE_PYTHON_RESOURCES",
            {f for f in files_on_disk("LightRegistrationLib", "Resources") if not f.endswith(".py")},
        ),
    ],
)
def test_every_file_is_installed_and_every_installed_file_exists(name, expected):
    listed = cmake_list(name)
    assert sorted(expected - set(listed)) == [], "on disk, but not in CMakeLists.txt"
    assert sorted(set(listed) - expected) == [], "in CMakeLists.txt, but not on disk"
    assert len(listed) == len(set(listed)), "listed twice"


def test_a_package_has_models_to_run_and_the_recipes_to_train_them():
    listed = cmake_list("MODULE_PYTHON_RESOURCES")
    for card in MODULE.glob("Resources/Models/*/card.json"):
        model = card.parent.relative_to(MODULE).as_posix()
        assert f"{model}/card.json" in listed
        shares_weights = "weights_of" in json.loads(card.read_text(encoding="utf-8"))
        assert shares_weights or f"{model}/weights.safetensors" in listed
    assert any(re.fullmatch(r"Resources/Models/[^/]+/card\.json", entry) for entry in listed)
    assert any(re.fullmatch(r"LightRegistrationLib/training/configs/.*\.toml", entry) for entry in listed)
    assert {"Resources/UI/LightRegistration.ui", "Resources/Icons/LightRegistration.png"} <= set(listed)


def test_the_extension_and_its_index_entry_name_the_same_thing():
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    said = dict(re.findall(r'set\((EXTENSION_\w+) "?(.*?)"?\)', text))
    entry = json.loads((REPOSITORY / "LightRegistration.json").read_text(encoding="utf-8"))

    assert re.search(r"project\((\w+)\)", text)[1] == "LightRegistration"
    assert entry["category"] == said["EXTENSION_CATEGORY"] == "Registration"
    assert entry["scm_url"].removesuffix(".git") == said["EXTENSION_HOMEPAGE"]
    assert entry["build_dependencies"] == said["EXTENSION_DEPENDS"].split()
    for name in ("EXTENSION_CONTRIBUTORS", "EXTENSION_DESCRIPTION", "EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS"):
        assert said[name]
    for name in ("EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS"):
        assert (REPOSITORY / said[name].partition("/main/")[2]).is_file(), name
