"""Properties and slot arguments of one Qt object, as PythonQt reads, converts and writes them."""

from __future__ import annotations

import enum
import weakref
from typing import Any

from PySide6 import QtCore

from .contract import ClassContract, get_argument_types
from .signals import list_native_signals
from .values import convert_value

_derived: weakref.WeakKeyDictionary[type, ClassContract] = weakref.WeakKeyDictionary()


def derive_contract(native: QtCore.QObject) -> ClassContract:
    """Derive the contract of a class that the listing lacks (QHeaderView, QEventLoop ...) from PySide, once."""
    contract = _derived.get(type(native))
    if contract is None:
        contract = _derived[type(native)] = _derive(native)
    return contract


def _derive(native: QtCore.QObject) -> ClassContract:
    meta = native.metaObject()
    properties = {
        meta.property(i).name(): (meta.property(i).typeName(), "rw" if meta.property(i).isWritable() else "r")
        for i in range(meta.propertyCount())
    }
    members = frozenset(name for name in dir(native) if not name.startswith("_"))
    return ClassContract(meta.className(), properties, members, frozenset(list_native_signals(native)), frozenset())


def read_property(native: QtCore.QObject, name: str) -> Any:
    member = getattr(type(native), name, None)
    if isinstance(member, QtCore.Property):
        return getattr(native, name)
    if native.metaObject().indexOfProperty(name) < 0:
        getter = getattr(native, name, None)
        if not callable(getter):
            raise AttributeError(f"{type(native).__name__} of the host double does not implement property {name!r}")
        return getter()
    try:
        return native.property(name)
    except RuntimeError:
        # PySide has no converter for some enum properties; the getter method has.
        return getattr(native, name)()


def write_property(native: QtCore.QObject, name: str, value: Any, contract: ClassContract) -> None:
    """Set a property that the contract lists; AttributeError where it is read-only, ValueError for a wrong value."""
    qt_type, access = contract.properties[name]
    if access != "rw":
        raise AttributeError(f"{contract.name}: property {name!r} is not writable")
    try:
        plain_value = convert_value(value, qt_type)
    except TypeError as error:
        raise ValueError(f"{contract.name}.{name}: {error}") from error
    setter = getattr(native, f"set{name[0].upper()}{name[1:]}", None)
    if isinstance(getattr(type(native), name, None), QtCore.Property):
        setattr(native, name, plain_value)
    elif setter is not None:
        setter(_convert_to_enum(native, name, plain_value))
    elif not native.setProperty(name, plain_value):
        raise ValueError(f"{contract.name}: property {name!r} ({qt_type}) does not accept {value!r}")


def _convert_to_enum(native: QtCore.QObject, name: str, value: Any) -> Any:
    """Convert an int to the enum type of the property's current value: PythonQt accepts an int, PySide does not."""
    if type(value) is int and callable(getattr(native, name, None)):
        current = getattr(native, name)()
        if isinstance(current, enum.Enum):
            return type(current)(value)
    return value


def convert_slot_arguments(args: list[Any], overloads: list[str]) -> list[Any]:
    """Convert arguments to the types of the slot's signature if exactly one overload has that many arguments."""
    fitting = [get_argument_types(s) for s in overloads if len(get_argument_types(s)) == len(args)]
    if len(fitting) != 1:
        return args
    return [convert_value(argument, qt_type) for argument, qt_type in zip(args, fitting[0], strict=True)]
