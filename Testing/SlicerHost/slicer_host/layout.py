"""``slicer.app.layoutManager()``: Slicer's own layout logic, and a real slice logic for each slice view of a layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from .exports import stand_in
from .rendering import SliceRenderer
from .scene import SceneHost, close_slice_views, open_slice_view, open_slice_views


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
    """A slice view is opened when a layout shows it for the first time, and stays; no 3D, table or plot views."""

    layoutChanged = QtCore.Signal(int)

    def __init__(self, host: SceneHost) -> None:
        super().__init__()
        self._host = host
        self._paused = 0
        self._logic: Any = None
        self._tag = 0
        self._arrangement = 0
        self._widgets: dict[str, qMRMLSliceWidget] = {}

    def open_views(self) -> None:
        open_slice_views(self._host)
        self._add_widgets()
        if self._logic is None:
            self._logic = slicer.vtkMRMLLayoutLogic()
            self._logic.SetMRMLApplicationLogic(self._host.application_logic)
            self._logic.SetMRMLScene(self._host.scene)
            node = self._logic.GetLayoutNode()
            node.SetViewArrangement(node.SlicerLayoutFourUpView)
            self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._follow_layout())
            self._follow_layout()

    def close_views(self) -> None:
        for widget in self._widgets.values():
            widget.detach()
        self._widgets.clear()
        close_slice_views(self._host)
        if self._logic is not None:
            node = self._logic.GetLayoutNode()
            node.RemoveObserver(self._tag)
            self._logic.SetMRMLScene(None)
            self._logic = None
            _remove_views(self._host.scene, node)

    def _add_widgets(self) -> None:
        for name, logic in self._host.slice_logics.items():
            if name not in self._widgets:
                self._widgets[name] = qMRMLSliceWidget()
                self._widgets[name].attach(self._host, logic)

    def _follow_layout(self) -> None:
        """Do what Slicer's layout manager does when the layout node changes."""
        views = self._logic.GetViewNodes()
        shown = [views.GetItemAsObject(n) for n in range(views.GetNumberOfItems())]
        for node in shown:
            if node.IsA("vtkMRMLSliceNode") and node.GetLayoutName() not in self._host.slice_logics:
                open_slice_view(self._host, node)
        for logic in self._host.slice_logics.values():
            logic.GetSliceNode().SetMappedInLayout(logic.GetSliceNode() in shown)
        self._add_widgets()
        arrangement = self._logic.GetLayoutNode().GetViewArrangement()
        if arrangement != self._arrangement:
            self._arrangement = arrangement
            self.layoutChanged.emit(arrangement)

    def layoutLogic(self) -> Any:
        return self._logic

    def sliceViewNames(self) -> list[str]:
        return list(self._widgets)

    def sliceWidget(self, name: str) -> QtWidgets.QWidget | None:
        return self._widgets.get(name)

    def mrmlSliceLogics(self) -> Any:
        return self._host.application_logic.GetSliceLogics()

    def mrmlScene(self) -> Any:
        return self._host.scene

    def setLayout(self, number: int) -> None:
        self._logic.GetLayoutNode().SetViewArrangement(int(number))

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

    layout = QtCore.Property(int, lambda self: self._arrangement, lambda self, v: self.setLayout(v))
    threeDViewCount = QtCore.Property(int, lambda self: 0)
    tableViewCount = QtCore.Property(int, lambda self: 0)
    plotViewCount = QtCore.Property(int, lambda self: 0)


def _remove_views(scene: Any, layout_node: Any) -> None:
    """Remove the nodes that the layout logic has added: other tests expect no views."""
    views = scene.GetNodesByClass("vtkMRMLAbstractViewNode")
    views.UnRegister(None)
    for node in (*views, layout_node):
        scene.RemoveNode(node)


def write_slice_view(manager: qSlicerLayoutManager, name: str, path: Path) -> None:
    """Render the slice view ``name`` and write it as PNG."""
    manager.sliceWidget(name).sliceView().offscreen().write_png(path)
