"""The members that each Qt, CTK and qMRML class has in a running Slicer; every access is checked against them."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path

CONTRACT_PATH = Path(__file__).resolve().parent.parent / "slicer_qt_api.json"


@dataclass(frozen=True)
class ClassContract:
    """Names of one class: ``properties`` maps to (Qt type, "r" or "rw"), signals and slots are full signatures."""

    name: str
    properties: dict[str, tuple[str, str]]
    members: frozenset[str]
    signals: frozenset[str]
    slots: frozenset[str]
    signal_names: frozenset[str] = field(init=False)
    slot_names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "signal_names", frozenset(get_bare_name(s) for s in self.signals))
        object.__setattr__(self, "slot_names", frozenset(get_bare_name(s) for s in self.slots))

    def has(self, name: str) -> bool:
        """Whether Python code may read ``name`` on an instance."""
        return name in self.properties or name in self.members or self.is_callable(name)

    def is_callable(self, name: str) -> bool:
        return name in self.signal_names or name in self.slot_names

    def overloads(self, name: str, signatures: frozenset[str] | None = None) -> list[str]:
        """Return the sorted signatures of the slots called ``name``, or of those in ``signatures``."""
        return sorted(s for s in (self.slots if signatures is None else signatures) if get_bare_name(s) == name)

    def merged(self, other: ClassContract) -> ClassContract:
        """Return this contract with the members of ``other`` added; a property of both keeps this contract's entry."""
        return ClassContract(
            self.name,
            {**other.properties, **self.properties},
            self.members | other.members,
            self.signals | other.signals,
            self.slots | other.slots,
        )


def get_bare_name(signature: str) -> str:
    """``"clicked(bool)"`` -> ``"clicked"``."""
    return signature.partition("(")[0]


def get_argument_types(signature: str) -> list[str]:
    """``"f(int,QString)"`` -> ``["int", "QString"]``."""
    inside = signature.partition("(")[2].rpartition(")")[0]
    return [part for part in inside.split(",") if part]


def normalize_signature(signature: str) -> str:
    """Return Qt's normal form of a signature: no blanks, no ``const QString &``."""
    packed = signature.replace("const QString &", "QString").replace("const QString&", "QString")
    return packed.replace(" ", "")


@functools.cache
def _entries() -> dict[str, dict]:
    return json.loads(CONTRACT_PATH.read_text(encoding="utf-8"))["classes"]


def list_known_classes() -> frozenset[str]:
    return frozenset(_entries())


@functools.cache
def get_class_contract(name: str) -> ClassContract | None:
    """Return the contract of a class, with QWidget's members for a widget; None for a class that is not listed."""
    entry = _entries().get(name)
    if entry is None:
        return None
    own = ClassContract(
        name,
        {key: (value[0], value[1]) for key, value in entry["properties"].items()},
        frozenset(entry["python_members"]),
        frozenset(entry["signals"]),
        frozenset(entry["slots"]),
    )
    if entry["widget"] and name != "QWidget":
        base = get_class_contract("QWidget")
        assert base is not None
        own = own.merged(base)
    return own
