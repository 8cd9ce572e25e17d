"""``slicer.app`` and its module manager: what modules and slicer.util use of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .core_io import qSlicerCoreIOManager
from .exports import stand_in
from .folders import make_own_folder
from .layout import qSlicerLayoutManager
from .scene import SceneHost

VERSION = (5, 13, 0)
REVISION = "34000"


@stand_in
class qSlicerCommandOptions(QtCore.QObject):
    noMainWindow = QtCore.Property(bool, lambda self: False)
    testingEnabled = QtCore.Property(bool, lambda self: True)


@stand_in
class qSlicerModuleManager(QtCore.QObject):
    moduleLoaded = QtCore.Signal(str)
    moduleAboutToBeUnloaded = QtCore.Signal(str)
    moduleUnloaded = QtCore.Signal(str)

    SIGNALS = ("moduleLoaded(QString)", "moduleAboutToBeUnloaded(QString)", "moduleUnloaded(QString)")

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Any] = {}

    def module(self, name: str) -> Any:
        return self._modules.get(name)

    def modulesNames(self) -> list[str]:
        return list(self._modules)

    def _register(self, name: str, module: Any) -> None:
        self._modules[name] = module


class _Information(QtCore.QObject):
    """The application's read-only properties, the same ones as in a running Slicer."""

    applicationName = QtCore.Property(str, lambda self: "Slicer")
    applicationVersion = QtCore.Property(str, lambda self: ".".join(map(str, VERSION)) + "-2026-01-01")
    majorVersion = QtCore.Property(int, lambda self: VERSION[0])
    minorVersion = QtCore.Property(int, lambda self: VERSION[1])
    revision = QtCore.Property(str, lambda self: REVISION)
    slicerHome = QtCore.Property(str, lambda self: str(Path(sys.prefix)))
    temporaryPath = QtCore.Property(str, lambda self: str(make_own_folder("temporary")))
    documentationBaseUrl = QtCore.Property(str, lambda self: "https://slicer.readthedocs.io/en/latest/")
    platform = QtCore.Property(str, lambda self: "linux-amd64")
    os = QtCore.Property(str, lambda self: "linux")
    arch = QtCore.Property(str, lambda self: "amd64")


@stand_in
class qSlicerApplication(_Information):
    startupCompleted = QtCore.Signal()
    aboutToQuit = QtCore.Signal()
    lastWindowClosed = QtCore.Signal()
    mrmlSceneChanged = QtCore.Signal(object)

    SIGNALS = ("startupCompleted()", "aboutToQuit()", "lastWindowClosed()", "mrmlSceneChanged(vtkMRMLScene*)")

    def __init__(self, host: SceneHost) -> None:
        super().__init__()
        self._host = host
        self._settings = QtCore.QSettings()
        self._options = qSlicerCommandOptions(self)
        self._modules = qSlicerModuleManager()
        self._io = qSlicerCoreIOManager(host)
        self._layout = qSlicerLayoutManager(host)
        self._testing = True
        self._translation: Callable[[str, str], str] = lambda context, text: text

    def applicationLogic(self) -> Any:
        return self._host.application_logic

    def mrmlScene(self) -> Any:
        return self._host.scene

    def layoutManager(self) -> QtCore.QObject:
        return self._layout

    def moduleManager(self) -> QtCore.QObject:
        return self._modules

    def coreIOManager(self) -> QtCore.QObject:
        return self._io

    def ioManager(self) -> QtCore.QObject:
        return self._io

    def commandOptions(self) -> QtCore.QObject:
        return self._options

    def testingEnabled(self) -> bool:
        return self._testing

    def userSettings(self) -> QtCore.QSettings:
        return self._settings

    def settings(self) -> QtCore.QSettings:
        return self._settings

    def revisionUserSettings(self) -> QtCore.QSettings:
        return self._settings

    def processEvents(self, *_flags: Any) -> None:
        QtWidgets.QApplication.processEvents()

    def setOverrideCursor(self, cursor: Any) -> None:
        QtWidgets.QApplication.setOverrideCursor(QtGui.QCursor(cursor))

    def restoreOverrideCursor(self) -> None:
        QtWidgets.QApplication.restoreOverrideCursor()

    def overrideCursor(self) -> Any:
        return QtWidgets.QApplication.overrideCursor()

    def pauseRender(self) -> None:
        self._layout.pauseRender()

    def resumeRender(self) -> None:
        self._layout.resumeRender()

    def translate(self, context: str, text: str) -> str:
        return self._translation(context, text)

    def topLevelWidgets(self) -> list[QtWidgets.QWidget]:
        return QtWidgets.QApplication.topLevelWidgets()

    def clipboard(self) -> Any:
        return QtWidgets.QApplication.clipboard()

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.documentationBaseUrl}user_guide/modules/{name.lower()}.html"

    def restart(self) -> None:
        raise RuntimeError("the host double does not restart")

    def quit(self) -> None:
        self.aboutToQuit.emit()
