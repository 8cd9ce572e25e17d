"""One file as a result: written aside and moved into place when it is complete."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...core.errors import InputError
from .path_errors import explain, report_path_errors
from .private_folder import UNFINISHED, make_parents, make_private_folder, remove_abandoned_folders


def check_output_file(output: Path, inputs: Sequence[Path], force: bool) -> None:
    """Raise InputError if writing the file would damage an input or an older file. force: that file may be replaced."""
    with report_path_errors(output):
        target = output.resolve()
        exists, is_file = target.exists(), target.is_file()
    if exists and not is_file:
        raise InputError(f"{output}: the output is a file, but this is a folder; choose another name.")
    for path in inputs:
        source = path.resolve()
        if target == source or source in target.parents:
            raise InputError(f"{output}: the output would replace the input {path}; choose another name.")
    if exists and not force:
        raise InputError(f"{output}: the file exists already; choose another name or add --force.")


@contextlib.contextmanager
def staging_file(output: Path) -> Iterator[Path]:
    """Yield a path of the same name to write to; at the end of the block the file is moved to `output`.

    If the block fails, `output` is unchanged. Raises InputError if it cannot be written.
    """
    target = output.resolve()
    prefix = f".{target.name}.unfinished-"
    new_parents: list[Path] = []
    folder: Path | None = None
    lock: int | None = None
    try:
        new_parents = make_parents(target.parent)
        remove_abandoned_folders(target.parent, prefix)
        folder, lock = make_private_folder(target.parent, prefix)
        UNFINISHED[folder] = new_parents
        yield folder / target.name
        (folder / target.name).replace(target)
        new_parents = []
    except InputError as error:
        if folder is None or str(folder) not in str(error):
            raise
        # The user knows the output, not the folder that is removed now.
        raise InputError(str(error).replace(str(folder / target.name), str(output))) from error
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({explain(error)}).") from error
    finally:
        if folder is not None:
            UNFINISHED.pop(folder, None)
            shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)
        for parent in new_parents:
            with contextlib.suppress(OSError):
                parent.rmdir()
