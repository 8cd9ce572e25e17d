"""Maps Slicer's class names to PySide's classes or our stand-ins; one exported class per name."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore

from .contract import ClassContract, get_argument_types, get_class_contract

# Slicer's class name -> our PySide implementation
stand_ins: dict[str, type] = {}
_exported: dict[tuple[str, type], type] = {}
_introspected: dict[type, ClassContract] = {}

_STORED = {"bool": (bool, False), "int": (int, 0), "double": (float, 0.0), "QString": (str, "")}


def make_stored_property(name: str, qt_type: str, default: Any = None) -> QtCore.Property:
    """Make a property that only stores its value, for properties without behavior in the double."""
    python_type, zero = _STORED.get(qt_type, (object, None))
    initial = zero if default is None else default

    def read(self: Any) -> Any:
        return self.__dict__.get(f"_{name}", initial)

    def write(self: Any, value: Any) -> None:
        self.__dict__[f"_{name}"] = value

    return QtCore.Property("QStringList" if qt_type == "QStringList" else python_type, read, write)


def stand_in(cls: type) -> type:
    """Class decorator: this PySide class implements the Slicer class of the same name.

    Properties that the contract lists and the class leaves out are added as stored ones, signals as silent ones.
    """
    contract = get_class_contract(cls.__name__)
    body: dict[str, Any] = {"__module__": cls.__module__, "__doc__": cls.__doc__}
    for name, (qt_type, _access) in contract.properties.items() if contract else ():
        if cls.staticMetaObject.indexOfProperty(name) < 0:
            body[name] = make_stored_property(name, qt_type)
    for name in contract.signal_names if contract else ():
        if not hasattr(cls, name):
            longest = max(contract.overloads(name, contract.signals), key=len)
            body[name] = QtCore.Signal(*([object] * len(get_argument_types(longest))))
    completed = type(cls)(cls.__name__, (cls,), body)
    stand_ins[cls.__name__] = completed
    return completed


def export(name: str, native_class: type, base: type) -> type:
    """Return the exported class ``name`` that wraps ``native_class``; it is created once."""
    key = (name, base)
    if key not in _exported:
        body: dict[str, Any] = {"_native_class": native_class, "_exported_name": name, "__module__": "slicer_host"}
        _exported[key] = type(base)(name, (base,), body)
    return _exported[key]


def get_exported_class(native_type: type, base: type) -> type:
    """Return the exported class for ``native_type``: that of its nearest ancestor which Slicer or PySide names."""
    for ancestor in native_type.__mro__:
        if is_stand_in(ancestor) or ancestor.__module__.startswith("PySide6."):
            return export(ancestor.__name__, ancestor, base)
    raise TypeError(f"no exported class for {native_type.__name__}")


def is_stand_in(cls: type) -> bool:
    return stand_ins.get(cls.__name__) is cls


def introspect_contract(cls: type) -> ClassContract:
    """Return the contract of a stand-in that the listing lacks: its public names and those of QObject or QWidget."""
    if cls not in _introspected:
        base = get_class_contract("QWidget") if issubclass(cls, _widget_type()) else _make_qobject_contract()
        assert base is not None
        own = [name for c in cls.__mro__ if not c.__module__.startswith(("PySide6", "Shiboken")) for name in vars(c)]
        names = {name for name in own if not name.startswith("_")}
        properties = {n: kind for n, kind in _read_meta_properties(cls).items() if n in names}
        signals = frozenset(getattr(cls, "SIGNALS", ()))
        listed = ClassContract(cls.__name__, properties, frozenset(names - set(properties)), signals, frozenset())
        _introspected[cls] = listed.merged(base)
    return _introspected[cls]


def _read_meta_properties(cls: type) -> dict[str, tuple[str, str]]:
    meta = cls.staticMetaObject
    found = [meta.property(i) for i in range(meta.propertyCount())]
    return {p.name(): (p.typeName(), "rw" if p.isWritable() else "r") for p in found}


def _widget_type() -> type:
    from PySide6 import QtWidgets

    return QtWidgets.QWidget


def _make_qobject_contract() -> ClassContract:
    timer = get_class_contract("QTimer")
    assert timer is not None
    timers_own = {"start", "stop", "timeout", "interval", "setInterval", "singleShot", "setSingleShot", "active"}
    return ClassContract(
        "QObject",
        {"objectName": ("QString", "rw")},
        timer.members - timers_own,
        frozenset({"destroyed()", "destroyed(QObject*)"}),
        frozenset({"deleteLater()"}),
    )
