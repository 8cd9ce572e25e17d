"""The user's own models: a folder that models are added to and removed from as a whole, never in part."""

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
    """Copy a model folder into the user's folder (`core.models.cards.get_user_models_folder`), where all find it; returns its card.

    All is checked before anything is changed: the card, the hash, that the network loads, that the name is free.
    replace: take the place of a model of that name; a bundled one comes back when the added one is removed.
    Raises ModelError, InputError where the folder cannot be written.
    """
    source = source.resolve()
    card = read_card(source)
    _check_name(card.name)
    cards = list_cards()
    with _errors_named(source):
        load_student(resolve_shared_weights(card, cards))
    taken = get_user_models_folder() / card.name
    if not replace and (taken.exists() or card.name in cards):
        kind = "an added" if taken.exists() else "a bundled"
        raise ModelError(f"There is {kind} model '{card.name}' already: rename the folder, or --replace that model.")
    _check_dependents(card.name, None if card.weights_of else card.sha256)
    with _errors_named(get_user_models_folder()):
        _copy_into_place(source, taken)
    return list_cards()[card.name]


def remove_model(name: str) -> None:
    """Remove a model that was added. Raises ModelError for others, and where another model uses its weights."""
    _check_name(name)
    folder = get_user_models_folder() / name
    if not folder.is_dir():
        if (BUNDLED_MODELS_FOLDER / name).is_dir():
            raise ModelError(f"The model '{name}' is bundled; only models that were added can be removed.")
        added = ", ".join(sorted(card.name for card in list_cards((get_user_models_folder(),)).values())) or "none"
        raise ModelError(f"No model '{name}' was added (added: {added}).")
    _check_dependents(name, None)
    with _errors_named(folder):
        aside = _beside(folder)
        folder.rename(aside / name)
        shutil.rmtree(aside)


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name in RESERVED_NAMES:
        raise ModelError(
            f"'{name}' cannot be a model's name: rename its folder, with letters, digits, '.', '-' and '_', and not to "
            f"{', '.join(RESERVED_NAMES)}."
        )


def _check_dependents(name: str, sha256: str | None) -> None:
    """Raise ModelError if models share the weights of this one and would not find them (sha256: the new weights)."""
    dependents = [
        c.name for c in list_cards().values() if c.weights_of == name and c.name != name and c.sha256 != sha256
    ]
    if dependents:
        raise ModelError(f"{', '.join(dependents)} shares the weights of '{name}': remove that model first.")


def _copy_into_place(source: Path, target: Path) -> None:
    """Copy aside, check the copy, and exchange by renaming, so that no half of a model is ever seen."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = _beside(target)
    try:
        new, old = aside / target.name, aside / "old"
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
        shutil.rmtree(aside)


def _beside(folder: Path) -> Path:
    """A new folder that is not looked at for models, on the same disk."""
    return Path(tempfile.mkdtemp(prefix=f".{folder.name}-{os.getpid()}-", dir=folder.parent))


@contextlib.contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename or path}: {error.strerror or error}.") from error
