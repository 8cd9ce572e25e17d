"""The folder of a result: made aside, moved into place when it is complete, so that nobody ever finds half of one."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...core.errors import InputError
from ...core.report.definition import Report
from .path_errors import report_path_errors

TRANSFORM_FILE = "transform.h5"
WARPED_FILE = "warped.nii.gz"
WARPED_SEGMENTATION_FILE = "warped_segmentation.nii.gz"
REPORT_FILE = "report.json"
VIEWS_FOLDER = "views"
_IMAGE_FILES = (WARPED_FILE, WARPED_SEGMENTATION_FILE)
RESULT_ENTRIES = (
    REPORT_FILE,
    TRANSFORM_FILE,
    *_IMAGE_FILES,
    *(name.removesuffix(".gz") for name in _IMAGE_FILES),
    VIEWS_FOLDER,
)
"""What a result consists of. The report is taken away first and put there last: where it is, the result is whole."""


def check_output(output: Path, inputs: Sequence[Path], force: bool, entries: Sequence[str] = RESULT_ENTRIES) -> None:
    """Raise InputError unless a result may be written to `output` without harm to the inputs or to older files."""
    with report_path_errors(output):
        target = output.resolve()
        exists, holds_something = target.exists(), _holds_something(target)
    if exists and not target.is_dir():
        raise InputError(f"{output}: the output is a folder, but this is a file; choose another name.")
    if holds_something and not force:
        raise InputError(f"{output}: the folder is not empty; choose another one or add --force.")
    for path in inputs:
        source = path.resolve()
        if target == source or source in target.parents:
            raise InputError(f"{output}: the output lies in the input {path}; choose another folder.")
        if any(source == target / name or target / name in source.parents for name in entries):
            raise InputError(f"{path}: the new result would replace this input; choose another output folder.")


@contextlib.contextmanager
def staging_folder(output: Path, entries: Sequence[str] = RESULT_ENTRIES) -> Iterator[Path]:
    """Give a new folder to write into; at the end of the block its content becomes that of `output`.

    A folder that does not exist yet appears as a whole. In one that exists the `entries` are exchanged, other files
    stay. If the block fails, everything is as it was before. Raises InputError where nothing can be written, and where
    a folder that was empty or missing is not so any more at the end.
    """
    target = output.resolve()
    prefix = f".{target.name}.unfinished-"
    made: list[Path] = []
    staging = target
    try:
        was_free = not _holds_something(target)
        made = _make_parents(target.parent)
        staging = _home(target) / f"{prefix}{secrets.token_hex(4)}"
        staging.mkdir()
        yield staging
        if was_free and _holds_something(target, apart_from=prefix):
            raise InputError(f"{output}: another program has written there meanwhile; choose another folder.")
        _publish(staging, target, entries)
        made = []
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror or error}).") from error
    finally:
        if staging != target:
            shutil.rmtree(staging, ignore_errors=True)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _holds_something(folder: Path, apart_from: str = "") -> bool:
    """Whether a folder has an entry, apart from those whose names start with a prefix."""
    if not folder.is_dir():
        return False
    return any(not (apart_from and path.name.startswith(apart_from)) for path in folder.iterdir())


def write_report(report: Report, folder: Path) -> None:
    """Write report.json: valid JSON, one value per line, readable by people too."""
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / REPORT_FILE).write_text(text + "\n", encoding="utf-8")


def _make_parents(folder: Path) -> list[Path]:
    """Make a folder and what it lies in; returns what was made, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _home(target: Path) -> Path:
    """Where to write aside: beside the target, so that it is not touched; inside it where beside is another disk."""
    if not target.exists():
        return target.parent
    same_disk = target.stat().st_dev == target.parent.stat().st_dev
    return target.parent if same_disk and os.access(target.parent, os.W_OK) else target


def _publish(staging: Path, target: Path, entries: Sequence[str]) -> None:
    if not target.exists():
        staging.rename(target)
        return
    earlier = staging / ".earlier"
    earlier.mkdir()
    report_last = sorted((p for p in staging.iterdir() if p != earlier), key=lambda p: p.name == REPORT_FILE)
    old = [target / name for name in entries if (target / name).exists()]
    moves = [(path, earlier / path.name) for path in old]
    moves += [(path, target / path.name) for path in report_last]
    done: list[tuple[Path, Path]] = []
    try:
        for source, destination in moves:
            source.rename(destination)
            done.append((source, destination))
    except BaseException:
        for source, destination in reversed(done):
            destination.rename(source)
        raise
