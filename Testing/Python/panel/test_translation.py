"""Every text that the user reads is translated under the extension's own context, and Slicer's tool collects it."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import PySide6
import pytest

MODULE = Path(__file__).resolve().parents[3] / "LightRegistration"
LIBRARY = MODULE / "LightRegistrationLib"
UI_FILE = MODULE / "Resources" / "UI" / "LightRegistration.ui"
LIBRARY_SOURCES = [*(LIBRARY / "panel").rglob("*.py"), *(LIBRARY / "scene").rglob("*.py")]
SOURCES = sorted([MODULE / "LightRegistration.py", *LIBRARY_SOURCES])
CONTEXT = "LightRegistration"
TRANSLATED_BY_SLICER = {("qSlicerAbstractCoreModule", "Registration")}
"""The category of the module, which has its translation in Slicer itself."""
CONTROLS = {
    "QCheckBox",
    "QComboBox",
    "QListWidget",
    "QRadioButton",
    "QTableWidget",
    "QToolButton",
    "qMRMLNodeComboBox",
}


def parse(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def translated_texts(path: Path) -> set[tuple[str, str]]:
    """The (context, text) pairs of all calls of `translate` in a file."""
    pairs = set()
    for node in parse(path):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "translate":
            arguments = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            assert len(arguments) == 2, f"{path.name}:{node.lineno}: both arguments must be string literals"
            pairs.add((arguments[0], arguments[1]))
    return pairs


def collect_with_lupdate(folder: Path, sources: list[Path]) -> set[tuple[str, str]]:
    """The (context, text) pairs that Qt's lupdate, which Slicer runs, finds in the files."""
    program = next(path for path in Path(PySide6.__path__[0]).glob("lupdate*") if path.suffix in ("", ".exe"))
    output = folder / "texts.ts"
    subprocess.run([program, *sources, "-ts", output], check=True, capture_output=True, timeout=120)
    return {
        (context.findtext("name", ""), message.findtext("source", ""))
        for context in ElementTree.parse(output).getroot().iter("context")
        for message in context.iter("message")
    }


def test_every_text_has_the_context_of_the_extension():
    pairs = {pair for path in SOURCES for pair in translated_texts(path)}
    assert len(pairs) > 50
    assert {pair for pair in pairs if not pair[0].startswith(CONTEXT)} == TRANSLATED_BY_SLICER


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(MODULE).as_posix())
def test_no_file_lets_slicer_derive_the_context(path):
    """`tr` of slicer.i18n derives it from the last folder and the file name, which another extension may share."""
    for node in parse(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("slicer.i18n"):
            pytest.fail(f"{path.name}:{node.lineno} imports from slicer.i18n; use panel.translation")


def test_slicers_tool_collects_every_text_with_its_context(tmp_path):
    written = {pair for path in SOURCES for pair in translated_texts(path)}
    assert collect_with_lupdate(tmp_path, SOURCES) == written


def test_the_texts_of_the_ui_file_have_the_context_too(tmp_path):
    found = collect_with_lupdate(tmp_path, [UI_FILE])
    assert len(found) > 30
    assert {context for context, _text in found} == {CONTEXT}


def test_every_control_has_a_tool_tip():
    controls = [widget for widget in ElementTree.parse(UI_FILE).iter("widget") if widget.get("class") in CONTROLS]
    assert len(controls) > 20
    for control in controls:
        tips = [p.findtext("string", "") for p in control.findall("property") if p.get("name") == "toolTip"]
        assert tips, control.get("name")
        assert tips[0].endswith("."), control.get("name")


def test_a_registration_looks_up_its_texts_under_this_context_alone(opened):
    looked_up = set()

    def shout(context: str, text: str) -> str:
        looked_up.add((context, text))
        return f"!{text}"

    with opened.host.use_translation(shout):
        opened.registered()
        assert opened.status.startswith("!Done in")
    assert len(looked_up) > 15
    assert {context for context, _text in looked_up} == {CONTEXT}


@pytest.mark.parametrize("wrong", ["{nom} manque", "manque", "{name manque", "{name} {other}"])
def test_a_translation_with_other_placeholders_is_not_used(slicer_host, wrong):
    from LightRegistrationLib.panel.translation import translate

    text = "{name} is missing"
    with slicer_host.use_translation(lambda _context, _text: wrong):
        assert translate(CONTEXT, text) == text
    with slicer_host.use_translation(lambda _context, _text: "Il manque {name}"):
        assert translate(CONTEXT, text).format(name="Liver") == "Il manque Liver"
