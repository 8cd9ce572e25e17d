"""Exports a training state as a model folder: half-precision safetensors weights and a card with their hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save

from ..core.errors import InputError, ModelError
from ..core.models.cards import CARD_FILE, WEIGHTS_FILE, list_cards, parse_card
from ..core.models.registry import load_student, parse_tables
from .configuration import AnyStudentConfig, DistillationConfig
from .state import load_state


def check_export(config: AnyStudentConfig, file: Path) -> None:
    """Raise InputError, naming the configuration's file, if the cards that a run would export could not be used."""
    state = {"step": 0, "seconds": 0.0, "teacher_identity": {}}
    for name, card in _build_cards(config, state, b"").items():
        folder = Path(name)
        try:
            parse_tables(parse_card(card, folder))
        except ModelError as error:
            reason = str(error).removeprefix(f"{folder / CARD_FILE}: ")
            raise InputError(f"{file}: the model {name} could not be used: {reason}") from error


def export_model(state_file: Path, config: AnyStudentConfig, folder: Path) -> Path:
    """Write weights and card of a trained student to `folder`/<name>, and the cards of its variants beside it.

    Results in an earlier card are lost. Returns the folder of the model. Raises InputError if the state has no student,
    or (ModelError) if the written model cannot be loaded.
    """
    state = load_state(state_file)
    if "student" not in state:
        raise InputError(f"{state_file}: this state holds no student; a teacher is used in training only.")
    weights = save({name: tensor.half().contiguous() for name, tensor in _find_weights(state).items()})
    target = folder / config.name
    target.mkdir(parents=True, exist_ok=True)
    (target / WEIGHTS_FILE).write_bytes(weights)
    for name, card in _build_cards(config, state, weights).items():
        _write_card(card, folder / name)
    for name in (config.name, *config.variants):
        load_student(list_cards((folder,))[name])
    return target


def _find_weights(state: Mapping[str, Any]) -> dict[str, Any]:
    """The weights of the student, those that were averaged over the steps if the state has them."""
    prefix = "module."
    averaged = state.get("average", {})
    found = {name.removeprefix(prefix): tensor for name, tensor in averaged.items() if name.startswith(prefix)}
    return found or dict(state["student"])


def _write_card(card: Mapping[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD_FILE).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _build_cards(config: AnyStudentConfig, state: Mapping[str, Any], weights: bytes) -> dict[str, dict[str, Any]]:
    """The cards of a student and of its variants, by their names."""
    card = build_card(config, state, weights)
    shared = {key: value for key, value in card.items() if key not in config.card}
    cards = {config.name: card}
    for name, variant in config.variants.items():
        network = {**card["network"], **variant.network}
        tables = {"grid": variant.grid, "intensity": variant.intensity, "refinement": variant.refinement}
        cards[name] = {**variant.card, **shared, "network": network, **tables, "weights_of": config.name}
    return cards


def build_card(config: AnyStudentConfig, state: Mapping[str, Any], weights: bytes) -> dict[str, Any]:
    """The card of a student, from its configuration and its training state."""
    return {
        **config.card,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "network": {**config.student.to_dict(), **config.network},
        "grid": config.grid,
        "intensity": config.intensity,
        "refinement": config.refinement,
        "training": {
            "configuration": f"{config.name}.toml",
            "steps": state["step"],
            "steps_planned": sum(stage.steps for stage in config.stages),
            "seconds": round(state["seconds"]),
            "seed": config.seed,
            "stages": [asdict(stage) for stage in config.stages],
            **_origin(config, state),
        },
    }


def _origin(config: AnyStudentConfig, state: Mapping[str, Any]) -> dict[str, Any]:
    """What the student learned from besides images: the model it started from and its teacher."""
    notes = state.get("notes", {})
    origin: dict[str, Any] = {}
    if config.start:
        origin["start"] = {"model": config.start, "sha256": notes.get("start_sha256", "not noted")}
    if isinstance(config, DistillationConfig):
        origin["teacher"] = dict(state["teacher_identity"])
        origin["knowledge"] = asdict(config.knowledge)
        if config.knowledge.kind == "adversarial":
            origin["critic"] = asdict(config.critic)
        if "store" in notes:
            told = {name: notes[name] for name in ("untaught", "refreshed_from") if name in notes}
            origin["store"] = asdict(config.store) | told
    return origin
