"""What the documents name exists: files, commands, options, Python calls, links, the version."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

import LightRegistrationLib
from LightRegistrationLib.commands.main import build_parser
from LightRegistrationLib.core.network.cascade import CascadeConfig
from LightRegistrationLib.core.network.intensity import IntensityNormalization
from LightRegistrationLib.core.network.settings import GridSettings
from LightRegistrationLib.core.refinement.settings import RefinementSettings

REPOSITORY = Path(__file__).resolve().parents[3]
LIBRARY = REPOSITORY / "LightRegistration" / "LightRegistrationLib"
LAYERS = ("core", "training", "scene", "worker", "commands", "panel")
TOP = ("LightRegistration", "Testing", "docs", ".ci", ".github")
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
PROGRAM = "light-registration"


def test_the_documents_are_found():
    names = {path.relative_to(REPOSITORY).as_posix() for path in DOCUMENTS}
    assert {"README.md", "CONTRIBUTING.md", "docs/index.md", "docs/researcher/command-line.md"} <= names


def fences(text: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)


def prose(text: str) -> str:
    """The text without its code blocks."""
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)


def inline_code(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(text))


def command_lines(text: str) -> Iterator[list[str]]:
    """Every command of the bash blocks as words, without environment variables before it."""
    for block in fences(text, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words:
                yield words


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def named(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_files_that_are_named_exist(document):
    missing = []
    for code in inline_code(read(document)):
        first = code.partition("/")[0]
        if not re.fullmatch(r"[\w.*/-]+", code) or "/" not in code or first not in (*TOP, *LAYERS):
            continue
        folder = LIBRARY if first in LAYERS else REPOSITORY
        if not list(folder.glob(code.rstrip("/"))):
            missing.append(code)
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_links_lead_to_files(document):
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(read(document)))
    local = [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]
    assert [target for target in local if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_commands_can_be_given(document):
    targets = set(re.findall(r"^([\w-]+):", read(REPOSITORY / "Makefile"), re.MULTILINE))
    for words in command_lines(read(document)):
        name = words[0].rpartition("/")[2]
        if name == PROGRAM:
            build_parser().parse_args(words[1:])
        elif name == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, words
        elif name.startswith("python") and words[1].endswith(".py"):
            check_script(words[1:])


def check_script(words: list[str]) -> None:
    script = REPOSITORY / words[0]
    assert script.is_file(), words
    shared = script.with_name("common.py")
    source = read(script) + (read(shared) if shared.exists() else "")
    unknown = [word for word in words[1:] if word.startswith("--") and f'"{word}"' not in source]
    assert unknown == [], words


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_make_targets_in_the_text_exist(document):
    targets = set(re.findall(r"^([\w-]+):", read(REPOSITORY / "Makefile"), re.MULTILINE))
    used = {code.split()[1] for code in inline_code(read(document)) if re.match(r"make \w", code)}
    assert used <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_python_examples_import_what_there_is(document):
    for block in fences(read(document), "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("LightRegistrationLib"):
                module = importlib.import_module(str(node.module))
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == [], node.module


def test_the_command_line_page_is_what_the_parser_says():
    script = REPOSITORY / "docs" / "command_line.py"
    page = runpy.run_path(str(script))["page_text"]()
    assert read(REPOSITORY / "docs/researcher/command-line.md") == page, f"run .venv/bin/python {named(script)}"


def test_the_tables_of_the_comparison_are_what_was_measured():
    script = runpy.run_path(str(REPOSITORY / "docs" / "result_tables.py"))
    for page in script["PAGES"]:
        text = read(page)
        assert script["BLOCK"].search(text), page
        assert script["page_text"](text) == text, f"{named(page)}: run .venv/bin/python docs/result_tables.py"


@pytest.mark.parametrize("kind", [CascadeConfig, GridSettings, IntensityNormalization, RefinementSettings])
def test_the_page_of_the_models_names_every_key_of_a_card(kind):
    named_keys = inline_code(read(REPOSITORY / "docs/researcher/models.md"))
    plain = [f.name for f in fields(kind) if f.type in ("bool", "int", "float", "str")]
    assert plain
    assert [name for name in plain if name not in named_keys] == []


def test_the_version_stands_in_one_place():
    version = LightRegistrationLib.__version__
    assert yaml.safe_load(read(REPOSITORY / "CITATION.cff"))["version"] == version
    assert re.search(rf"^## \[{re.escape(version)}\]", read(REPOSITORY / "CHANGELOG.md"), re.MULTILINE)
    for name in ("pyproject.toml", "CMakeLists.txt", "README.md", "LightRegistration/LightRegistration.py"):
        assert f'"{version}"' not in read(REPOSITORY / name), name


def test_the_readme_fits_on_one_screen_and_a_half():
    assert len(read(REPOSITORY / "README.md").splitlines()) <= 110


def test_the_hosted_workflow_runs_the_local_checks():
    jobs = yaml.safe_load(read(REPOSITORY / ".github/workflows/checks.yml"))["jobs"]
    commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert ".ci/run" in commands["linux"]
    assert set(jobs["platforms"]["strategy"]["matrix"]["os"]) == {"windows-latest", "macos-latest"}
    folders = [word for line in commands["platforms"] for word in line.split() if word.startswith("Testing/")]
    assert folders
    assert [folder for folder in folders if not (REPOSITORY / folder).is_dir()] == []
    assert "make docs" in commands["release"]


def test_issue_templates_ask_for_something():
    for path in (REPOSITORY / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        content = yaml.safe_load(read(path))
        if path.name != "config.yml":
            assert {"name", "description", "body"} <= set(content), path.name
            assert any(item.get("validations", {}).get("required") for item in content["body"]), path.name
