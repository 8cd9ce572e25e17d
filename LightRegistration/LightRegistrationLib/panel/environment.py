"""Which Python runs the worker, and what it needs installed; nothing is installed without asking."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import slicer
import slicer.util
from slicer.i18n import tr as _

from ..core.errors import InputError

REQUIREMENTS = {"torch": "torch>=2.6", "safetensors": "safetensors>=0.4", "scipy": "scipy>=1.11"}
"""Import name -> what pip is asked for; numpy comes with Slicer."""


def python_executable() -> str:
    """The interpreter that shares the application's packages: PythonSlicer, or this one outside of Slicer."""
    name = "PythonSlicer.exe" if os.name == "nt" else "PythonSlicer"
    launcher = Path(slicer.app.slicerHome) / "bin" / name
    return str(launcher) if launcher.exists() else sys.executable


def find_missing_packages() -> list[str]:
    """Import names that are not installed; looks for files only, since importing torch takes seconds."""
    return [name for name in REQUIREMENTS if importlib.util.find_spec(name) is None]


def ensure_packages() -> None:
    """Install what is missing if the user agrees.

    Raises InputError if the user does not, if installing fails, and in testing mode, where nobody can be asked.
    """
    missing = find_missing_packages()
    if not missing:
        return
    names = ", ".join("PyTorch" if name == "torch" else name for name in missing)
    if slicer.app.testingEnabled() or not slicer.util.confirmOkCancelDisplay(_question(names)):
        raise InputError(_("Not installed, but needed for the registration: {names}.").format(names=names))
    logging.info("LightRegistration installs %s, as the user agreed", names)
    for name in missing:
        _install(name)
    importlib.invalidate_caches()
    if find_missing_packages():
        raise InputError(_("Installing {names} failed: see the application log.").format(names=names))


def _question(names: str) -> str:
    return _(
        "The registration needs Python packages that are not installed yet: {names}.\n\n"
        "They are downloaded once (PyTorch: up to some gigabytes). Slicer does not react meanwhile. Install them now?"
    ).format(names=names)


def _install(name: str) -> None:
    try:
        torch_installer = _pytorch_extension() if name == "torch" else None
        if torch_installer is not None:
            version = REQUIREMENTS[name].removeprefix(name)
            torch_installer.installTorch(askConfirmation=False, torchVersionRequirement=version)
        else:
            slicer.util.pip_install(REQUIREMENTS[name])
    # What Slicer, pip and light-the-torch raise when they fail; their own output is in the application log.
    except (RuntimeError, OSError, ImportError, subprocess.SubprocessError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(_("Installing {name} failed: {line}").format(name=name, line=line)) from error


def _pytorch_extension() -> Any:
    """The logic of the PyTorch extension, which picks the build that fits the graphics card; None if not there."""
    if importlib.util.find_spec("PyTorchUtils") is None:
        return None
    return importlib.import_module("PyTorchUtils").PyTorchUtilsLogic()
