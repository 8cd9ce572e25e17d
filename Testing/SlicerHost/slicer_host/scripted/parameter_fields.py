"""Fields of a parameter node: their types, their validators, and how the node stores them."""

from __future__ import annotations

import pathlib
import types
import typing
from dataclasses import dataclass, field
from typing import Annotated, Any

import slicer


class Validator:
    """Raise ValueError or TypeError for an invalid value."""

    def validate(self, value: Any) -> None:
        raise NotImplementedError


class NotNone(Validator):
    def validate(self, value: Any) -> None:
        if value is None:
            raise ValueError("Value must not be None")


class IsInstance(Validator):
    def __init__(self, classtype: Any) -> None:
        self.classtype = classtype

    def validate(self, value: Any) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"Value must be of type {self.classtype}, got {value!r}")


class WithinRange(Validator):
    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within [{self.minimum}, {self.maximum}], got {value}")


class Minimum(Validator):
    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, got {value}")


class Maximum(Validator):
    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, got {value}")


class Choice(Validator):
    def __init__(self, choices: Any) -> None:
        self.choices = choices

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value must be one of {self.choices}, got {value!r}")


class Exclude(Validator):
    def __init__(self, excludedValues: Any) -> None:
        self.excludedValues = excludedValues

    def validate(self, value: Any) -> None:
        if value in self.excludedValues:
            raise ValueError(f"Value must not be one of {self.excludedValues}, got {value!r}")


class Default:
    """``Annotated[int, Default(3)]``, or ``Default(generator=f)`` for a new value each time."""

    def __init__(self, value: Any = None, *, generator: Any = None) -> None:
        self._value, self._generator = value, generator

    @property
    def value(self) -> Any:
        return self._generator() if self._generator else self._value


_ZERO: dict[Any, Any] = {str: "", int: 0, float: 0.0, bool: False, pathlib.Path: pathlib.Path()}


@dataclass
class Field:
    """One parameter; ``node_types`` is empty for a plain value."""

    name: str
    declared: Any
    type_: Any
    validators: list[Validator]
    initial: Default
    annotations: list[Any] = field(default_factory=list)
    node_types: tuple[type, ...] = ()

    def default(self) -> Any:
        return self.initial.value

    def validate(self, value: Any) -> None:
        for validator in self.validators:
            validator.validate(value)

    def read(self, node: Any, name: str) -> Any:
        if not node.HasParameter(name):
            # Closing a scene empties the node, but the wrapper still exists.
            self.write(node, name, self.default())
        if self.node_types:
            return node.GetNodeReference(name)
        text = node.GetParameter(name)
        return text == "True" if self.type_ is bool else self.type_(text)

    def write(self, node: Any, name: str, value: Any) -> None:
        self.validate(value)
        if self.node_types:
            # None is a valid value; an empty parameter of the same name marks the field as written.
            node.SetParameter(name, "")
            node.SetNodeReferenceID(name, value.GetID() if value is not None else None)
        else:
            node.SetParameter(name, str(value))

    def annotation(self, kind: type) -> Any:
        return next((a for a in [*self.validators, *self.annotations] if isinstance(a, kind)), None)


def make_field(name: str, hint: Any, class_default: Any) -> Field:
    """The field for a type hint; raises TypeError for a type that the double does not store."""
    type_, *annotations = typing.get_args(Annotated[hint, "end"])
    annotations.pop()
    node_types = _node_types(type_)
    if not node_types and type_ not in _ZERO:
        raise TypeError(f"parameter {name!r}: the host double stores no {type_}")
    accepted = node_types or ((int, float) if type_ is float else type_)
    standard: list[Validator] = [IsInstance(accepted)] if node_types else [NotNone(), IsInstance(accepted)]
    given = [a() if isinstance(a, type) else a for a in annotations if _is_validator(a)]
    others = [a for a in annotations if not _is_validator(a)]
    initial = next((a for a in others if isinstance(a, Default)), Default(_ZERO.get(type_)))
    if class_default is not None:
        initial = Default(class_default)
    return Field(name, hint, type_, [*standard, *given], initial, others, node_types)


def _is_validator(annotation: Any) -> bool:
    return isinstance(annotation, Validator) or (isinstance(annotation, type) and issubclass(annotation, Validator))


def _node_types(type_: Any) -> tuple[type, ...]:
    parts = typing.get_args(type_) if typing.get_origin(type_) in (typing.Union, types.UnionType) else (type_,)
    nodes = tuple(p for p in parts if isinstance(p, type) and issubclass(p, slicer.vtkMRMLNode))
    others = [p for p in parts if p not in nodes and p is not type(None)]
    return () if others else nodes
