"""The host itself: starts the double once per process, loads modules, makes panels, runs self-tests."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
import slicer.util
from PySide6 import QtCore, QtWidgets

from . import dialogs, modules, qt_module, scripted, slicer_util, standins
from . import ui_loader as _ui_loader
from .application import qSlicerApplication
from .folders import make_own_folder
from .layout import write_slice_view
from .proxy import wrap
from .scene import SceneHost, bootstrap
from .standins.others import qSlicerMainWindow

assert standins
assert _ui_loader
_started: Host | None = None


class Host:
    """A running double. ``slot_errors`` holds what slots and observers raised: Qt and VTK only print it."""

    def __init__(self, module_paths: Iterable[str | Path], scene_host: SceneHost) -> None:
        self.module_paths = [Path(path).resolve() for path in module_paths]
        self.scene_host = scene_host
        self.slot_errors: list[BaseException] = []
        self.dialogs = dialogs
        self.uses_slicer_source = False
        self._modules: dict[str, Any] = {}
        self._panels: dict[str, Any] = {}
        self._kept: list[Any] = []

    @property
    def messages(self) -> list[dialogs.Message]:
        """Everything the user was told so far."""
        return dialogs.messages

    def import_module(self, name: str) -> Any:
        """Import the scripted module ``name`` and register it in ``slicer.modules``; returns the Python module."""
        path = modules.find_module_file(name, self.module_paths)
        module = modules.import_module_file(name, path)
        native = modules.qSlicerScriptedLoadableModule(name, path)
        self._modules[name] = getattr(module, name)(wrap(native))
        self._register(name, native)
        return module

    def _register(self, name: str, native: Any) -> None:
        self._kept.append(native)
        proxy = wrap(native)
        self._kept.append(proxy)
        setattr(slicer.modules, name.lower(), proxy)
        slicer.app.moduleManager()._native._register(name, native)

    def create_widget(self, name: str) -> Any:
        """The module's panel, set up, given the scene and entered, as when the user opens the module."""
        if name not in self._modules:
            self.import_module(name)
        parent = modules.qSlicerScriptedLoadableModuleWidget()
        parent.setLayout(QtWidgets.QVBoxLayout())
        parent._make_panel = lambda: self._fill(name, parent)
        getattr(slicer.modules, name.lower())._native._panel = parent
        self._kept.append(wrap(parent))
        panel = self._fill(name, parent)
        parent.setMRMLScene(slicer.mrmlScene)
        # Visible to Qt, so that "visible" is true as in an opened module, without a window being drawn.
        parent.setAttribute(QtCore.Qt.WA_DontShowOnScreen)
        parent.show()
        self.enter(name)
        return panel

    def _fill(self, name: str, parent: Any) -> Any:
        panel = getattr(sys.modules[name], f"{name}Widget")(wrap(parent))
        parent._python_panel = panel
        setattr(slicer.modules, f"{name}Widget", panel)
        self._panels[name] = panel
        panel.setup()
        return panel

    def enter(self, name: str) -> None:
        """The user opens the module."""
        self._panels[name].parent._native._entered = True
        if hasattr(self._panels[name], "enter"):
            self._panels[name].enter()

    def leave(self, name: str) -> None:
        """The user opens another module."""
        self._panels[name].parent._native._entered = False
        if hasattr(self._panels[name], "exit"):
            self._panels[name].exit()

    def remove_widget(self, name: str) -> None:
        """Leave and unload the panel: exit() and cleanup() are called, then its widgets are deleted."""
        panel = self._panels[name]
        if panel.parent.isEntered:
            self.leave(name)
        del self._panels[name]
        slicer.app.moduleManager()._native.moduleAboutToBeUnloaded.emit(name)
        delattr(slicer.modules, f"{name}Widget")
        panel.parent._native.deleteLater()
        self.process_events()

    def forget_module(self, name: str) -> None:
        """Unload the panel, and take the module out of ``slicer.modules`` and Python's module list."""
        if name in self._panels:
            self.remove_widget(name)
        self._modules.pop(name)
        sys.modules.pop(name)
        slicer.app.moduleManager()._native._modules.pop(name)
        delattr(slicer.modules, name.lower())

    def run_module_test(self, name: str) -> None:
        """Load the module, open its panel where it has none yet, and run ``<name>Test``; its failures propagate."""
        if name not in self._modules:
            self.import_module(name)
        if name not in self._panels and hasattr(sys.modules[name], f"{name}Widget"):
            self.create_widget(name)
        self._modules[name].runTest(msec=0)
        self.raise_slot_errors()

    def process_events(self, until: Callable[[], bool] | None = None, timeout_s: float = 300.0) -> None:
        """Let Qt work once, or until the condition holds; raises TimeoutError when it does not in time."""
        deadline = time.monotonic() + timeout_s
        QtWidgets.QApplication.processEvents()
        QtWidgets.QApplication.sendPostedEvents(None, 52)
        while until is not None and not until():
            if time.monotonic() > deadline:
                cause = self.slot_errors[0] if self.slot_errors else None
                raise TimeoutError(f"not reached within {timeout_s} s") from cause
            QtWidgets.QApplication.processEvents()
            time.sleep(0.005)

    def raise_slot_errors(self) -> None:
        """Raise the first error that a slot or observer ended with, if any, and forget them."""
        errors, self.slot_errors[:] = list(self.slot_errors), []
        if errors:
            raise errors[0]

    def close_scene(self) -> None:
        """What File > Close scene does."""
        slicer.mrmlScene.Clear(0)
        self.process_events()

    def render_slice_view(self, name: str, path: Path) -> None:
        """Write the slice view ("Red", "Green", "Yellow") as PNG, really rendered."""
        write_slice_view(slicer.app.layoutManager()._native, name, path)

    @contextlib.contextmanager
    def leave_testing_mode(self) -> Iterator[None]:
        """Within it ``slicer.app.testingEnabled()`` is False: errors are displayed, questions need queued answers."""
        slicer.app._native._testing = False
        try:
            yield
        finally:
            slicer.app._native._testing = True

    @contextlib.contextmanager
    def use_translation(self, translation: Callable[[str, str], str]) -> Iterator[None]:
        """Within it texts go through ``translation(context, text)``, so that a test sees which ones are wrapped."""
        native = slicer.app._native
        before, native._translation = native._translation, translation
        try:
            yield
        finally:
            native._translation = before

    def open_views(self) -> None:
        """Have Slicer's slice views in the scene (they are, unless ``close_views`` was called)."""
        slicer.app.layoutManager()._native.open_views()

    def close_views(self) -> None:
        """Leave the shared scene without slice views, as other tests expect it."""
        slicer.app.layoutManager()._native.close_views()

    def reset(self) -> None:
        """Between tests: no panels, no messages, no settings, an empty scene."""
        for name in list(self._panels):
            self.remove_widget(name)
        self.close_scene()
        slicer.app.userSettings().clear()
        dialogs.reset()
        self.slot_errors.clear()

    def shutdown(self) -> None:
        """Leave as the application does: every panel's cleanup(), then what else is connected to aboutToQuit.

        Slicer unloads its modules in the first slot of aboutToQuit.
        """
        for name in list(self._panels):
            self.remove_widget(name)
        slicer.app._native.aboutToQuit.emit()
        sys.excepthook = sys.__excepthook__


def start_slicer_host(module_paths: Iterable[str | Path] = (), scene_host: SceneHost | None = None) -> Host:
    """Start the double, or return the running one with ``module_paths`` added: it can exist once in a process.

    ``scene_host``: a scene with its logics; the process's headless application when not given.
    """
    global _started
    if _started is not None:
        new = [Path(path).resolve() for path in module_paths]
        _started.module_paths += [path for path in new if path not in _started.module_paths]
        return _started
    QtCore.qInstallMessageHandler(_print_qt_message)
    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["Slicer"])
    _isolate_settings(application)
    host = Host(module_paths, scene_host or bootstrap())
    host._kept.append(application)
    _install_slicer_names(host)
    host.uses_slicer_source = scripted.install()
    _record_slot_errors(host)
    host.open_views()
    _started = host
    return host


def _isolate_settings(application: QtWidgets.QApplication) -> None:
    """``qt.QSettings()`` must never be the settings of the person who runs the tests."""
    application.setOrganizationName("NA-MIC")
    application.setApplicationName("Slicer")
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
    QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, str(make_own_folder("settings")))


def _print_qt_message(kind: Any, context: Any, text: str) -> None:
    # The off-screen platform says this of every window that is shown.
    if "propagateSizeHints" not in text:
        print(f"Qt: {text}", file=sys.stderr)


def _remove_leaked_names() -> None:
    """The wheel shows everything of slicer.util as ``slicer.x`` too; the application does not."""
    for name, member in list(vars(slicer).items()):
        if getattr(member, "__module__", None) == "slicer.util" and vars(slicer.util).get(name) is member:
            delattr(slicer, name)


def _install_slicer_names(host: Host) -> None:
    dialogs.install()
    qt_module.install(slicer)
    _remove_leaked_names()
    app = qSlicerApplication(host.scene_host)
    window = qSlicerMainWindow()
    host._kept += [app, wrap(app), window, wrap(window)]
    slicer.app = wrap(app)
    slicer.mrmlScene = host.scene_host.scene
    slicer.modules = types.ModuleType("slicer.modules")
    slicer_util.install()
    for name, logic in host.scene_host.logics.items():
        host._register(name, modules.qSlicerLoadableModule(name, logic))


def _record_slot_errors(host: Host) -> None:
    """Qt and VTK print what a callback raises and go on, through sys.excepthook: note it there."""

    def hook(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
        host.slot_errors.append(error)
        traceback.print_exception(kind, error, trace)

    sys.excepthook = hook
