"""``qt.QUiLoader``: builds the unmodified .ui with our classes, checks it against the contract, connects strictly.

QUiLoader ignores unknown properties and signals; here both raise. Connections with MRML types, which PySide's
meta-objects do not support, are made like any others, so that a test notices a missing one.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from .contract import get_class_contract
from .exports import is_stand_in, stand_in, stand_ins
from .proxy import QObjectProxy, get_proxy
from .signals import find_slot

# Qt Designer writes these, but they are not properties of the widget.
_DESIGNER_ONLY = {"geometry"}
_NATIVE_VALUES = {"bool", "string", "number", "double", "stringlist"}


class _Builder(QtUiTools.QUiLoader):
    """Creates the stand-in of a class if there is one."""

    def createWidget(self, class_name: str, parent: QtWidgets.QWidget | None = None, name: str = "") -> Any:
        if class_name == "Line":
            return super().createWidget(class_name, parent, name)
        widget_class = stand_ins.get(class_name) or getattr(QtWidgets, class_name, None)
        if widget_class is None or get_class_contract(class_name) is None:
            raise RuntimeError(f".ui file: the host double does not know the widget class {class_name}")
        # Created here, because PySide treats a widget that Qt's loader creates as a plain QWidget.
        widget = widget_class(parent)
        widget.setObjectName(name)
        return widget


@stand_in
class QUiLoader(QtCore.QObject):
    """``load(file)`` returns the top widget; raises RuntimeError or AttributeError for an error in the file."""

    def load(self, device: QtCore.QFile, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
        path = Path(device.fileName())
        tree = ElementTree.parse(path).getroot()
        enums = [setting for widget in tree.iter("widget") for setting in _check_properties(widget, path)]
        connections = _detach_connections(tree)
        builder = _Builder()
        builder.setWorkingDirectory(QtCore.QDir(str(path.parent)))
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(tree, encoding="utf-8"))
        buffer.open(QtCore.QIODevice.ReadOnly)
        top = builder.load(buffer, parent)
        if top is None:
            raise RuntimeError(f"{path}: {builder.errorString()}")
        for name, property_name, text in enums:
            _named(top, name, path)._native.setProperty(property_name, text)
        for connection in connections:
            _connect(top, connection, path)
        return top


def _check_properties(widget: ElementTree.Element, path: Path) -> list[tuple[str, str, str]]:
    """Raise for properties that Slicer's class lacks; remove enum properties that a stand-in only stores."""
    class_name = widget.get("class", "")
    contract = get_class_contract(class_name)
    stored = []
    for element in list(widget.findall("property")):
        name = element.get("name", "")
        is_dynamic = element.get("stdset") == "0"
        if contract is not None and not is_dynamic and name not in contract.properties | dict.fromkeys(_DESIGNER_ONLY):
            raise AttributeError(f"{path.name}: {class_name} {widget.get('name')} has no property {name!r}")
        if class_name in stand_ins and _only_stored(class_name, name) and element[0].tag not in _NATIVE_VALUES:
            stored.append((widget.get("name", ""), name, element[0].text or ""))
            widget.remove(element)
    return stored


def _only_stored(class_name: str, property_name: str) -> bool:
    return isinstance(stand_ins[class_name].__dict__.get(property_name), QtCore.Property)


def _detach_connections(tree: ElementTree.Element) -> list[dict[str, str]]:
    section = tree.find("connections")
    if section is None:
        return []
    found = [{child.tag: child.text or "" for child in connection} for connection in section]
    tree.remove(section)
    return found


def _named(top: QtWidgets.QWidget, name: str, path: Path) -> QObjectProxy:
    native = top if top.objectName() == name else top.findChild(QtCore.QObject, name)
    proxy = get_proxy(native) if native is not None else None
    if proxy is None:
        raise RuntimeError(f"{path.name}: a connection names {name!r}, which is not in the file")
    return proxy


def _connect(top: QtWidgets.QWidget, connection: dict[str, str], path: Path) -> None:
    sender, receiver = _named(top, connection["sender"], path), _named(top, connection["receiver"], path)
    sender.connect(connection["signal"], find_slot(receiver, connection["slot"]))


assert is_stand_in(QUiLoader)
