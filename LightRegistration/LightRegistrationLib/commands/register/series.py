"""The `--series` option: list the DICOM series of folders, or choose one."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import InputError

LIST_SERIES = "list"


def format_series(folder: Path) -> str:
    """Return one line for each DICOM series of a folder: number, description, size. Raises InputError."""
    if not folder.is_dir():
        return f"{folder}: a file, not a DICOM folder"
    # pydicom takes a moment to import.
    from ...scene.files.dicom import list_series

    return "\n".join([f"{folder}:", *(f"  {series.describe()}" for series in list_series(folder))])


def parse_series(text: str | None, fixed: Path, moving: Path) -> tuple[str | None, str | None]:
    """Return the series of the fixed and of the moving volume that an option chooses; None where it chooses none.

    text: one number or UID for the volumes that can have a series, or `fixed=NUMBER,moving=NUMBER`.
    """
    if text is None:
        return None, None
    if "=" not in text:
        chosen = [text if _can_have_series(path) else None for path in (fixed, moving)]
        if chosen == [None, None]:
            raise InputError(f"--series {text}: neither volume is a DICOM folder.")
        return chosen[0], chosen[1]
    choices: dict[str, str] = {}
    for part in text.split(","):
        role, _, number = (word.strip() for word in part.partition("="))
        if role not in ("fixed", "moving") or not number or role in choices:
            raise InputError(f"--series {text}: write a number, or fixed=NUMBER,moving=NUMBER.")
        choices[role] = number
    return choices.get("fixed"), choices.get("moving")


def _can_have_series(path: Path) -> bool:
    """Tell whether a path is a DICOM folder, or may be a single DICOM file."""
    return path.is_dir() or (path.is_file() and not path.name.lower().endswith((".nii", ".nii.gz", ".nrrd", ".mha")))
