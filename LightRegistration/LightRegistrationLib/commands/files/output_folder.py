"""The folder of a result: written to a staging folder and moved into place when it is complete."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...core.errors import InputError, make_write_error
from ...core.report.definition import Report
from .json_files import write_json
from .path_errors import explain, report_path_errors
from .private_folder import UNFINISHED, make_parents, make_private_folder, remove_abandoned_folders

TRANSFORM_FILE = "transform.h5"
INVERSE_FILE = "inverse.h5"
WARPED_FILE = "warped.nii.gz"
WARPED_SEGMENTATION_FILE = "warped_segmentation.nii.gz"
REPORT_FILE = "report.json"
PAGE_FILE = "report.html"
THUMBNAIL_FILE = "thumbnail.png"
VIEWS_FOLDER = "views"
_IMAGE_FILES = (WARPED_FILE, WARPED_SEGMENTATION_FILE)
RESULT_ENTRIES = (
    REPORT_FILE,
    PAGE_FILE,
    THUMBNAIL_FILE,
    TRANSFORM_FILE,
    INVERSE_FILE,
    *_IMAGE_FILES,
    *(name.removesuffix(".gz") for name in _IMAGE_FILES),
    VIEWS_FOLDER,
)
"""The entries of a result. The report is removed first and added last: a folder with a report is complete."""


def check_output(output: Path, inputs: Sequence[Path], force: bool, entries: Sequence[str] = RESULT_ENTRIES) -> None:
    """Raise InputError if writing to `output` would damage an input or an older file.

    force: an earlier result may be replaced. entries: what an earlier result consists of.
    """
    with report_path_errors(output):
        target = output.resolve()
        exists, is_filled = target.exists(), _is_filled(target, apart_from=f".{target.name}.unfinished-")
    if exists and not target.is_dir():
        raise InputError(f"{output}: the output is a folder, but this is a file; choose another name.")
    if is_filled and not force:
        raise InputError(f"{output}: the folder is not empty; choose another one or add --force.")
    for path in inputs:
        source = path.resolve()
        if target == source or source in target.parents:
            raise InputError(f"{output}: the output lies in the input {path}; choose another folder.")
        if any(source == target / name or target / name in source.parents for name in entries):
            raise InputError(f"{path}: the new result would replace this input; choose another output folder.")


@contextlib.contextmanager
def staging_folder(output: Path, entries: Sequence[str] = RESULT_ENTRIES) -> Iterator[Path]:
    """Yield a new folder to write into; at the end of the block its content is moved to `output`.

    A folder that does not exist yet appears as a whole. In an existing one the `entries` are replaced and other files
    stay; the first entry is removed first and added last. If the block fails, `output` is unchanged. Raises InputError
    if nothing can be written, and if another program has written to a folder that was missing or empty at the start.
    """
    target = output.resolve()
    prefix = f".{target.name}.unfinished-"
    new_parents: list[Path] = []
    staging = target
    lock: int | None = None
    try:
        new_parents = make_parents(target.parent)
        parent = _choose_parent(target)
        remove_abandoned_folders(parent, prefix)
        was_empty = not _is_filled(target)
        staging, lock = make_private_folder(parent, prefix)
        UNFINISHED[staging] = new_parents
        yield staging
        if was_empty and _is_filled(target, apart_from=prefix):
            raise InputError(f"{output}: another program has written there meanwhile; choose another folder.")
        _move_into_place(staging, target, entries)
        new_parents = []
    except InputError as error:
        if staging == target or str(staging) not in str(error):
            raise
        # The user knows the output, not the folder that is removed now.
        raise type(error)(str(error).replace(str(staging), str(output))) from error
    except OSError as error:
        raise make_write_error(output, error, explain(error)) from error
    finally:
        UNFINISHED.pop(staging, None)
        if staging != target:
            shutil.rmtree(staging, ignore_errors=True)
        if lock is not None:
            os.close(lock)
        for folder in new_parents:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _is_filled(folder: Path, apart_from: str = "") -> bool:
    """Whether a folder has an entry whose name does not start with the prefix `apart_from`."""
    if not folder.is_dir():
        return False
    return any(not (apart_from and path.name.startswith(apart_from)) for path in folder.iterdir())


def write_report(report: Report, folder: Path) -> None:
    """Write report.json: valid JSON, one value in a line."""
    write_json(folder / REPORT_FILE, report)


def _choose_parent(target: Path) -> Path:
    """Return the folder for the staging folder: beside the target, or inside it if its parent is on another disk."""
    if not target.exists():
        return target.parent
    same_disk = target.stat().st_dev == target.parent.stat().st_dev
    return target.parent if same_disk and os.access(target.parent, os.W_OK) else target


def _read_umask() -> int:
    """Return which permissions new files of this user lack; the system tells it only when it is set."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _move_into_place(staging: Path, target: Path, entries: Sequence[str]) -> None:
    if not target.exists():
        staging.chmod(0o777 & ~_read_umask())
        staging.rename(target)
        return
    old_folder = staging / ".earlier"
    old_folder.mkdir()
    report_last = sorted((p for p in staging.iterdir() if p != old_folder), key=lambda p: p.name == entries[0])
    old_entries = [target / name for name in entries if (target / name).exists()]
    moves = [(path, old_folder / path.name) for path in old_entries]
    moves += [(path, target / path.name) for path in report_last]
    moved: list[tuple[Path, Path]] = []
    try:
        for source, destination in moves:
            source.rename(destination)
            moved.append((source, destination))
    except BaseException:
        for source, destination in reversed(moved):
            destination.rename(source)
        raise
