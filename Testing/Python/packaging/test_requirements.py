"""The exact versions of requirements.txt have their hashes in requirements.lock."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
WITHOUT_HASHES = {"torch"}


def read_versions(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    found = (re.match(r"([\w.-]+)==([^\s;\\]+)", line) for line in lines)
    return {re.sub(r"[-_.]+", "-", match[1]).lower(): match[2] for match in found if match}


def test_all_requirements_are_exact() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#") and "==" not in line] == []


def test_the_lock_file_has_the_versions_of_the_requirements() -> None:
    wanted = read_versions("requirements.txt")
    assert len(wanted) > 50
    assert set(wanted) >= WITHOUT_HASHES
    assert read_versions("requirements.lock") == {n: v for n, v in wanted.items() if n not in WITHOUT_HASHES}


def test_each_locked_package_has_hashes_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.findall(r"(?m)^([\w.-]+)==.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)+", text)
    assert len(entries) == len(read_versions("requirements.lock"))
    assert "://" not in text
