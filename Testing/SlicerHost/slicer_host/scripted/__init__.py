"""Small implementations of Slicer's Python modules; with SLICER_SOURCE, Slicer's own files are used."""

from __future__ import annotations

import importlib
import os
import sys
import types
from pathlib import Path

import slicer

_STAND_INS = {
    "i18n": "i18n",
    "packaging": "packaging",
    "ScriptedLoadableModule": "scripted_loadable_module",
    "parameterNodeWrapper": "parameter_node_wrapper",
}


def slicer_source() -> Path | None:
    """Return the folder ``Base/Python/slicer`` below SLICER_SOURCE; raises FileNotFoundError if it does not exist."""
    root = os.environ.get("SLICER_SOURCE")
    if not root:
        return None
    folder = Path(root) / "Base" / "Python" / "slicer"
    if not (folder / "ScriptedLoadableModule.py").is_file():
        raise FileNotFoundError(f"SLICER_SOURCE={root}: no Base/Python/slicer/ScriptedLoadableModule.py in it")
    return folder


def install() -> bool:
    """Make ``slicer.ScriptedLoadableModule`` and its neighbors importable; True if they are Slicer's own files."""
    folder = slicer_source()
    if folder is not None:
        # After "import slicer", because that package imports every file on its path, which is too early for these.
        slicer.__path__.append(str(folder))
        return True
    for name, file_name in _STAND_INS.items():
        module = importlib.import_module(f"{__name__}.{file_name}")
        _publish(name, module)
    return False


def _publish(name: str, module: types.ModuleType) -> None:
    sys.modules[f"slicer.{name}"] = module
    setattr(slicer, name, module)
