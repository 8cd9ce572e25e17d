"""``slicer.parameterNodeWrapper``: a typed interface to a vtkMRMLScriptedModuleNode, and its connections to widgets."""

from __future__ import annotations

import functools
import typing
from typing import Any

import qt
import slicer
import vtk

from .parameter_fields import (
    Choice,
    Default,
    Exclude,
    Field,
    IsInstance,
    Maximum,
    Minimum,
    NotNone,
    Validator,
    WithinRange,
    make_field,
)
from .parameter_gui import Decimals, SingleStep, WidgetTie, tie_widget

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Exclude",
    "IsInstance",
    "Maximum",
    "Minimum",
    "NotNone",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "findChildWidgetForParameter",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
]

SlicerParameterNamePropertyName = "SlicerParameterName"


class _Wrapper:
    """Methods that every wrapped class gets."""

    allParameters: dict[str, Field]

    def __init__(self, parameter_node: Any, prefix: str | None = None) -> None:
        self.parameterNode = parameter_node
        self._prefix = prefix or ""
        self._ties: dict[int, tuple[list[tuple[str, WidgetTie]], int]] = {}
        self._next_tag = 0
        self._updating_widgets = False
        for name, field in self.allParameters.items():
            if not parameter_node.HasParameter(self._prefix + name):
                field.write(parameter_node, self._prefix + name, field.default())

    def getValue(self, name: str) -> Any:
        return self._field(name).read(self.parameterNode, self._prefix + name)

    def setValue(self, name: str, value: Any) -> None:
        field = self._field(name)
        field.validate(value)
        with slicer.util.NodeModify(self.parameterNode):
            field.write(self.parameterNode, self._prefix + name, value)

    def default(self, name: str) -> Default:
        return Default(self._field(name).default())

    def isCached(self, name: str) -> bool:
        return bool(self._field(name))

    @classmethod
    def dataType(cls, name: str) -> Any:
        return cls._field_of(name).declared

    def _field(self, name: str) -> Field:
        return self._field_of(name)

    @classmethod
    def _field_of(cls, name: str) -> Field:
        if name not in cls.allParameters:
            raise ValueError(f"{cls.__name__} has no parameter {name!r}; it has {', '.join(cls.allParameters)}")
        return cls.allParameters[name]

    def connectGui(self, gui: Any) -> int:
        """Connect the widgets that have the dynamic property SlicerParameterName; returns the tag for disconnecting."""
        is_widget = getattr(gui, "isWidgetType", lambda: False)()
        widgets = gui.findChildren(qt.QWidget) if is_widget else gui.__dict__.values()
        named = [(w.property(SlicerParameterNamePropertyName), w) for w in widgets]
        return self.connectParametersToGui({name: widget for name, widget in named if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        for name in mapping:
            self._field(name)
        ties = [(name, tie_widget(widget, self._field(name))) for name, widget in mapping.items()]
        for name, tie in ties:
            tie.write(self.getValue(name))
            tie.connect(functools.partial(self._take_from_widget, name, tie))
        tag, self._next_tag = self._next_tag, self._next_tag + 1
        observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._update_widgets())
        self._ties[tag] = (ties, observer)
        return tag

    def disconnectGui(self, tag: int) -> None:
        if tag in self._ties:
            ties, observer = self._ties.pop(tag)
            for _name, tie in ties:
                tie.disconnect()
            self.RemoveObserver(observer)

    def _take_from_widget(self, name: str, tie: WidgetTie) -> None:
        if not self._updating_widgets:
            self.setValue(name, tie.read())

    def _update_widgets(self) -> None:
        if self._updating_widgets:
            return
        self._updating_widgets = True
        try:
            with slicer.util.NodeModify(self.parameterNode):
                for ties, _observer in list(self._ties.values()):
                    for name, tie in ties:
                        tie.write(self.getValue(name))
        finally:
            self._updating_widgets = False

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, was_modifying: int) -> int:
        return self.parameterNode.EndModify(was_modifying)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def _attribute(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def parameterNodeWrapper(classtype: type | None = None) -> Any:
    """Class decorator; raises TypeError for a field type that it does not know."""
    if classtype is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(classtype, include_extras=True)
    fields = {name: make_field(name, hint, getattr(classtype, name, None)) for name, hint in hints.items()}
    for name in [n for n in vars(_Wrapper) if not n.startswith("__")]:
        if name in classtype.__dict__ or name in fields:
            raise ValueError(f"Cannot use reserved name {name!r} in a parameterNodeWrapper")
    body = {"allParameters": fields, "_is_parameter_node_wrapper": True, "__module__": classtype.__module__}
    body |= {name: _attribute(name) for name in fields}
    return type(classtype.__name__, (_Wrapper, classtype), body | {"__doc__": classtype.__doc__})


def isParameterNodeWrapper(class_or_object: Any) -> bool:
    return getattr(class_or_object, "_is_parameter_node_wrapper", False)


def findChildWidgetForParameter(widget: Any, parameter: str) -> Any:
    for child in widget.findChildren(qt.QWidget):
        if child.property(SlicerParameterNamePropertyName) == parameter:
            return child
    return None
