"""``slicer.packaging``: tells what is installed; in testing mode, requests to install are only recorded."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
from packaging.requirements import Requirement


@dataclass(frozen=True)
class PackagingCall:
    """A call that would have changed the Python environment."""

    function: str
    requirements: tuple[str, ...]
    options: tuple[tuple[str, Any], ...] = ()


calls: list[PackagingCall] = []


def load_requirements(path: str | Path) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


def _requirements(wanted: str | Requirement | list) -> list[Requirement]:
    items = wanted if isinstance(wanted, (list, tuple)) else [wanted]
    return [item if isinstance(item, Requirement) else Requirement(item) for item in items]


def pip_check(req: str | Requirement | list) -> bool:
    """Return whether every requirement is installed in a suitable version."""
    return all(_is_satisfied(requirement) for requirement in _requirements(req))


def _is_satisfied(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def pip_ensure(
    requirements: str | Requirement | list,
    constraints: str | Path | None = None,
    skip_packages: list[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> list[str]:
    """Record the call without installing. Raises RuntimeError if a real Slicer would start pip."""
    wanted = _requirements(requirements)
    options = (("prompt_install", prompt_install), ("requester", requester))
    calls.append(PackagingCall("pip_ensure", tuple(map(str, wanted)), options))
    missing = [str(r) for r in wanted if not _is_satisfied(r)]
    if missing and not (skip_in_testing and slicer.app.testingEnabled()):
        raise RuntimeError(f"the host double installs nothing: {', '.join(missing)}")
    return []


def pip_install(requirements: str | list[str], **options: Any) -> list[str]:
    calls.append(PackagingCall("pip_install", tuple(map(str, _requirements(requirements))), tuple(options.items())))
    completed: Callable[[int], None] | None = options.get("completedCallback")
    if completed is not None:
        completed(0)
    return []


def pip_uninstall(requirements: str | list[str], **options: Any) -> None:
    calls.append(PackagingCall("pip_uninstall", tuple(map(str, _requirements(requirements))), tuple(options.items())))


def isPipInstallInProgress() -> bool:
    return False
