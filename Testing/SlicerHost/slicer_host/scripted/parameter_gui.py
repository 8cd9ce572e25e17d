"""Connects widgets to parameter types by a property and a signal; the same pairs as in Slicer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .parameter_fields import Choice, Field, Maximum, Minimum, WithinRange


@dataclass
class Decimals:
    value: int


@dataclass
class SingleStep:
    value: float


class WidgetTie:
    """A widget, how to read and write its value, and its signal for changes."""

    def __init__(self, widget: Any, signal: str, read: Callable[[], Any], write: Callable[[Any], None]) -> None:
        self._widget = widget
        self._signal = signal
        self.read = read
        self.write = write
        self._callback: Callable[[], None] | None = None

    def connect(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        if self._signal:
            getattr(self._widget, self._signal).connect(callback)

    def disconnect(self) -> None:
        if self._signal:
            getattr(self._widget, self._signal).disconnect(self._callback)


def tie_widget(widget: Any, field: Field) -> WidgetTie:
    """Connect a widget to a field. Raises RuntimeError if Slicer has no connector, or the range is unbounded."""
    kind = widget.className()
    for kinds, types, make in _PAIRS:
        if kind in kinds and (field.type_ in types or (field.node_types and "node" in types)):
            return make(widget, field)
    raise RuntimeError(f"Unable to create GUI connector from datatype {field.declared} to widget type {kind}")


def _make_property_tie(widget: Any, name: str, signal: str, convert: Callable[[Any], Any] = lambda v: v) -> WidgetTie:
    return WidgetTie(widget, signal, lambda: convert(getattr(widget, name)), lambda value: setattr(widget, name, value))


def _check_box(widget: Any, field: Field) -> WidgetTie:
    return _make_property_tie(widget, "checked", "stateChanged")


def _push_button(widget: Any, field: Field) -> WidgetTie:
    widget.checkable = True
    return _make_property_tie(widget, "checked", "toggled")


def _number(widget: Any, field: Field) -> WidgetTie:
    low, high = _bounds(field)
    kind = widget.className()
    if kind in ("QSlider", "ctkSliderWidget", "qMRMLSliderWidget") and None in (low, high):
        raise RuntimeError(f"Cannot have a connection to {kind} where the type is unbounded.")
    is_integer_widget = kind in ("QSlider", "QSpinBox")
    _apply(widget, "minimum", low if low is not None else (-(2**31) if is_integer_widget else float("-inf")))
    _apply(widget, "maximum", high if high is not None else (2**31 - 1 if is_integer_widget else float("inf")))
    if not is_integer_widget:
        decimals = field.annotation(Decimals)
        _apply(widget, "decimals", 0 if field.type_ is int else decimals.value if decimals else None)
    step = field.annotation(SingleStep)
    _apply(widget, "singleStep", step.value if step else None)
    return _make_property_tie(widget, "value", "valueChanged", field.type_)


def _apply(widget: Any, name: str, value: Any) -> None:
    if value is not None:
        setattr(widget, name, value)


def _bounds(field: Field) -> tuple[Any, Any]:
    within = field.annotation(WithinRange)
    if within is not None:
        return within.minimum, within.maximum
    low, high = field.annotation(Minimum), field.annotation(Maximum)
    return low.minimum if low else None, high.maximum if high else None


def _combo_box(widget: Any, field: Field) -> WidgetTie:
    choice = field.annotation(Choice)
    if choice is None:
        raise RuntimeError("A combo box needs the Choice annotation on its parameter.")
    choices = list(choice.choices)
    widget.clear()
    for item in choices:
        widget.addItem(str(item))
    return WidgetTie(
        widget,
        "currentIndexChanged",
        lambda: choices[widget.currentIndex],
        lambda value: setattr(widget, "currentIndex", choices.index(value)),
    )


def _line_edit(widget: Any, field: Field) -> WidgetTie:
    def write(value: str) -> None:
        # Setting the same text again would move the cursor while the user types.
        if widget.text != value:
            widget.text = value

    return WidgetTie(widget, "textChanged", lambda: widget.text, write)


def _text_edit(widget: Any, field: Field) -> WidgetTie:
    return WidgetTie(widget, "textChanged", widget.toPlainText, widget.setPlainText)


def _label(widget: Any, field: Field) -> WidgetTie:
    return _make_property_tie(widget, "text", "")


def _path(widget: Any, field: Field) -> WidgetTie:
    name, signal = {
        "ctkPathLineEdit": ("currentPath", "currentPathChanged"),
        "ctkDirectoryButton": ("directory", "directoryChanged"),
    }[widget.className()]
    return WidgetTie(
        widget, signal, lambda: Path(getattr(widget, name)), lambda value: setattr(widget, name, str(value))
    )


def _node(widget: Any, field: Field) -> WidgetTie:
    widget.nodeTypes = tuple(node_type().GetClassName() for node_type in field.node_types)
    return WidgetTie(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)


_FLOAT_WIDGETS = (
    "QDoubleSpinBox",
    "ctkSliderWidget",
    "qMRMLSliderWidget",
    "ctkDoubleSlider",
    "ctkDoubleSpinBox",
    "qMRMLSpinBox",
)
_PAIRS: tuple[tuple[tuple[str, ...], tuple[Any, ...], Callable[[Any, Field], WidgetTie]], ...] = (
    (("QCheckBox", "ctkCheckBox"), (bool,), _check_box),
    (("QPushButton",), (bool,), _push_button),
    (("QSlider", "QSpinBox"), (int,), _number),
    (_FLOAT_WIDGETS, (int, float), _number),
    (("QComboBox", "ctkComboBox"), (int, float, str, bool), _combo_box),
    (("QLineEdit",), (str,), _line_edit),
    (("QTextEdit",), (str,), _text_edit),
    (("QLabel",), (str,), _label),
    (("ctkPathLineEdit", "ctkDirectoryButton"), (Path,), _path),
    (("qMRMLNodeComboBox",), ("node",), _node),
)
