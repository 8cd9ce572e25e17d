"""Bundled and added models: found by their cards, checked by their hash, loaded once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from ..errors import ModelError
from ..network.cascade import CascadeConfig, RecursiveCascade
from ..network.intensity import IntensityNormalization
from ..network.light_network import STRIDE
from ..network.settings import GridSettings
from ..refinement.settings import RefinementSettings
from .cards import ModelCard, find_card, list_cards

_WANTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
Config = TypeVar("Config")


@dataclass(frozen=True, eq=False)
class Student:
    """A model ready to run.

    Its card, the network with its weights, how images are prepared for it, and how what it finds is refined.
    """

    card: ModelCard
    network: RecursiveCascade
    grid: GridSettings
    intensity: IntensityNormalization
    refinement: RefinementSettings = field(default_factory=RefinementSettings)


class ModelRegistry:
    """The models in one or more folders (default: `core.models.cards.get_model_folders`); each is loaded once and kept."""

    def __init__(self, folders: tuple[Path, ...] | None = None) -> None:
        self._folders = folders
        self._loaded: dict[str, Student] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the cards again: models may have been added, changed or removed meanwhile."""
        self.cards: Mapping[str, ModelCard] = list_cards(self._folders)
        self._loaded = {name: student for name, student in self._loaded.items() if self.cards.get(name) == student.card}

    def names(self) -> list[str]:
        """Names of all models that can be used, sorted."""
        return list(self.cards)

    def card(self, name: str) -> ModelCard:
        """The card of a model, as `core.models.cards.find_card` finds it. Raises ModelError."""
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
    config, grid = _configured(CascadeConfig, "network", card), _configured(GridSettings, "grid", card)
    intensity = _configured(IntensityNormalization, "intensity", card)
    refinement = _configured(RefinementSettings, "refinement", card)
    _check_numbers(config, grid, refinement, card)
    network = RecursiveCascade(config)
    try:
        weights = {name: tensor.float() for name, tensor in load_tensors(card.weights_file.read_bytes()).items()}
        network.load_state_dict(weights)
    except (RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{card.weights_file}: the weights do not fit the card's network ({reason}).") from error
    network = network.eval().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return Student(card, network, grid, intensity, refinement)


def _configured(kind: type[Config], key: str, card: ModelCard) -> Config:
    """Build what a table of the card configures. Raises ModelError that names the file and the key."""
    values = getattr(card, key)
    known = get_type_hints(kind)
    for name, value in values.items():
        if name not in known:
            raise ModelError(f"{card.file}: {key}.{name}: unknown; use {', '.join(known)}.")
        if not _is_a(value, known[name]):
            raise ModelError(f"{card.file}: {key}.{name}: {_WANTED[known[name]]} is needed, not {value!r}.")
    try:
        return kind(**values)
    except ValueError as error:
        raise ModelError(f"{card.file}: {key}: {error}") from error


def _check_numbers(config: CascadeConfig, grid: GridSettings, refinement: RefinementSettings, card: ModelCard) -> None:
    """Raise ModelError for numbers that no network could run with."""
    for key, good, wanted in (
        ("network.head", config.head in ("half", "full"), "half or full"),
        ("network.squarings", 0 <= config.squarings <= 12, "a number from 0 to 12"),
        ("network.bound_voxels", config.bound_voxels > 0, "a number above 0"),
        ("grid.spacing_mm", grid.spacing_mm > 0, "a number above 0"),
        ("grid.min_voxels", grid.min_voxels > 0, "a number above 0"),
        ("grid.multiple", grid.multiple > 0 and grid.multiple % STRIDE == 0, f"a multiple of {STRIDE}"),
        ("grid.max_voxels", grid.max_voxels >= (2 * grid.multiple) ** 3, "the cube of twice `multiple`, or more,"),
        ("grid.margin_voxels", grid.margin_voxels >= 0, "0 or more"),
        ("refinement.update_voxels", refinement.update_voxels >= 0.7, "0.7 or more"),
        ("refinement.elastic_voxels", 0 <= refinement.elastic_voxels <= 4, "a number from 0 to 4"),
        ("refinement.window_voxels", 1 <= refinement.window_voxels <= 6, "a number from 1 to 6"),
        ("refinement.coarsest", refinement.coarsest in (1, 2, 4, 8), "1, 2, 4 or 8"),
    ):
        if not good:
            raise ModelError(f"{card.file}: {key}: {wanted} is needed.")


def _is_a(value: object, kind: type) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, (int, float) if kind is float else kind)
