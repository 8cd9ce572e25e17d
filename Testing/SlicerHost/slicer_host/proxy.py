"""Proxies that make PySide objects look like PythonQt's and allow only the members that Slicer's Qt has.

PySide is not patched; module code sees only these proxies.
"""

from __future__ import annotations

import enum
import weakref
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6 import QtCore, QtWidgets

from .access import convert_slot_arguments, derive_contract, read_property, write_property
from .contract import ClassContract, get_class_contract
from .exports import get_exported_class, introspect_contract, stand_ins
from .signals import BoundSignal, Signal, connect_signal, disconnect_signal
from .values import QtEnum, QtEnumType, hold_callable, plain

_proxies: weakref.WeakValueDictionary[int, QObjectProxy] = weakref.WeakValueDictionary()
_MISSING = object()
_OWN = frozenset({"_native", "_contract"})

# Set by the dialogs module: functions that would open a window, and what answers them in place of the user.
blocking_calls: dict[str, Callable[[QObjectProxy | type, tuple], Any]] = {}


def wrap(value: Any) -> Any:
    """Convert a value from Qt to what Python code sees."""
    if isinstance(value, QtCore.QObject):
        return get_proxy(value)
    if isinstance(value, enum.Enum):
        return QtEnum(value)
    if isinstance(value, (list, tuple)):
        return tuple(wrap(item) for item in value)
    if type(value).__module__.startswith("PySide6."):
        return _make_value_proxy(value)
    return value


def unwrap(value: Any) -> Any:
    """Convert a value from Python code to what Qt gets."""
    if isinstance(value, (QObjectProxy, ValueProxy)):
        return value._native
    if isinstance(value, QtEnum):
        return value.native
    if isinstance(value, ExportedType):
        return value._native_class
    if isinstance(value, (list, tuple)):
        return [unwrap(item) for item in value]
    return hold_callable(plain(value))


def get_proxy(native: QtCore.QObject) -> QObjectProxy | None:
    """Return the one proxy of a Qt object, as PythonQt has one wrapper per object; None after Qt deleted the object."""
    if not shiboken6.isValid(native):
        return None
    address = shiboken6.getCppPointer(native)[0]
    known = _proxies.get(address)
    if known is not None and known._native is native:
        return known
    proxy = object.__new__(get_exported_class(type(native), QObjectProxy))
    _bind(proxy, native)
    return proxy


def _make_value_proxy(native: Any) -> ValueProxy:
    proxy = object.__new__(get_exported_class(type(native), ValueProxy))
    object.__setattr__(proxy, "_native", native)
    return proxy


def _bind(proxy: QObjectProxy, native: QtCore.QObject) -> None:
    object.__setattr__(proxy, "_native", native)
    _proxies[shiboken6.getCppPointer(native)[0]] = proxy


class ExportedType(type):
    """Metaclass of the exported classes: serves class members such as ``qt.QProcess.NotRunning``."""

    _native_class: type
    _exported_name: str

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") or name in _OWN:
            raise AttributeError(name)
        contract = get_class_contract(cls._exported_name)
        plain_name = _strip_keyword_guard(name)
        if contract is not None and not contract.has(plain_name):
            raise AttributeError(f"Slicer's {cls._exported_name} has no member {name!r}")
        if f"{cls._exported_name}.{plain_name}" in blocking_calls:
            answer = blocking_calls[f"{cls._exported_name}.{plain_name}"]
            return lambda *args: wrap(answer(cls, args))
        member = getattr(cls._native_class, plain_name, _MISSING)
        if member is _MISSING:
            raise AttributeError(f"{cls._exported_name} of the host double has no member {name!r}")
        return _wrap_class_member(member)


def _wrap_class_member(member: Any) -> Any:
    if isinstance(member, enum.Enum):
        return QtEnum(member)
    if isinstance(member, type) and issubclass(member, enum.Enum):
        return QtEnumType(member)
    if callable(member):
        return lambda *args: wrap(member(*(unwrap(a) for a in args)))
    return member


def _strip_keyword_guard(name: str) -> str:
    """Strip the underscore of ``exec_`` and ``raise_``, PythonQt's names for slots whose names are Python keywords."""
    return name[:-1] if name.endswith("_") and not name.startswith("_") else name


class ValueProxy(metaclass=ExportedType):
    """A Qt value class (QColor, QSize, QTableWidgetItem ...): methods only, no new attributes."""

    _native_class: type = object
    _exported_name = "ValueProxy"

    def __init__(self, *args: Any) -> None:
        object.__setattr__(self, "_native", self._native_class(*(unwrap(a) for a in args)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in _OWN:
            raise AttributeError(name)
        member = getattr(self._native, name, _MISSING)
        if member is _MISSING:
            raise AttributeError(f"{self._exported_name} has no member {name!r}")
        if not callable(member):
            return wrap(member)
        return lambda *args: wrap(member(*(unwrap(a) for a in args)))

    def __setattr__(self, name: str, value: Any) -> None:
        if type(self) is get_exported_class(self._native_class, ValueProxy):
            raise AttributeError(f"{self._exported_name}: new attributes on C++ objects are not allowed ({name!r})")
        object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ValueProxy) and bool(self._native == other._native)

    def __hash__(self) -> int:
        return hash((self._exported_name, str(self._native)))

    def __repr__(self) -> str:
        return f"<{self._exported_name} {self._native}>"


class QObjectProxy(metaclass=ExportedType):
    """A QObject as in PythonQt: properties are attributes; signals and slots are members; nothing else exists."""

    _native_class: type = QtCore.QObject
    _exported_name = "QObject"
    _native: QtCore.QObject
    _declared_signals: frozenset[str] = frozenset()
    _to_python = staticmethod(wrap)
    _to_qt = staticmethod(unwrap)

    def __init__(self, *args: Any) -> None:
        _bind(self, self._native_class(*(unwrap(a) for a in args)))
        if not self._is_exported_itself():
            # Qt may keep the object longer than Python does; the state of the Python subclass must stay with it.
            self._native._python_side = self

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "_exported_name" not in cls.__dict__:
            cls._native_class = _make_native_subclass(cls)

    def _is_exported_itself(self) -> bool:
        return "_exported_name" in type(self).__dict__

    def _get_contract(self) -> ClassContract:
        contract = get_class_contract(self._exported_name)
        if contract is not None:
            return contract
        stand_in_class = stand_ins.get(self._exported_name)
        return introspect_contract(stand_in_class) if stand_in_class else derive_contract(self._native)

    def __getattr__(self, name: str) -> Any:
        if (name.startswith("__") and name.endswith("__")) or name in _OWN:
            raise AttributeError(name)
        _require_alive(self)
        name = _strip_keyword_guard(name)
        contract = self._get_contract()
        if name == "name" and "objectName" in contract.properties:
            return self._native.objectName()
        if name in contract.properties:
            return wrap(read_property(self._native, name))
        if name in contract.signal_names or name in self._declared_signals:
            return BoundSignal(self, name)
        if contract.has(name):
            return _member(self, name, contract)
        if name.encode() in [bytes(n) for n in self._native.dynamicPropertyNames()]:
            return wrap(self._native.property(name))
        raise AttributeError(f"{self._exported_name} has no property, signal or slot named {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        _require_alive(self)
        contract = self._get_contract()
        target = "objectName" if name == "name" else name
        if target in contract.properties:
            write_property(self._native, target, unwrap(value), contract)
        elif name.encode() in [bytes(n) for n in self._native.dynamicPropertyNames()]:
            self._native.setProperty(name, unwrap(value))
        elif not self._is_exported_itself() and not contract.has(name):
            object.__setattr__(self, name, value)
        else:
            raise AttributeError(
                f"{self._exported_name} has no property {name!r}"
                " (creating new attributes on C++ objects is not allowed)"
            )

    def __bool__(self) -> bool:
        return shiboken6.isValid(self._native)

    def __dir__(self) -> list[str]:
        contract = self._get_contract()
        return sorted(set(contract.properties) | contract.members | contract.signal_names | contract.slot_names)

    def __repr__(self) -> str:
        alive = f"name={self._native.objectName()!r}" if self else "deleted"
        return f"<{self._exported_name} {alive}>"

    def connect(self, signal: str, *target: Any) -> bool:
        """``connect("clicked()", f)`` or ``connect("clicked()", receiver, "slot()")``; wrong names raise."""
        return connect_signal(self, signal, *target)

    def disconnect(self, signal: str, *target: Any) -> bool:
        return disconnect_signal(self, signal, *target)

    def property(self, name: str) -> Any:
        contract = self._get_contract()
        return wrap(read_property(self._native, name) if name in contract.properties else self._native.property(name))

    def setProperty(self, name: str, value: Any) -> bool:
        contract = self._get_contract()
        if name in contract.properties:
            write_property(self._native, name, unwrap(value), contract)
            return True
        return bool(self._native.setProperty(name, unwrap(value)))

    def className(self) -> str:
        return self._exported_name

    def inherits(self, class_name: str) -> bool:
        return class_name == self._exported_name or bool(self._native.inherits(class_name))

    def findChild(self, kind: Any, name: str = "") -> Any:
        found = self.findChildren(kind, name)
        return found[0] if found else None

    def findChildren(self, kind: Any = None, name: str = "") -> tuple:
        """Return the descendants of a class (or class name), all of them or those called ``name``."""
        all_children = self._native.findChildren(QtCore.QObject)
        class_name = kind._exported_name if isinstance(kind, ExportedType) else kind or "QObject"
        proxies = (wrap(child) for child in all_children if not name or child.objectName() == name)
        return tuple(p for p in proxies if p.inherits(class_name))

    def delete(self) -> None:
        shiboken6.delete(self._native)


def _require_alive(proxy: QObjectProxy) -> None:
    if not shiboken6.isValid(proxy._native):
        raise ValueError(f"Trying to use a {proxy._exported_name} that Qt has already deleted")


def _member(proxy: QObjectProxy, name: str, contract: ClassContract) -> Any:
    call_name = f"{proxy._exported_name}.{name}"
    dialog = isinstance(proxy._native, QtWidgets.QDialog) and name in ("exec", "open")
    if call_name in blocking_calls or dialog:
        answer = blocking_calls[call_name if call_name in blocking_calls else "QDialog.exec"]
        return lambda *args: wrap(answer(proxy, args))
    native = getattr(proxy._native, name, _MISSING)
    if native is _MISSING:
        raise AttributeError(f"Slicer's {proxy._exported_name} has {name!r}, but the host double does not implement it")
    if not callable(native) or isinstance(native, type):
        return _wrap_class_member(native)
    return lambda *args: wrap(native(*convert_slot_arguments([unwrap(a) for a in args], contract.overloads(name))))


def _make_native_subclass(cls: type) -> type:
    """Make the PySide class for a Python subclass, so that its event methods are called and its signals exist."""
    base = cls._native_class
    namespace: dict[str, Any] = {}
    declared = set(cls._declared_signals)
    for name, member in list(cls.__dict__.items()):
        if isinstance(member, Signal):
            namespace[name] = QtCore.Signal(*([object] * member.count))
            declared.add(name)
            delattr(cls, name)
        elif callable(member) and (name.lower().endswith("event") or name in ("sizeHint", "eventFilter")):
            namespace[name] = _make_forwarder(name)
    cls._declared_signals = frozenset(declared)
    return type(cls.__name__, (base,), namespace) if namespace else base


def _make_forwarder(name: str) -> Callable:
    def forward(native: QtCore.QObject, *args: Any) -> Any:
        proxy = native.__dict__.get("_python_side")
        method = getattr(type(proxy), name) if proxy is not None else None
        if method is None:
            return getattr(super(type(native), native), name)(*args)
        return unwrap(method(proxy, *(wrap(a) for a in args)))

    return forward
