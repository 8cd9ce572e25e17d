"""The Python interpreter of the worker and the packages that it needs; nothing is installed without asking."""

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

from ...core.errors import InputError
from ..translation import translate

REQUIREMENTS = {"torch": "torch>=2.6", "safetensors": "safetensors>=0.4", "scipy": "scipy>=1.11"}
"""Import name -> requirement for pip. Slicer contains numpy."""

DOWNLOAD_MEGABYTES = {"torch": 200, "safetensors": 1, "scipy": 40}
"""Import name -> size of the download, rounded up, for the question to the user; PyTorch: the build for the CPU."""

GPU_BUILD_MEGABYTES = 3000
"""Size of the download of PyTorch with what it needs on a graphics card, rounded up."""

CPU_BUILDS = "https://download.pytorch.org/whl/cpu"
"""PyTorch's own index of builds for the CPU. On Linux, the general index holds the build for graphics cards."""


def find_python_executable() -> str:
    """Return the interpreter with the application's packages: PythonSlicer, or the present one outside of Slicer."""
    name = "PythonSlicer.exe" if os.name == "nt" else "PythonSlicer"
    launcher = Path(slicer.app.slicerHome) / "bin" / name
    return str(launcher) if launcher.exists() else sys.executable


def find_missing_packages() -> list[str]:
    """Return the import names that are not installed; only looks for files, because importing torch takes seconds."""
    return [name for name in REQUIREMENTS if importlib.util.find_spec(name) is None]


def ensure_packages() -> None:
    """Install missing packages if the user agrees.

    Raises InputError if the user does not agree, if the installation fails, and in testing mode, where no user can be
    asked.
    """
    missing = find_missing_packages()
    if not missing:
        return
    names = ", ".join("PyTorch" if name == "torch" else name for name in missing)
    if slicer.app.testingEnabled() or not slicer.util.confirmOkCancelDisplay(_ask_to_install(missing, names)):
        line = translate("LightRegistration", "Not installed, but needed for the registration: {names}.")
        raise InputError(line.format(names=names))
    logging.info("LightRegistration installs %s, as the user agreed", names)
    for name in missing:
        _install(name)
    importlib.invalidate_caches()
    if find_missing_packages():
        line = translate("LightRegistration", "Installing {names} failed: see the application log.")
        raise InputError(line.format(names=names))


def _ask_to_install(missing: list[str], names: str) -> str:
    extension_chooses = "torch" in missing and _find_pytorch_extension() is not None
    megabytes = sum(DOWNLOAD_MEGABYTES[name] for name in missing)
    size = translate("LightRegistration", "About {megabytes} MB are downloaded once.")
    gpu_size = translate(
        "LightRegistration",
        "About {megabytes} MB are downloaded once, or {gpu_megabytes} MB if Slicer's PyTorch extension finds a "
        "graphics card.",
    )
    question = translate(
        "LightRegistration",
        "The registration needs Python packages that are not installed yet: {names}.\n\n"
        "{size} Slicer does not respond during the installation. Install them now?",
    )
    gpu_megabytes = megabytes - DOWNLOAD_MEGABYTES["torch"] + GPU_BUILD_MEGABYTES
    size = gpu_size.format(megabytes=megabytes, gpu_megabytes=gpu_megabytes) if extension_chooses else size
    return question.format(names=names, size=size.format(megabytes=megabytes))


def list_pip_arguments(name: str) -> list[str]:
    """Return what pip is asked for: the requirement, and on Linux PyTorch's build for the CPU, as elsewhere."""
    if name == "torch" and sys.platform.startswith("linux"):
        return [REQUIREMENTS[name], "--index-url", CPU_BUILDS]
    return [REQUIREMENTS[name]]


def _install(name: str) -> None:
    try:
        torch_installer = _find_pytorch_extension() if name == "torch" else None
        if torch_installer is not None:
            version = REQUIREMENTS[name].removeprefix(name)
            torch_installer.installTorch(askConfirmation=False, torchVersionRequirement=version)
        else:
            slicer.util.pip_install(list_pip_arguments(name))
    # The exceptions of Slicer, pip, and light-the-torch; their own output is in the application log.
    except (RuntimeError, OSError, ImportError, subprocess.SubprocessError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        line = translate("LightRegistration", "Installing {name} failed: {reason}")
        raise InputError(line.format(name=name, reason=reason)) from error


def _find_pytorch_extension() -> Any:
    """Return the logic of the PyTorch extension, which chooses the build for the graphics card; None without it."""
    if importlib.util.find_spec("PyTorchUtils") is None:
        return None
    return importlib.import_module("PyTorchUtils").PyTorchUtilsLogic()
