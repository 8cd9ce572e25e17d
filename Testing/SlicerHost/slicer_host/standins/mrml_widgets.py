"""qMRML widgets that only hold the scene or a node."""

from __future__ import annotations

from PySide6 import QtCore, QtWidgets

from ..exports import stand_in


class SceneHolder:
    """``mrmlScene()`` and ``setMRMLScene()`` with the signal that .ui files connect."""

    _scene = None

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


@stand_in
class qMRMLWidget(SceneHolder, QtWidgets.QWidget):
    mrmlSceneChanged = QtCore.Signal(object)


@stand_in
class qMRMLTableView(SceneHolder, QtWidgets.QTableView):
    mrmlSceneChanged = QtCore.Signal(object)
    selectionChanged_ = QtCore.Signal()

    _node = None

    def setMRMLTableNode(self, node) -> None:
        self._node = node

    def mrmlTableNode(self):
        return self._node


@stand_in
class qMRMLSubjectHierarchyTreeView(QtWidgets.QTreeView):
    """Exists for type checks in Slicer's parameterNodeWrapper; it has no behavior."""
