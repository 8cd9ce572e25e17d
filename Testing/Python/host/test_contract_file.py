"""Our contract file against the full listing of a running Slicer, and the stand-ins against the contract."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest

from slicer_host.contract import CONTRACT_PATH

KEYS = ("properties", "python_members", "signals", "slots")


def contract():
    return json.loads(CONTRACT_PATH.read_text(encoding="utf-8"))["classes"]


@pytest.fixture(scope="module")
def full_listing():
    path = os.environ.get("SLICER_QT_API")
    if not path:
        pytest.skip("SLICER_QT_API does not name the full API listing: the contract file is NOT checked against it")
    return json.loads(Path(path).read_text(encoding="utf-8"))


def test_it_is_a_subset_of_the_full_listing(full_listing):
    for name, entry in contract().items():
        original = full_listing["classes"][name]
        assert entry["widget"] == original["widget"]
        assert entry["properties"].items() <= original["properties"].items()
        for key in KEYS[1:]:
            assert set(entry[key]) <= set(original[key]), (name, key)


def test_it_has_all_members_that_python_sees(full_listing):
    from slicer_host.contract import get_class_contract

    for name in contract():
        reduced = get_class_contract(name)
        seen = {m for m in full_listing["classes"][name]["python_members"] if not m.startswith("_q_")}
        assert {m for m in seen if not reduced.has(m)} == set(), name


def test_it_equals_the_output_of_the_script(full_listing):
    spec = importlib.util.spec_from_file_location("reduce_contract", CONTRACT_PATH.parent / "reduce_contract.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.reduce_listing(full_listing)["classes"] == contract()


def test_it_stays_small():
    assert CONTRACT_PATH.stat().st_size < 150_000
    assert not any(slot.startswith("_q_") for entry in contract().values() for slot in entry["slots"])


def test_every_stand_in_has_the_signals_of_its_class(slicer_host):
    from slicer_host.contract import get_bare_name, get_class_contract, list_known_classes
    from slicer_host.exports import stand_ins

    missing = {
        f"{name}.{get_bare_name(signal)}"
        for name in stand_ins.keys() & list_known_classes()
        for signal in get_class_contract(name).signals
        if not hasattr(stand_ins[name], get_bare_name(signal))
    }
    assert missing == set()
