"""The `models` command: its actions, and the tables and cards that it prints."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import InputError, ModelError
from ...core.models.cards import Cards, ModelCard, find_card, get_user_models_folder, list_cards
from ...core.models.coverage import Coverage
from ..register.options import parse_path
from ..train.options import add_export
from . import help_texts as texts

_MAX_HEADER_BYTES = 10_000_000

ACTIONS = ("list", "show", "verify", "add", "remove", "export")


def add_models(commands: Any) -> None:
    """Add the command to the command line's parser."""
    parser = commands.add_parser(
        "models", help="list, show, check and add models", description=texts.MODELS, epilog=texts.MODELS_END
    )
    parser.set_defaults(run=lambda options: print(format_models_table(list_cards())))
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    listing = actions.add_parser("list", help="list the models (also without an action)", description=texts.LIST)
    listing.set_defaults(run=lambda options: print(format_models_table(list_cards())))
    show = actions.add_parser("show", help="show a model's card (also: models NAME)", description=texts.SHOW)
    show.add_argument("name", metavar="NAME")
    show.set_defaults(run=lambda options: print(format_card(find_card(options.name, list_cards()))))
    verify = actions.add_parser("verify", help="check that models are intact and work", description=texts.VERIFY)
    verify.add_argument("name", nargs="?", metavar="NAME", help="default: all models")
    verify.set_defaults(run=lambda options: _verify(options.name))
    add = actions.add_parser("add", help="add a model of your own", description=texts.ADD)
    add.add_argument("folder", type=parse_path, metavar="FOLDER", help="with card.json and weights.safetensors")
    add.add_argument("--replace", action="store_true", help="replace a model of the same name")
    add.set_defaults(run=lambda options: _add(options.folder, options.replace))
    remove = actions.add_parser("remove", help="remove a model that was added", description=texts.REMOVE)
    remove.add_argument("name", metavar="NAME")
    remove.set_defaults(run=lambda options: _remove(options.name))
    add_export(actions)


def expand_shorthand(arguments: Sequence[str]) -> list[str]:
    """Return the command line with `models NAME` expanded to `models show NAME`."""
    words = list(arguments)
    if words[:1] == ["models"] and len(words) > 1 and words[1] not in ACTIONS and not words[1].startswith("-"):
        words.insert(1, "show")
    return words


def format_models_table(cards: Cards) -> str:
    """Return one line for each model, then one for each damaged model."""
    rows: list[tuple[str, ...]] = [("NAME", "IMAGES", "PARAMETERS", "SIZE", "STEPS", "LICENSE", "FOR")]
    rows += [_list_columns(card) for card in cards.values()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
    damaged = (f"{name}  damaged: {reason}" for name, reason in cards.damaged.items())
    return "\n".join(map(_keep_printable, (*lines, *damaged)))


def _keep_printable(line: str) -> str:
    """Replace what a card from elsewhere could send to the terminal, such as other colors, by blanks."""
    return "".join(character if character.isprintable() else " " for character in line)


def _list_columns(card: ModelCard) -> tuple[str, ...]:
    training = card.details.get("training")
    steps = training.get("steps", "?") if isinstance(training, Mapping) else "?"
    purposes = "; ".join(entry.anatomy for entry in card.covers) or f"{card.title} (only if chosen by name)"
    mark = "" if card.is_bundled else " (added)"
    license_ = str(card.details.get("license", "?"))
    size = (_count_parameters(card), _format_size(card))
    return (card.name, card.modality, *size, str(steps), license_, purposes + mark)


def _count_parameters(card: ModelCard) -> str:
    """The number of weights, from the header of the weights file."""
    if not card.weights_file.is_file():
        return "damaged"
    try:
        with card.weights_file.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, _MAX_HEADER_BYTES)))
        tensors = [value for name, value in header.items() if name != "__metadata__"]
        count = sum(math.prod(tensor["shape"]) for tensor in tensors)
    except (OSError, ValueError, struct.error, LookupError, TypeError, AttributeError):
        return "damaged"
    return f"{count / 1e6:.2f} M"


def _format_size(card: ModelCard) -> str:
    if card.weights_of is not None:
        return f"as {card.weights_of}"
    if not card.weights_file.is_file():
        return "missing"
    return f"{card.weights_file.stat().st_size / 1e6:.1f} MB"


def format_card(card: ModelCard) -> str:
    """Return the whole card as text."""
    head = {"name": card.name, "title": card.title, "modality": card.modality, "summary": card.summary}
    covers = [_format_coverage(entry) for entry in card.covers] or "nothing: used only if chosen by name"
    details = {key: value for key, value in card.details.items() if key != "covers"}
    network = {"network": card.network, "grid": card.grid, "intensity": card.intensity}
    end = {"weights_sha256": card.sha256, "folder": str(card.folder)}
    return "\n".join(map(_keep_printable, _format_values({**head, "covers": covers, **details, **network, **end})))


def _format_coverage(entry: Coverage) -> str:
    ranges = [f"{name.replace('_', ' ')} {low:g} to {high:g}" for name, (low, high) in entry.ranges.items()]
    return ", ".join([f"{entry.modality}: {entry.anatomy}", *ranges])


def _format_values(values: Mapping[str, object]) -> list[str]:
    lines = []
    for key, value in values.items():
        title = key.replace("_", " ")
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            lines += [f"{title}:", *(f"  - {item}" for item in value)]
        elif isinstance(value, Mapping):
            lines += [f"{title}:", *("  " + line for line in _format_values(value))]
        else:
            lines.append(f"{title}: {value if isinstance(value, str) else json.dumps(value)}")
    return lines


def _verify(name: str | None) -> None:
    """Check one model or all; failures are raised together after all models were tried."""
    cards = list_cards()
    if name is not None:
        find_card(name, cards)
    names = [name] if name is not None else [*cards, *cards.damaged]
    if not names:
        raise ModelError("No model is installed; install the extension again.")
    # torch takes seconds to import: all checks that do not need it come before.
    from .verification import verify_model

    problems = []
    for model in names:
        try:
            print(f"{model}: {verify_model(find_card(model, cards))}", flush=True)
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise ModelError(" ".join(problems))


def _add(folder: Path, replace: bool) -> None:
    if not folder.is_dir():
        reason = "this is no folder" if folder.exists() else "there is no such folder"
        raise InputError(f"{folder}: {reason}; a model is a folder with card.json and weights.safetensors.")
    bundled = {card.name for card in list_cards().values() if card.is_bundled}
    from ...core.models.store import add_model

    card = add_model(folder, replace=replace)
    print(f"Added '{card.name}' to {get_user_models_folder()}.")
    if card.name in bundled:
        print(f"It is used instead of the bundled model '{card.name}', until it is removed.")
    if not card.covers:
        print("Its card has no `covers`: it is used only if chosen by name, never by `auto`.")


def _remove(name: str) -> None:
    from ...core.models.store import remove_model

    remove_model(name)
    print(f"Removed '{name}'." + (f" The bundled model '{name}' is used again." if name in list_cards() else ""))
