"""CTK's path line edit and directory button."""

from __future__ import annotations

import enum
from pathlib import Path

from PySide6 import QtCore, QtWidgets

from .. import dialogs
from ..exports import stand_in


class PathFilter(enum.Flag):
    """The QDir filters that ctkPathLineEdit understands, with Qt's numbers."""

    Dirs = 0x1
    Files = 0x2
    Drives = 0x4
    NoSymLinks = 0x8
    AllEntries = 0x7
    Readable = 0x10
    Writable = 0x20
    Executable = 0x40
    Hidden = 0x100
    NoDot = 0x2000
    NoDotDot = 0x4000
    NoDotAndDotDot = 0x6000


@stand_in
class ctkPathLineEdit(QtWidgets.QWidget):
    currentPathChanged = QtCore.Signal(str)
    validInputChanged = QtCore.Signal(bool)

    Filters = PathFilter
    Dirs, Files, Readable, Writable = PathFilter.Dirs, PathFilter.Files, PathFilter.Readable, PathFilter.Writable
    Executable, Hidden, AllEntries = PathFilter.Executable, PathFilter.Hidden, PathFilter.AllEntries
    NoDot, NoDotDot, NoDotAndDotDot = PathFilter.NoDot, PathFilter.NoDotDot, PathFilter.NoDotAndDotDot

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._path = ""
        self._history: list[str] = []

    def setCurrentPath(self, path: str) -> None:
        if path == self._path:
            return
        was_valid, self._path = self._is_valid(), path
        self.currentPathChanged.emit(path)
        if self._is_valid() != was_valid:
            self.validInputChanged.emit(self._is_valid())

    def _is_valid(self) -> bool:
        return Path(self._path).exists() if self._path else False

    def addCurrentPathToHistory(self) -> None:
        self._history.append(self._path)

    def retrieveHistory(self) -> None:
        """Do nothing: the double stores no history."""

    def browse(self) -> None:
        self.setCurrentPath(dialogs.answer("ctkPathLineEdit.browse", self.objectName()))

    currentPath = QtCore.Property(str, lambda self: self._path, lambda self, v: self.setCurrentPath(v))


@stand_in
class ctkDirectoryButton(QtWidgets.QPushButton):
    directoryChanged = QtCore.Signal(str)
    directorySelected = QtCore.Signal(str)

    _directory = ""

    def _set_directory(self, directory: str) -> None:
        if directory != self._directory:
            self._directory = directory
            self.directoryChanged.emit(directory)

    def browse(self) -> None:
        self._set_directory(dialogs.answer("ctkDirectoryButton.browse", self.objectName()))
        self.directorySelected.emit(self._directory)

    directory = QtCore.Property(str, lambda self: self._directory, _set_directory)
