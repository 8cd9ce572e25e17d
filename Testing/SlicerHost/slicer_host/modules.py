"""Scripted modules and core modules: ``slicer.modules.<name>``, and the widget that contains a module's panel."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtWidgets

from .exports import make_stored_property, stand_in
from .standins.mrml_widgets import SceneHolder


@stand_in
class qSlicerLoadableModule(QtCore.QObject):
    """A core module, of which the double has only the logic."""

    def __init__(self, name: str, logic: Any) -> None:
        super().__init__()
        self._name, self._logic = name, logic

    def logic(self) -> Any:
        return self._logic

    def widgetRepresentation(self) -> None:
        return None

    name = QtCore.Property(str, lambda self: self._name)
    path = QtCore.Property(str, lambda self: "")


@stand_in
class qSlicerScriptedLoadableModule(QtCore.QObject):
    """The ``parent`` whose attributes a module's class sets."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__()
        self._name, self._path, self._panel = name, path, None

    def widgetRepresentation(self) -> Any:
        return self._panel

    def logic(self) -> None:
        return None

    name = QtCore.Property(str, lambda self: self._name)
    path = QtCore.Property(str, lambda self: str(self._path))
    title = make_stored_property("title", "QString")
    index = make_stored_property("index", "int", -1)
    hidden = make_stored_property("hidden", "bool")
    helpText = make_stored_property("helpText", "QString")
    acknowledgementText = make_stored_property("acknowledgementText", "QString")
    categories = make_stored_property("categories", "QStringList", [])
    dependencies = make_stored_property("dependencies", "QStringList", [])
    contributors = make_stored_property("contributors", "QStringList", [])
    associatedNodeTypes = make_stored_property("associatedNodeTypes", "QStringList", [])
    icon = make_stored_property("icon", "QIcon")
    widgetRepresentationCreationEnabled = make_stored_property("widgetRepresentationCreationEnabled", "bool", True)


@stand_in
class qSlicerScriptedLoadableModuleWidget(SceneHolder, QtWidgets.QWidget):
    """The widget that contains a module's panel; entered and left when the user changes modules."""

    mrmlSceneChanged = QtCore.Signal(object)

    SIGNALS = ("mrmlSceneChanged(vtkMRMLScene*)",)
    _entered = False
    _python_panel: Any = None
    _make_panel: Any = None

    def self(self) -> Any:
        return self._python_panel

    def reload(self) -> None:
        self._make_panel()

    isEntered = QtCore.Property(bool, lambda self: self._entered)


def find_module_file(name: str, module_paths: list[Path]) -> Path:
    """``<name>.py`` in one of the folders; raises FileNotFoundError."""
    for folder in module_paths:
        candidate = folder / f"{name}.py"
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"no module file {name}.py in {', '.join(map(str, module_paths))}")


def import_module_file(name: str, path: Path) -> Any:
    """Import the module's file as Slicer does: under its own name, with its folder on sys.path."""
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
