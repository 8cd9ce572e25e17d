"""Reduce the full API listing of a running Slicer to the classes that the host double exports.

Usage: python reduce_contract.py <full listing>.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

OUTPUT = Path(__file__).resolve().parent / "slicer_qt_api.json"

CLASSES = """
QAction QButtonGroup QCheckBox QComboBox QCommandLinkButton QDialog QDialogButtonBox QDoubleSpinBox QFileDialog
QFormLayout QFrame QGridLayout QGroupBox QHBoxLayout QLabel QLineEdit QListWidget QMenu QMessageBox
QPlainTextEdit QProcess
QProgressBar QProgressDialog QPushButton QRadioButton QScrollArea QSettings QSlider QSpinBox QSplitter
QStackedWidget QTabWidget QTableView QTableWidget QTextBrowser QTextEdit QTimer QToolButton QTreeWidget QVBoxLayout
QWidget
ctkCheckBox ctkCheckablePushButton ctkCollapsibleButton ctkCollapsibleGroupBox ctkColorPickerButton ctkComboBox
ctkDirectoryButton ctkDoubleRangeSlider ctkDoubleSlider ctkDoubleSpinBox ctkMessageBox ctkPathLineEdit
ctkRangeWidget ctkSliderWidget
qMRMLCheckableNodeComboBox qMRMLCollapsibleButton qMRMLNodeComboBox qMRMLRangeWidget qMRMLSliceView
qMRMLSliceWidget qMRMLSliderWidget qMRMLSpinBox qMRMLSubjectHierarchyTreeView qMRMLTableView qMRMLWidget
qSlicerLayoutManager
""".split()


def list_reachable_slots(entry: dict) -> list[str]:
    """Return the slots that Python can call; the listing also has private and protected ones."""
    members = set(entry["python_members"])
    return sorted(s for s in entry["slots"] if s.partition("(")[0] in members and not s.startswith("_q_"))


def list_unexplained_members(entry: dict, slots: list[str]) -> list[str]:
    """Return the members that are not a property, signal or slot of the same entry."""
    explained = {name.partition("(")[0] for name in [*entry["signals"], *slots]} | set(entry["properties"])
    return sorted(set(entry["python_members"]) - explained)


def drop_inherited(entry: dict, base: dict) -> dict:
    """Remove the members of QWidget: the reader of the file adds them to every widget."""
    slots = list_reachable_slots(entry)
    return {
        "properties": {k: v for k, v in entry["properties"].items() if base["properties"].get(k) != v},
        "python_members": [
            m
            for m in list_unexplained_members(entry, slots)
            if not m.startswith("_q_") and m not in base["python_members"]
        ],
        "signals": sorted(set(entry["signals"]) - set(base["signals"])),
        "slots": [s for s in slots if s not in base["slots"]],
        "widget": entry["widget"],
    }


def reduce_listing(full: dict) -> dict:
    """Return the subset of ``full`` for CLASSES in the same layout; raises KeyError for a class the listing lacks."""
    classes = full["classes"]
    empty = {"properties": {}, "python_members": [], "signals": [], "slots": []}
    result = {}
    for name in CLASSES:
        entry = classes[name]
        is_derived_widget = entry["widget"] and name != "QWidget"
        result[name] = drop_inherited(entry, classes["QWidget"] if is_derived_widget else empty)
    return {"what": full["what"], "classes": result}


def main() -> None:
    full = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    lines = [
        f" {json.dumps(name)}: {json.dumps(entry, separators=(',', ':'), sort_keys=True)}"
        for name, entry in reduce_listing(full)["classes"].items()
    ]
    head = f'{{"what": {json.dumps(full["what"])},\n"classes": {{\n'
    OUTPUT.write_text(head + ",\n".join(lines) + "\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
