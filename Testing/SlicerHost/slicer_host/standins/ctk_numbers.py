"""CTK's sliders, spin boxes and ranges, and the qMRML ones built on them."""

from __future__ import annotations

from PySide6 import QtCore, QtWidgets

from ..exports import stand_in


class _BoundedValue(QtWidgets.QWidget):
    """A number between ``minimum`` and ``maximum``, rounded to ``decimals`` places."""

    valueChanged = QtCore.Signal(float)
    valueIsChanging = QtCore.Signal(float)
    decimalsChanged = QtCore.Signal(int)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._limits = (0.0, 99.0)
        self._number = 0.0
        self._places = 2

    def setValue(self, value: float) -> None:
        low, high = self._limits
        number = round(min(max(float(value), low), high), self._places)
        if number != self._number:
            self._number = number
            self.valueChanged.emit(number)

    def setDecimals(self, places: int) -> None:
        self._places = places
        self.decimalsChanged.emit(places)
        self.setValue(self._number)

    def _set_minimum(self, low: float) -> None:
        self._limits = (low, max(low, self._limits[1]))
        self.setValue(self._number)

    def _set_maximum(self, high: float) -> None:
        self._limits = (min(high, self._limits[0]), high)
        self.setValue(self._number)

    value = QtCore.Property(float, lambda self: self._number, lambda self, v: self.setValue(v))
    minimum = QtCore.Property(float, lambda self: self._limits[0], lambda self, v: self._set_minimum(v))
    maximum = QtCore.Property(float, lambda self: self._limits[1], lambda self, v: self._set_maximum(v))
    decimals = QtCore.Property(int, lambda self: self._places, lambda self, v: self.setDecimals(v))


@stand_in
class ctkSliderWidget(_BoundedValue):
    def setSpinBoxVisible(self, visible: bool) -> None:
        self.spinBoxVisible = visible

    def reset(self) -> None:
        self.setValue(0.0)


@stand_in
class qMRMLSliderWidget(_BoundedValue):
    def setMRMLScene(self, scene) -> None:
        self._scene = scene

    def mrmlScene(self):
        return getattr(self, "_scene", None)

    def setSpinBoxVisible(self, visible: bool) -> None:
        self.spinBoxVisible = visible

    def setQuantity(self, quantity: str) -> None:
        self.quantity = quantity

    def reset(self) -> None:
        self.setValue(0.0)


@stand_in
class ctkDoubleSlider(_BoundedValue):
    pass


@stand_in
class ctkDoubleSpinBox(_BoundedValue):
    editingFinished = QtCore.Signal()

    def stepUp(self) -> None:
        self.setValue(self._number + (self.singleStep or 1.0))

    def stepDown(self) -> None:
        self.setValue(self._number - (self.singleStep or 1.0))


@stand_in
class qMRMLSpinBox(ctkDoubleSpinBox):
    def setMRMLScene(self, scene) -> None:
        self._scene = scene

    def mrmlScene(self):
        return getattr(self, "_scene", None)


class _BoundedRange(QtWidgets.QWidget):
    """Two numbers between ``minimum`` and ``maximum``."""

    valuesChanged = QtCore.Signal(float, float)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._limits = (0.0, 99.0)
        self._values = (0.0, 99.0)

    def setValues(self, low: float, high: float) -> None:
        bounded = tuple(min(max(float(v), self._limits[0]), self._limits[1]) for v in sorted((low, high)))
        if bounded != self._values:
            self._values = bounded
            self.valuesChanged.emit(*bounded)

    def setRange(self, low: float, high: float) -> None:
        self._limits = (float(low), float(high))
        self.setValues(*self._values)

    minimum = QtCore.Property(
        float, lambda self: self._limits[0], lambda self, v: self.setRange(v, max(v, self._limits[1]))
    )
    maximum = QtCore.Property(
        float, lambda self: self._limits[1], lambda self, v: self.setRange(min(v, self._limits[0]), v)
    )
    minimumValue = QtCore.Property(
        float, lambda self: self._values[0], lambda self, v: self.setValues(v, max(v, self._values[1]))
    )
    maximumValue = QtCore.Property(
        float, lambda self: self._values[1], lambda self, v: self.setValues(min(v, self._values[0]), v)
    )


@stand_in
class ctkRangeWidget(_BoundedRange):
    pass


@stand_in
class ctkDoubleRangeSlider(_BoundedRange):
    pass


@stand_in
class qMRMLRangeWidget(_BoundedRange):
    pass
