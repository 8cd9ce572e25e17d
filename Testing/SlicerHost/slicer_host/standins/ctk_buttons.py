"""CTK's buttons, boxes and combo boxes."""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtWidgets

from ..exports import stand_in


@stand_in
class ctkCheckBox(QtWidgets.QCheckBox):
    pass


@stand_in
class ctkComboBox(QtWidgets.QComboBox):
    pass


@stand_in
class ctkMessageBox(QtWidgets.QMessageBox):
    pass


@stand_in
class ctkCheckablePushButton(QtWidgets.QPushButton):
    pass


@stand_in
class ctkColorPickerButton(QtWidgets.QPushButton):
    colorChanged = QtCore.Signal(object)

    _color = QtGui.QColor()

    def setColor(self, color: QtGui.QColor) -> None:
        if color != self._color:
            self._color = QtGui.QColor(color)
            self.colorChanged.emit(self._color)

    color = QtCore.Property(QtGui.QColor, lambda self: self._color, setColor)


class _Collapsing:
    """Collapsing hides the visible children; expanding shows them again."""

    _collapsed = False
    _hidden_by_collapse: tuple[QtWidgets.QWidget, ...] = ()

    def _collapse(self, collapsed: bool) -> None:
        if collapsed:
            children = self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly)
            self._hidden_by_collapse = tuple(child for child in children if not child.isHidden())
        for child in self._hidden_by_collapse:
            child.setVisible(not collapsed)
        self._collapsed = collapsed

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        if self._collapsed and event.added() and event.child().isWidgetType():
            self._hidden_by_collapse += (event.child(),)
            event.child().setVisible(False)
        super().childEvent(event)


@stand_in
class ctkCollapsibleButton(_Collapsing, QtWidgets.QAbstractButton):
    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, *args) -> None:
        title = args[0] if args and isinstance(args[0], str) else ""
        super().__init__(args[-1] if args and not isinstance(args[-1], str) else None)
        self.setText(title)
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(self._on_toggled)

    def _on_toggled(self, checked: bool) -> None:
        self._collapse(not checked)
        self.contentsCollapsed.emit(not checked)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        painter.drawText(4, 14, self.text())
        painter.end()

    def _read_collapsed(self) -> bool:
        return not self.isChecked()

    def _write_collapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = QtCore.Property(bool, _read_collapsed, _write_collapsed)


@stand_in
class qMRMLCollapsibleButton(ctkCollapsibleButton):
    pass


@stand_in
class ctkCollapsibleGroupBox(_Collapsing, QtWidgets.QGroupBox):
    def _read_collapsed(self) -> bool:
        return self._collapsed

    def _write_collapsed(self, collapsed: bool) -> None:
        self._collapse(bool(collapsed))

    collapsed = QtCore.Property(bool, _read_collapsed, _write_collapsed)
