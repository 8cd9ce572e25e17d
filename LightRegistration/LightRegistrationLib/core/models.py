"""Bundled and added models: found by their cards, checked by their hash, loaded once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load as load_tensors

from .cards import DEFAULT_FOLDER, ModelCard, find_card, list_cards
from .cascade import CascadeConfig, RecursiveCascade
from .errors import ModelError
from .intensity import IntensityRule
from .network_grid import GridRule

Config = TypeVar("Config")


@dataclass(frozen=True, eq=False)
class Student:
    """A model ready to run: its card, how images are prepared for it, and the network with its weights."""

    card: ModelCard
    network: RecursiveCascade
    grid: GridRule
    intensity: IntensityRule


class ModelRegistry:
    """The models in one or more folders; each is loaded at its first use and kept."""

    def __init__(self, folders: tuple[Path, ...] = (DEFAULT_FOLDER,)) -> None:
        self.cards = list_cards(folders)
        self._loaded: dict[str, Student] = {}

    def names(self) -> list[str]:
        """Names of all models, sorted."""
        return list(self.cards)

    def card(self, name: str) -> ModelCard:
        """The card of a model; `auto` is the first one. Raises ModelError that lists the known names."""
        return find_card(name, self.cards)

    def load(self, name: str) -> Student:
        """The student of a model, its weights checked against the card. Raises ModelError."""
        card = self.card(name)
        if card.name not in self._loaded:
            self._loaded[card.name] = load_student(card)
        return self._loaded[card.name]


def load_student(card: ModelCard) -> Student:
    """Build the student that a card describes and load its weights, checked by hash, name and shape."""
    card.check_weights()
    network = RecursiveCascade(_configured(CascadeConfig, card.network, card))
    weights = {name: tensor.float() for name, tensor in load_tensors(card.weights_file.read_bytes()).items()}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"Model '{card.name}': the weights do not fit its network ({reason}).") from error
    network = network.eval().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    grid = _configured(GridRule, card.grid, card)
    return Student(card, network, grid, _configured(IntensityRule, card.intensity, card))


def _configured(kind: type[Config], values: Mapping[str, Any], card: ModelCard) -> Config:
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ModelError(f"Model '{card.name}': its card is wrong ({error}).") from error
