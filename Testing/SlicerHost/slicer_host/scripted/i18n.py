"""``slicer.i18n``: translation through the application, with the context taken from the calling file."""

from __future__ import annotations

import inspect
from pathlib import Path

import slicer


def translate(context: str, text: str) -> str:
    return slicer.app.translate(context, text)


def getContext(source_file: str) -> str:
    """Return the file name without ending; inside a package, with the package's name in front."""
    path = Path(source_file)
    prefix = f"{path.parent.name}." if (path.parent / "__init__.py").exists() else ""
    return prefix + path.stem


def tr(text: str) -> str:
    """Translate ``text``; raises TypeError for anything but a str, as Qt does."""
    if not isinstance(text, str):
        raise TypeError(f"only str can be translated, got {text!r}")
    caller = inspect.currentframe().f_back
    return translate(getContext(caller.f_code.co_filename), text)
