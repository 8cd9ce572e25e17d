"""The folder of the user's own models; models are added and removed as a whole, never in part."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError, ModelError
from .cards import (
    BUNDLED_MODELS_FOLDER,
    CARD_FILE,
    WEIGHTS_FILE,
    ModelCard,
    get_user_models_folder,
    list_cards,
    read_card,
    resolve_shared_weights,
)
from .registry import load_student

RESERVED_NAMES = ("auto", "list", "show", "verify", "add", "remove")


def add_model(source: Path, *, replace: bool = False) -> ModelCard:
    """Copy a model folder into the user's models folder (`core.models.cards.get_user_models_folder`); returns its card.

    Before anything is changed, the card, the hash and the name are checked and the network is loaded. replace: replace
    a model with that name; a bundled one is used again when the added one is removed. Raises ModelError, or InputError
    if the folder cannot be written.
    """
    source = source.resolve()
    card = read_card(source)
    _check_name(card.name)
    cards = list_cards()
    with _name_errors(source):
        load_student(resolve_shared_weights(card, cards))
    taken = get_user_models_folder() / card.name
    if not replace and (taken.exists() or card.name in cards):
        kind = "an added" if taken.exists() else "a bundled"
        raise ModelError(f"There is {kind} model '{card.name}' already: rename the folder, or --replace that model.")
    _check_dependents(card.name, None if card.weights_of else card.sha256)
    with _name_errors(get_user_models_folder()):
        _copy_into_place(source, taken)
    return list_cards()[card.name]


def remove_model(name: str) -> None:
    """Remove an added model. Raises ModelError for other models, and if another model uses its weights."""
    _check_name(name)
    folder = get_user_models_folder() / name
    if not folder.is_dir():
        if (BUNDLED_MODELS_FOLDER / name).is_dir():
            raise ModelError(f"The model '{name}' is bundled; only models that were added can be removed.")
        added = ", ".join(sorted(card.name for card in list_cards((get_user_models_folder(),)).values())) or "none"
        raise ModelError(f"No model '{name}' was added (added: {added}).")
    _check_dependents(name, None)
    with _name_errors(folder):
        temporary = _make_temporary_folder(folder)
        folder.rename(temporary / name)
        shutil.rmtree(temporary)


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name in RESERVED_NAMES:
        raise ModelError(
            f"'{name}' cannot be a model's name: rename its folder, with letters, digits, '.', '-' and '_', and not to "
            f"{', '.join(RESERVED_NAMES)}."
        )


def _check_dependents(name: str, sha256: str | None) -> None:
    """Raise ModelError if other models share the weights of this one; sha256: of the new weights, None if removed."""
    dependents = [
        c.name for c in list_cards().values() if c.weights_of == name and c.name != name and c.sha256 != sha256
    ]
    if dependents:
        raise ModelError(f"{', '.join(dependents)} shares the weights of '{name}': remove that model first.")


def _copy_into_place(source: Path, target: Path) -> None:
    """Copy to a temporary folder, check the copy, and exchange by renaming, so that no partial model is ever found."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _make_temporary_folder(target)
    try:
        new, old = temporary / target.name, temporary / "old"
        new.mkdir()
        for name in (CARD_FILE, WEIGHTS_FILE):
            if (source / name).is_file():
                shutil.copyfile(source / name, new / name)
        copied = read_card(new)
        if copied.weights_of is None:
            copied.check_weights()
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    finally:
        shutil.rmtree(temporary)


def _make_temporary_folder(folder: Path) -> Path:
    """Make a folder on the same disk that is not searched for models."""
    return Path(tempfile.mkdtemp(prefix=f".{folder.name}-{os.getpid()}-", dir=folder.parent))


@contextlib.contextmanager
def _name_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename or path}: {error.strerror or error}.") from error
