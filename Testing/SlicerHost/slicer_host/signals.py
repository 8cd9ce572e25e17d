"""Connections as in PythonQt: by signature or by signal attribute; a slot may take fewer arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import shiboken6
from PySide6 import QtCore

from .contract import ClassContract, get_argument_types, get_bare_name, normalize_signature

# Signals of Slicer's Qt 5 that Qt 6 renamed.
_RENAMED = {
    "error(QProcess::ProcessError)": "errorOccurred(QProcess::ProcessError)",
    "currentIndexChanged(QString)": "currentTextChanged(QString)",
    "activated(QString)": "textActivated(QString)",
    "highlighted(QString)": "textHighlighted(QString)",
    "valueChanged(QString)": "textChanged(QString)",
    "buttonClicked(int)": "idClicked(int)",
}


class SignalOwner(Protocol):
    """The part of a proxy that connections use: its Qt object, its contract, and the conversion of values both ways."""

    _native: QtCore.QObject
    _exported_name: str
    _declared_signals: frozenset[str]

    def _get_contract(self) -> ClassContract: ...

    @staticmethod
    def _to_python(value: Any) -> Any: ...

    @staticmethod
    def _to_qt(value: Any) -> Any: ...


class Signal:
    """``qt.Signal(...)`` in the body of a Python subclass of a Qt class."""

    def __init__(self, *types: Any) -> None:
        self.count = len(types)


@dataclass
class _Connection:
    name: str
    target: Callable
    adapter: Callable
    native_signal: Any


_connections: dict[int, list[_Connection]] = {}


class BoundSignal:
    """``button.clicked``: connect and disconnect; only signals declared with ``qt.Signal`` can be emitted."""

    def __init__(self, proxy: SignalOwner, name: str) -> None:
        self._proxy = proxy
        self._name = name

    def connect(self, *target: Any) -> bool:
        return _connect(self._proxy, self._name, _find_longest_signature(self._proxy, self._name), _callable(target))

    def disconnect(self, *target: Any) -> bool:
        return _disconnect(self._proxy, self._name, target)

    def emit(self, *args: Any) -> None:
        if self._name not in self._proxy._declared_signals:
            raise AttributeError(f"{self._name} is a C++ signal: only signals made with qt.Signal have emit()")
        getattr(self._proxy._native, self._name).emit(*args)

    def __call__(self, *args: Any) -> Any:
        native = getattr(self._proxy._native, self._name)
        qt_arguments = [self._proxy._to_qt(a) for a in args]
        if not isinstance(native, QtCore.SignalInstance):
            # In Qt 5, QProcess.error is both a signal and a getter.
            return self._proxy._to_python(native(*qt_arguments))
        return native.emit(*qt_arguments)


def connect_signal(proxy: SignalOwner, signal: str, *target: Any) -> bool:
    """Connect ``signal`` (full signature); raises AttributeError where Slicer's class has no such signal."""
    signature = _check_signature(proxy, signal)
    return _connect(proxy, get_bare_name(signature), signature, _callable(target))


def disconnect_signal(proxy: SignalOwner, signal: str, *target: Any) -> bool:
    return _disconnect(proxy, get_bare_name(_check_signature(proxy, signal)), target)


def list_native_signals(native: QtCore.QObject) -> list[str]:
    """Return the full signatures of all signals in PySide's meta-object."""
    meta = native.metaObject()
    methods = (meta.method(i) for i in range(meta.methodCount()))
    return [bytes(m.methodSignature()).decode() for m in methods if m.methodType() == QtCore.QMetaMethod.Signal]


def _check_signature(proxy: SignalOwner, signal: str) -> str:
    signature = normalize_signature(signal)
    contract = proxy._get_contract()
    declared = get_bare_name(signature) in proxy._declared_signals
    if signature not in contract.signals and not declared:
        near = contract.overloads(get_bare_name(signature), contract.signals)
        hint = f"; it has {', '.join(near)}" if near else ""
        raise AttributeError(f"{proxy._exported_name} has no signal {signal!r}{hint}")
    return signature


def _find_longest_signature(proxy: SignalOwner, name: str) -> str:
    contract = proxy._get_contract()
    overloads = [s for s in contract.overloads(name, contract.signals) if not s.endswith("(QString)")]
    overloads = overloads or contract.overloads(name, contract.signals) or [f"{name}({','.join(['QVariant'] * 9)})"]
    return max(overloads, key=lambda s: (len(get_argument_types(s)), "vtk" in s))


def _callable(target: tuple) -> Callable:
    if len(target) == 1 and callable(target[0]):
        return target[0]
    if len(target) == 2:
        receiver, slot = target
        return find_slot(receiver, slot)
    raise TypeError("connect takes a callable, or a receiver object and a slot")


def find_slot(receiver: SignalOwner, slot: str) -> Callable:
    """Return the receiver's slot with exactly this signature; raises AttributeError if there is none."""
    signature = normalize_signature(slot)
    contract = receiver._get_contract()
    if signature not in contract.slots and signature not in contract.signals:
        raise AttributeError(f"{receiver._exported_name} has no slot {slot!r}")
    method = getattr(receiver, get_bare_name(signature))
    count = len(get_argument_types(signature))
    return lambda *args: method(*args[:count])


def _connect(proxy: SignalOwner, name: str, signature: str, target: Callable) -> bool:
    types = get_argument_types(signature)[: count_accepted_arguments(target)]
    to_python = proxy._to_python  # not the proxy itself: the connection must not keep it alive

    def adapter(*args: Any) -> None:
        target(*(_convert_argument(to_python(a), t) for a, t in zip(args, types, strict=False)))

    native_signal = _find_native_signal(proxy._native, _RENAMED.get(signature, signature))
    native_signal.connect(adapter)
    known = _get_connections(proxy)
    known.append(_Connection(name, target, adapter, native_signal))
    return True


def _convert_argument(value: Any, qt_type: str) -> Any:
    """Overloads that exist in Slicer only (``currentNodeChanged(bool)``) get the argument of that type."""
    return bool(value) if qt_type == "bool" else value


def _get_connections(proxy: SignalOwner) -> list[_Connection]:
    address = shiboken6.getCppPointer(proxy._native)[0]
    if address not in _connections:
        _connections[address] = []
        proxy._native.destroyed.connect(lambda *_: _connections.pop(address, None))
    return _connections[address]


def _disconnect(proxy: SignalOwner, name: str, target: tuple) -> bool:
    wanted = _callable(target) if target else None
    known = _get_connections(proxy)
    found = [c for c in known if c.name == name and (wanted is None or c.target == wanted)]
    for connection in found:
        connection.native_signal.disconnect(connection.adapter)
        known.remove(connection)
    return bool(found)


def count_accepted_arguments(target: Callable) -> int:
    """Return how many positional arguments ``target`` takes; PythonQt drops further ones."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except ValueError:
        return 99
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 99
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _find_native_signal(native: QtCore.QObject, signature: str) -> Any:
    name = get_bare_name(signature)
    signal = getattr(native, name, None)
    if signal is None:
        raise AttributeError(f"Slicer has the signal {signature}, but the host double cannot send it (Qt 5 only)")
    own = [s for s in list_native_signals(native) if get_bare_name(s) == name]
    if signature in own and len(own) > 1:
        return signal[",".join(get_argument_types(signature))] if get_argument_types(signature) else signal
    if get_argument_types(signature) == ["QString"] and not any(s.endswith("(QString)") for s in own):
        raise AttributeError(f"the host double cannot send {signature} (Qt 5 only)")
    return signal
