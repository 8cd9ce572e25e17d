"""``slicer.app.layoutManager()``: three real slice logics under the widget names that modules use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtWidgets

from .exports import stand_in
from .rendering import SliceRenderer
from .scene import SLICE_VIEWS, SceneHost, close_slice_views, open_slice_views


@stand_in
class qMRMLSliceView(QtWidgets.QWidget):
    """Renders off screen, on request only."""

    resized = QtCore.Signal(object)

    _logic: Any = None
    _renderer: SliceRenderer | None = None

    def attach(self, host: SceneHost, logic: Any) -> None:
        self._host, self._logic = host, logic

    def detach(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
        self._logic = self._renderer = None

    def offscreen(self) -> SliceRenderer:
        if self._renderer is None:
            self._renderer = SliceRenderer(self._host.application_logic, self._logic)
        return self._renderer

    def renderWindow(self) -> Any:
        return self.offscreen().window

    def forceRender(self) -> None:
        self.offscreen().render()

    def scheduleRender(self) -> None:
        """Do nothing: a test renders explicitly."""

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()


@stand_in
class qMRMLSliceWidget(QtWidgets.QWidget):
    mrmlSceneChanged = QtCore.Signal(object)
    nodeAboutToBeEdited = QtCore.Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._logic: Any = None
        self._view = qMRMLSliceView(self)

    def attach(self, host: SceneHost, logic: Any) -> None:
        self._logic = logic
        self._view.attach(host, logic)

    def detach(self) -> None:
        self._logic = None
        self._view.detach()

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def sliceView(self) -> QtWidgets.QWidget:
        return self._view

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


@stand_in
class qSlicerLayoutManager(QtCore.QObject):
    """Slice views only: no 3D, table or plot views; the layout number is stored but has no effect."""

    layoutChanged = QtCore.Signal(int)

    def __init__(self, host: SceneHost) -> None:
        super().__init__()
        self._host = host
        self._layout = 4
        self._paused = 0
        self._widgets = {name: qMRMLSliceWidget() for name, _orientation in SLICE_VIEWS}

    def open_views(self) -> None:
        open_slice_views(self._host)
        for name, widget in self._widgets.items():
            widget.attach(self._host, self._host.slice_logics[name])

    def close_views(self) -> None:
        for widget in self._widgets.values():
            widget.detach()
        close_slice_views(self._host)

    def sliceViewNames(self) -> list[str]:
        return list(self._widgets)

    def sliceWidget(self, name: str) -> QtWidgets.QWidget | None:
        return self._widgets.get(name)

    def mrmlSliceLogics(self) -> Any:
        return self._host.application_logic.GetSliceLogics()

    def mrmlScene(self) -> Any:
        return self._host.scene

    def setLayout(self, number: int) -> None:
        self._layout = int(number)
        self.layoutChanged.emit(self._layout)

    def resetSliceViews(self) -> None:
        for logic in self._host.slice_logics.values():
            logic.FitSliceToBackground()
            logic.SnapSliceOffsetToIJK()

    def resetThreeDViews(self) -> None:
        """The double has no 3D view."""

    def pauseRender(self) -> None:
        self._paused += 1

    def resumeRender(self) -> None:
        self._paused -= 1

    layout = QtCore.Property(int, lambda self: self._layout, lambda self, v: self.setLayout(v))
    threeDViewCount = QtCore.Property(int, lambda self: 0)
    tableViewCount = QtCore.Property(int, lambda self: 0)
    plotViewCount = QtCore.Property(int, lambda self: 0)


def write_slice_view(manager: qSlicerLayoutManager, name: str, path: Path) -> None:
    """Render the slice view ``name`` and write it as PNG."""
    manager.sliceWidget(name).sliceView().offscreen().write_png(path)
