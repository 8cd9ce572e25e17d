"""The host: starts the double once per process, loads modules, creates panels, runs self-tests."""

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
    """A running double. ``slot_errors`` collects the exceptions of slots and observers, which Qt and VTK only print."""

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
        """All messages to the user so far."""
        return dialogs.messages

    def import_module(self, name: str) -> Any:
        """Import the scripted module ``name``, register it in ``slicer.modules``, and return the Python module."""
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
        """Create the module's panel, call setup(), set the scene, and enter it, as if the user opened the module."""
        if name not in self._modules:
            self.import_module(name)
        parent = modules.qSlicerScriptedLoadableModuleWidget()
        parent.setLayout(QtWidgets.QVBoxLayout())
        parent._make_panel = lambda: self._fill(name, parent)
        getattr(slicer.modules, name.lower())._native._panel = parent
        self._kept.append(wrap(parent))
        panel = self._fill(name, parent)
        parent.setMRMLScene(slicer.mrmlScene)
        # Makes "visible" true, as in an opened module, without drawing a window.
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
        """Leave and unload the panel: call exit() and cleanup(), then delete its widgets."""
        panel = self._panels[name]
        if panel.parent.isEntered:
            self.leave(name)
        del self._panels[name]
        slicer.app.moduleManager()._native.moduleAboutToBeUnloaded.emit(name)
        delattr(slicer.modules, f"{name}Widget")
        panel.parent._native.deleteLater()
        self.process_events()

    def forget_module(self, name: str) -> None:
        """Unload the panel, and remove the module from ``slicer.modules`` and from Python's loaded modules."""
        if name in self._panels:
            self.remove_widget(name)
        self._modules.pop(name)
        sys.modules.pop(name)
        slicer.app.moduleManager()._native._modules.pop(name)
        delattr(slicer.modules, name.lower())

    def run_module_test(self, name: str) -> None:
        """Load the module, open its panel if it is not open, and run ``<name>Test``; a failure raises."""
        if name not in self._modules:
            self.import_module(name)
        if name not in self._panels and hasattr(sys.modules[name], f"{name}Widget"):
            self.create_widget(name)
        self._modules[name].runTest(msec=0)
        self.raise_slot_errors()

    def process_events(self, until: Callable[[], bool] | None = None, timeout_s: float = 300.0) -> None:
        """Process Qt's events once, or until the condition is true; raises TimeoutError after ``timeout_s`` seconds."""
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
        """Raise the first error of a slot or observer, if there is one, and clear the list."""
        errors, self.slot_errors[:] = list(self.slot_errors), []
        if errors:
            raise errors[0]

    def close_scene(self) -> None:
        """Do what File > Close scene does."""
        slicer.mrmlScene.Clear(0)
        self.process_events()

    def render_slice_view(self, name: str, path: Path) -> None:
        """Write the slice view ("Red", "Green", "Yellow") as a rendered PNG image."""
        write_slice_view(slicer.app.layoutManager()._native, name, path)

    def click_in_slice_view(self, name: str, point_mm: tuple[float, float, float], button: str = "Left") -> None:
        """Click at a point (RAS mm) of the slice view ("Red", "Green", "Yellow"), as in Slicer's place mode."""
        view = slicer.app.layoutManager()._native.sliceWidget(name).sliceView().offscreen()
        view.render()
        view.click(point_mm, button)
        self.process_events()

    @contextlib.contextmanager
    def leave_testing_mode(self) -> Iterator[None]:
        """In this context ``slicer.app.testingEnabled()`` is False: errors are shown, questions need queued answers."""
        slicer.app._native._testing = False
        try:
            yield
        finally:
            slicer.app._native._testing = True

    @contextlib.contextmanager
    def use_translation(self, translation: Callable[[str, str], str]) -> Iterator[None]:
        """In this context ``translation(context, text)`` translates all texts that are marked for translation."""
        native = slicer.app._native
        before, native._translation = native._translation, translation
        try:
            yield
        finally:
            native._translation = before

    def open_views(self) -> None:
        """Add Slicer's slice views to the scene, if ``close_views`` removed them."""
        slicer.app.layoutManager()._native.open_views()

    def close_views(self) -> None:
        """Remove the slice views from the shared scene: other tests expect none."""
        slicer.app.layoutManager()._native.close_views()

    def reset(self) -> None:
        """Remove panels, messages and settings, and empty the scene, between tests."""
        for name in list(self._panels):
            self.remove_widget(name)
        self.close_scene()
        slicer.app.userSettings().clear()
        dialogs.reset()
        self.slot_errors.clear()

    def shutdown(self) -> None:
        """Quit as the application does: call every panel's cleanup(), then the other slots of aboutToQuit.

        Slicer unloads its modules in the first slot of aboutToQuit.
        """
        for name in list(self._panels):
            self.remove_widget(name)
        slicer.app._native.aboutToQuit.emit()
        sys.excepthook = sys.__excepthook__


def start_slicer_host(module_paths: Iterable[str | Path] = (), scene_host: SceneHost | None = None) -> Host:
    """Start the double, or add ``module_paths`` to the running one: a process has at most one.

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
    """Keep ``qt.QSettings()`` away from the settings of the person who runs the tests."""
    application.setOrganizationName("NA-MIC")
    application.setApplicationName("Slicer")
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
    QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, str(make_own_folder("settings")))


def _print_qt_message(kind: Any, context: Any, text: str) -> None:
    # The off-screen platform prints this for every window.
    if "propagateSizeHints" not in text:
        print(f"Qt: {text}", file=sys.stderr)


def _remove_leaked_names() -> None:
    """Remove the functions of slicer.util that the wheel, unlike the application, also has as ``slicer.x``."""
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
    """Record exceptions of callbacks in sys.excepthook: Qt and VTK only print them and continue."""

    def hook(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
        host.slot_errors.append(error)
        traceback.print_exception(kind, error, trace)

    sys.excepthook = hook
