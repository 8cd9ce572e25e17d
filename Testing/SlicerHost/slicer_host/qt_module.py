"""The ``qt``, ``ctk`` and ``slicer.q*`` names: exported classes made on first use from PySide or the stand-ins."""

from __future__ import annotations

import enum
import sys
import types
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from .contract import list_known_classes
from .exports import export, stand_ins
from .proxy import QObjectProxy, ValueProxy
from .signals import Signal
from .values import QtEnum, QtEnumType

# Widgets that module code uses but the listing lacks; they are checked against PySide only.
_UNLISTED_WIDGETS = {"QHeaderView", "QInputDialog", "QMainWindow", "QScrollBar", "QStatusBar", "QToolBar"}
_PYSIDE = (QtCore, QtGui, QtWidgets, QtUiTools)


class QtNamespace:
    """``qt.Qt``: the enums of the Qt namespace, flat and by type."""

    def __getattr__(self, name: str) -> Any:
        member = getattr(QtCore.Qt, name, None)
        if isinstance(member, enum.Enum):
            return QtEnum(member)
        if isinstance(member, type) and issubclass(member, enum.Enum):
            return QtEnumType(member)
        raise AttributeError(f"qt.Qt has no {name!r}")


def find_class(name: str) -> type:
    """Return the exported class ``name``; raises AttributeError for a class that the double lacks or cannot check."""
    if name in stand_ins:
        return export(name, stand_ins[name], QObjectProxy)
    for module in _PYSIDE:
        native = getattr(module, name, None)
        if isinstance(native, type):
            _require_checkable(name, native)
            base = QObjectProxy if issubclass(native, QtCore.QObject) else ValueProxy
            return export(name, native, base)
    raise AttributeError(f"the host double has no class {name!r}")


def _require_checkable(name: str, native: type) -> None:
    is_checked = name in list_known_classes() or name in _UNLISTED_WIDGETS
    if issubclass(native, QtWidgets.QWidget) and not is_checked:
        raise AttributeError(f"the contract of the host double lacks {name}: add it to reduce_contract.py")


def _find_qt_attribute(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name == "Qt":
        return QtNamespace()
    if name == "Signal":
        return Signal
    if not name.startswith("Q"):
        raise AttributeError(f"qt has no {name!r}")
    return find_class(name)


def _find_ctk_attribute(name: str) -> Any:
    if not name.startswith("ctk"):
        raise AttributeError(f"ctk has no {name!r}")
    return find_class(name)


def install(slicer: types.ModuleType) -> None:
    """Put ``qt`` and ``ctk`` in sys.modules and every ``qMRML``/``qSlicer`` stand-in in ``slicer``."""
    for name, attribute in (("qt", _find_qt_attribute), ("ctk", _find_ctk_attribute)):
        module = types.ModuleType(name, f"Stand-in of Slicer's {name} module (PySide underneath)")
        module.__dict__["__getattr__"] = attribute
        sys.modules[name] = module
    for name in [*stand_ins, *list_known_classes()]:
        if name.startswith(("qMRML", "qSlicer")) and name in stand_ins:
            setattr(slicer, name, find_class(name))
