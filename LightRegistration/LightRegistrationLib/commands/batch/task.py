"""One pair as a task: its key, what a process does with it, and what is kept of it."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ... import __version__
from ...core.errors import FullDiskError, InputError
from ...core.files.plain_file import hash_file
from ...core.models.cards import find_card, list_cards
from ...core.result.progress import ignore_progress
from ...core.result.settings import AUTO_MODEL, RegistrationSettings
from ..files.json_files import read_json
from ..files.output_folder import REPORT_FILE, RESULT_ENTRIES, staging_folder, write_report
from ..files.private_folder import remove_abandoned_folders
from ..register.request import FilesRequest, check_request

if TYPE_CHECKING:
    from ...core.models.registry import ModelRegistry

KEY_FILE = "batch.json"
"""Beside the report of a pair: what the result was made from."""
PAIR_ENTRIES = (*RESULT_ENTRIES, KEY_FILE)


@dataclass(frozen=True)
class Task:
    """One pair to register.

    folder: of the result. failure: the file that keeps the line of a failure. key: hash of all that the result depends
    on; the number of threads is not part of it. group: as the list has it, for the table.
    """

    name: str
    request: FilesRequest
    folder: Path
    failure: Path
    key: str
    group: str = ""
    what: ClassVar[str] = "pair"

    def is_done(self) -> bool:
        """Whether the result is there, from the same files, settings and model."""
        return (self.folder / REPORT_FILE).is_file() and read_json(self.folder / KEY_FILE).get("key") == self.key

    def read_failure(self) -> str | None:
        """Return the line with which the same work failed before; None if it did not."""
        known = read_json(self.failure)
        return known.get("line") if known.get("key") == self.key else None

    def with_threads(self, count: int) -> Task:
        """Return the same task on another number of threads."""
        settings = replace(self.request.settings, threads=count)
        return replace(self, request=replace(self.request, settings=settings))

    def write_failure(self, line: str) -> None:
        """Keep the line of a failure; what a process that was killed has left of the result is removed."""
        remove_abandoned_folders(self.folder.parent, f".{self.folder.name}.unfinished-")
        self.failure.parent.mkdir(parents=True, exist_ok=True)
        self.failure.write_text(json.dumps({"key": self.key, "line": line}) + "\n", encoding="utf-8")


def register_task(task: Task) -> str | None:
    """Register one pair in this process, and write its folder as a whole; returns the line of a failure, else None."""
    try:
        check_request(task.request)
        # What an earlier process that was killed has left is removed, and an older result replaced, in here.
        with staging_folder(task.folder, PAIR_ENTRIES) as folder:
            from ..register.call import register_into

            report = register_into(folder, task.request, ignore_progress, load_registry())
            (folder / KEY_FILE).write_text(json.dumps({"key": task.key}) + "\n", encoding="utf-8")
            write_report(report, folder)
    except FullDiskError:
        raise  # ends the batch: no other pair could be written
    except InputError as error:
        return str(error)
    return None


@functools.cache
def load_registry() -> ModelRegistry:
    """Return the models of this process, loaded once for all of its pairs."""
    from ...core.models.registry import ModelRegistry

    return ModelRegistry()


def make_hasher() -> Callable[[Path], str]:
    """Return a function that hashes the content of a file, or of the files of a folder, each once."""

    @functools.cache
    def compute_hash(path: Path) -> str:
        if not path.is_dir():
            return hash_file(path)
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return hashlib.sha256("".join(map(hash_file, files)).encode()).hexdigest()

    return compute_hash


def compute_key(request: FilesRequest, compute_hash: Callable[[Path], str]) -> str:
    """Compute the hash of all that a result depends on: files, settings, models, version. Raises OSError."""
    content = {
        "files": {role: compute_hash(path) for role, path in request.files.items()},
        "initial": str(request.initial) if request.initial_file is None else "",
        "outputs": [request.consistency, request.inverse, request.views, request.page, request.compress],
        **describe_program(request.settings),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def describe_program(settings: RegistrationSettings) -> dict[str, Any]:
    """Return what a result depends on beside its files: settings (threads apart), models, version of the program."""
    cards = list_cards()
    chosen = cards.values() if settings.model == AUTO_MODEL else [find_card(settings.model, cards)]
    return {
        "settings": {name: str(value) for name, value in asdict(settings).items() if name != "threads"},
        "models": sorted(card.sha256 for card in chosen),
        "version": __version__,
    }
