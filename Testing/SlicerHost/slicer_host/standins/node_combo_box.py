"""qMRMLNodeComboBox: the nodes of a scene that fit its types and attributes, and which one is chosen.

The rows are in a real QComboBox ("None", the nodes, the entries of the menu), as in Slicer, because the surprising
rules come from there: the first node is selected automatically only if the box was empty, and after the removal of a
node the row in its place is selected. Modeled on Slicer's qMRMLNodeComboBox and qMRMLSceneModel.
"""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from ..exports import make_stored_property, stand_in
from .node_filter import NodeFilter
from .scene_observation import SceneObservation

_ID_ROLE = QtCore.Qt.UserRole + 1
_MENU = {"renameEnabled": False, "editEnabled": False, "addEnabled": True, "removeEnabled": True}


def _menu_property(name: str) -> QtCore.Property:
    return QtCore.Property(bool, lambda self: self._menu[name], lambda self, v: self._set_menu(name, v))


def _filter_property(qt_type: Any, name: str) -> QtCore.Property:
    return QtCore.Property(qt_type, lambda self: getattr(self._filter, name), lambda self, v: self._set_filter(name, v))


class _NodeSelection(QtWidgets.QWidget):
    currentNodeChanged = QtCore.Signal(object)
    currentNodeIDChanged = QtCore.Signal(str)
    currentNodeRenamed = QtCore.Signal(str)
    nodeAdded = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    nodeAboutToBeRemoved = QtCore.Signal(object)
    nodeAboutToBeEdited = QtCore.Signal(object)

    selectNodeUponCreation = make_stored_property("selectNodeUponCreation", "bool", True)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._switching_scene = False
        self._none = False
        self._menu = dict(_MENU)
        self._filter = NodeFilter()
        self._requested: str | None = None
        self._observation = SceneObservation(self)
        self._combo = QtWidgets.QComboBox(self)
        self._combo.currentTextChanged.connect(self._emit_current)
        self.setLayout(QtWidgets.QHBoxLayout())
        self.layout().addWidget(self._combo)
        # Disabled until it has a scene, so that a missing connection in the .ui file is noticed.
        self.setEnabled(False)

    # --- scene

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        had_nodes, old_id = self.nodeCount() > 0, self._current_id()
        self._observation.end()
        self._scene = scene
        self._switching_scene = True
        self.fill()
        self._switching_scene = False
        self._observation.begin(scene)
        first = self.nodeFromIndex(0) if not self._none else None
        wanted = old_id if had_nodes else self._requested or (first.GetID() if first is not None else "")
        self._requested = None
        self._combo.setCurrentIndex(-1)
        self._choose(wanted)
        self.setEnabled(scene is not None)

    # --- rows

    def fill(self) -> None:
        """List all nodes again, as Slicer does for a new or closed scene."""
        self._combo.model().removeRows(0, self._combo.count())
        self._leave_hidden_row()
        if self._scene is None:
            return
        if self._none:
            self._insert(0, self.noneDisplay)
        self._list_menu()
        self.sync()

    def _insert(self, row: int, text: str, node_id: str = "") -> None:
        item = QtGui.QStandardItem(text)
        item.setData(node_id, _ID_ROLE)
        self._combo.model().insertRow(row, item)

    def _list_menu(self) -> None:
        index, rows = self._combo.currentIndex(), self._combo.count()
        listed = [row for row in range(rows) if self._combo.itemData(row) == "menu"]
        entries = sum(self._menu.values()) + (len(self._filter.types) - 1) * self._menu["addEnabled"]
        for row in reversed(listed):
            self._combo.model().removeRow(row)
        for _ in range(entries + 1 if any(self._menu.values()) else 0):
            self._combo.addItem("menu", "menu")
        self._combo.setCurrentIndex(index)

    def can_list(self, node: Any) -> bool:
        """Tell whether the node is of a listed type, visible or not."""
        return self._filter.is_candidate(node)

    def sync(self, leaving: Any = None) -> None:
        """Update the rows to the scene's nodes, one row at a time."""
        if self._scene is None:
            return
        candidates = [node for node in self._filter.candidates(self._scene) if node is not leaving]
        self._observation.watch(candidates)
        wanted = [node for node in candidates if node.GetID() and self._filter.accepts(node)]
        wanted_ids = [node.GetID() for node in wanted]
        for row in reversed(range(self._combo.count())):
            row_id = self._row_id(row)
            if row_id and row_id not in wanted_ids:
                self.nodeAboutToBeRemoved.emit(self._scene.GetNodeByID(row_id))
                self._combo.model().removeRow(row)
                self._leave_hidden_row()
        for position, node in enumerate(wanted):
            self._list(node, position + int(self._none))

    def _list(self, node: Any, row: int) -> None:
        listed = self._combo.findData(node.GetID(), _ID_ROLE)
        if listed < 0:
            self._insert(row, node.GetName() or "", node.GetID())
            self.nodeAdded.emit(node)
        elif self._combo.itemText(listed) != node.GetName():
            self._combo.setItemText(listed, node.GetName() or "")

    def _row_id(self, row: int) -> str:
        return self._combo.itemData(row, _ID_ROLE) or "" if row >= 0 else ""

    # --- current node

    def _current_id(self) -> str:
        node = self.currentNode()
        return node.GetID() if node is not None else ""

    def currentNode(self) -> Any:
        row_id = self._row_id(self._combo.currentIndex())
        return self._scene.GetNodeByID(row_id) if row_id and self._scene is not None else None

    def setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            self.setCurrentNodeID(node)
        elif node is None or isinstance(node, slicer.vtkMRMLNode):
            self.setCurrentNodeID(node.GetID() or "" if node is not None else "")
        else:
            raise TypeError(f"setCurrentNode takes a vtkMRMLNode or None, got {node!r}")

    def setCurrentNodeID(self, node_id: str) -> None:
        if self._scene is None:
            self._requested = node_id
        self._choose(node_id)

    def _choose(self, node_id: str) -> None:
        row = self._combo.findData(node_id, _ID_ROLE) if node_id else -1
        self._combo.setCurrentIndex(row if row >= 0 else (0 if self._none and self._scene is not None else -1))

    def setCurrentNodeIndex(self, index: int) -> None:
        self._combo.setCurrentIndex((index if index < self.nodeCount() else -1) + int(self._none))

    def _emit_current(self) -> None:
        if self._switching_scene:
            return
        row, node = self._combo.currentIndex(), self.currentNode()
        if node is None and row != (0 if self._none else -1):
            last = self.nodeFromIndex(self.nodeCount() - 1)
            if last is not None:
                self.setCurrentNode(last)
            return
        self.currentNodeChanged.emit(node)
        self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    def _leave_hidden_row(self) -> None:
        if self.currentNode() is None and not self._switching_scene:
            self._choose("")

    def nodeCount(self) -> int:
        return sum(1 for row in range(self._combo.count()) if self._row_id(row))

    def nodeFromIndex(self, index: int) -> Any:
        row_id = self._row_id(index + int(self._none)) if index >= 0 else ""
        return self._scene.GetNodeByID(row_id) if row_id else None

    # --- the user's menu

    def addNode(self, node_type: str = "") -> Any:
        """Create a node as the menu entry does; None for a type that is not among ``nodeTypes``."""
        class_name = node_type or (self._filter.types[0] if self._filter.types else "")
        if class_name not in self._filter.types:
            return None
        node = self._scene.CreateNodeByClass(class_name)
        node.UnRegister(None)
        base_name = self.baseName or (node.GetDefaultNodeNamePrefix() if not node.GetName() else "")
        if base_name:
            node.SetName(self._scene.GetUniqueNameByString(base_name))
        for name, value in self._filter.attributes.values():
            node.SetAttribute(name, value or "")
        self._scene.AddNode(node)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        self._scene.RemoveNode(self.currentNode())

    def addAttribute(self, node_type: str, name: str, value: object = None) -> None:
        self._filter.attributes[node_type] = (name, None if value is None else str(value))
        self.sync()

    def removeAttribute(self, node_type: str, name: str) -> None:
        if self._filter.attributes.get(node_type, ("", None))[0] == name:
            del self._filter.attributes[node_type]
        self.sync()

    # --- properties

    def _set_filter(self, name: str, value: Any) -> None:
        setattr(self._filter, name, list(value) if isinstance(value, (list, tuple)) else value)
        if self._scene is not None:
            self._list_menu()
            self.sync()

    def _set_menu(self, name: str, enabled: bool) -> None:
        self._menu[name] = enabled
        if self._scene is not None:
            self._list_menu()

    def _set_none(self, enabled: bool) -> None:
        if enabled == self._none:
            return
        self._none = enabled
        if self._scene is None:
            return
        if enabled:
            self._insert(0, self.noneDisplay)
        else:
            self._combo.model().removeRow(0)

    nodeTypes = _filter_property("QStringList", "types")
    hideChildNodeTypes = _filter_property("QStringList", "hidden_child_types")
    showHidden = _filter_property(bool, "show_hidden")
    showChildNodeTypes = _filter_property(bool, "show_child_types")
    addEnabled = _menu_property("addEnabled")
    removeEnabled = _menu_property("removeEnabled")
    editEnabled = _menu_property("editEnabled")
    renameEnabled = _menu_property("renameEnabled")
    noneEnabled = QtCore.Property(bool, lambda self: self._none, _set_none)
    noneDisplay = make_stored_property("noneDisplay", "QString", "None")
    baseName = make_stored_property("baseName", "QString")
    currentNodeID = QtCore.Property(str, _current_id, lambda self, v: self.setCurrentNodeID(v))
    currentNodeId = QtCore.Property(str, _current_id, lambda self, v: self.setCurrentNodeID(v))


@stand_in
class qMRMLNodeComboBox(_NodeSelection):
    pass


@stand_in
class qMRMLCheckableNodeComboBox(_NodeSelection):
    """Selection works as in qMRMLNodeComboBox; check marks are not implemented."""
