"""The benchmarks import each other without a circle, imports inside functions included."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from .conftest import FOLDER


def module_name(file: Path) -> str:
    parts = file.relative_to(FOLDER).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(file: Path, known: set[str]) -> set[str]:
    """The benchmark modules that a file imports."""
    package = ".".join(file.relative_to(FOLDER).parts[:-1])
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, [package if node.level else "", node.module or ""]))
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found & known


def graph() -> dict[str, set[str]]:
    files = {module_name(file): file for file in FOLDER.rglob("*.py")}
    return {name: imports_of(file, set(files)) - {name} for name, file in files.items()}


def test_no_circle():
    found = graph()
    assert {"peers.method", "peers.settings"} <= found["peers.registry"]
    assert "compare.plan" in found["comparison"]
    list(TopologicalSorter(found).static_order())


def test_a_circle_would_be_found():
    found = graph()
    found["peers.method"] |= {"peers.registry"}
    with pytest.raises(CycleError):
        list(TopologicalSorter(found).static_order())
