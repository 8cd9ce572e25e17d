"""Plain values between Python and Qt: enums that behave as ints, and PythonQt's argument conversions."""

from __future__ import annotations

import enum
import functools
import types
from typing import Any


class QtEnum(int):
    """An enum value as in PythonQt: an int that also knows its Qt type."""

    native: enum.Enum

    def __new__(cls, native: enum.Enum) -> QtEnum:
        self = super().__new__(cls, native.value)
        self.native = native
        return self

    def _combined(self, other: Any, operation: str) -> Any:
        if isinstance(other, QtEnum) and isinstance(self.native, enum.Flag):
            result = getattr(self.native, operation)(other.native)
            if isinstance(result, enum.Enum):
                return QtEnum(result)
        return getattr(int, operation)(int(self), int(other))

    def __or__(self, other: Any) -> Any:
        return self._combined(other, "__or__")

    def __and__(self, other: Any) -> Any:
        return self._combined(other, "__and__")

    def __repr__(self) -> str:
        return f"{type(self.native).__name__}.{self.native.name}({int(self)})"


class QtEnumType:
    """A nested enum type such as ``qt.QSizePolicy.Policy``: its members by name, or from an int."""

    def __init__(self, native: type[enum.Enum]) -> None:
        self._native = native

    def __call__(self, value: int) -> QtEnum:
        return QtEnum(self._native(int(value)))

    def __getattr__(self, name: str) -> QtEnum:
        if name not in self._native.__members__:
            raise AttributeError(f"Qt enum {self._native.__name__} has no member {name!r}")
        return QtEnum(self._native[name])


def is_numpy_scalar(value: Any) -> bool:
    return type(value).__module__ == "numpy" and hasattr(value, "item") and not hasattr(value, "__len__")


def plain(value: Any) -> Any:
    """Convert a numpy scalar to a Python number, as PythonQt does; return anything else unchanged."""
    return value.item() if is_numpy_scalar(value) else value


def hold_callable(value: Any) -> Any:
    """Wrap a bound method so that its owner stays alive: PythonQt holds it strongly, PySide weakly."""
    return functools.partial(value) if isinstance(value, types.MethodType) else value


def convert_value(value: Any, qt_type: str) -> Any:
    """Convert ``value`` as PythonQt does for a C++ argument or property of type ``qt_type``; raises TypeError."""
    value = plain(value)
    if qt_type == "bool":
        return bool(value)
    if qt_type in ("int", "uint", "qlonglong"):
        return int(_number(value, qt_type))
    if qt_type in ("double", "float", "qreal"):
        return float(_number(value, qt_type))
    if qt_type == "QString":
        return value if isinstance(value, str) else str(value)
    if qt_type == "QStringList":
        if isinstance(value, str) or not all(isinstance(item, str) for item in value):
            raise TypeError(f"a QStringList takes a sequence of str, got {value!r}")
        return list(value)
    return value


def _number(value: Any, qt_type: str) -> Any:
    if not isinstance(value, (int, float, QtEnum)):
        raise TypeError(f"a C++ {qt_type} takes a number, got {value!r}")
    return value
