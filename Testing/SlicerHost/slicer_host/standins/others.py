"""The main window and its module selector, as far as slicer.util uses them."""

from __future__ import annotations

from PySide6 import QtCore, QtWidgets

from ..exports import stand_in


@stand_in
class qSlicerModuleSelectorToolBar(QtWidgets.QToolBar):
    moduleSelected = QtCore.Signal(str)

    SIGNALS = ("moduleSelected(QString)",)
    _selected = ""

    def selectModule(self, name: str) -> None:
        self._selected = name
        self.moduleSelected.emit(name)

    selectedModule = QtCore.Property(str, lambda self: self._selected)


@stand_in
class qSlicerMainWindow(QtWidgets.QMainWindow):
    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = qSlicerModuleSelectorToolBar(self)

    def moduleSelector(self) -> QtWidgets.QToolBar:
        return self._selector

    def statusBar(self) -> QtWidgets.QStatusBar:
        return super().statusBar()
