"""The registry of bundled and added models: found by their cards, checked by their hash, loaded once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

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

WholeNumbers = tuple[int, ...]
_WANTED: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    WholeNumbers: "a list of whole numbers",
}
Config = TypeVar("Config")


@dataclass(frozen=True, eq=False)
class Student:
    """A loaded model: its card, its network with the weights, and its settings from the card."""

    card: ModelCard
    network: RecursiveCascade
    grid: GridSettings
    intensity: IntensityNormalization
    refinement: RefinementSettings = field(default_factory=RefinementSettings)


class ModelRegistry:
    """The models in one or more folders (default: `core.models.cards.get_model_folders`), each loaded once."""

    def __init__(self, folders: tuple[Path, ...] | None = None) -> None:
        self._folders = folders
        self._loaded: dict[str, Student] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the cards again, since models may have been added, changed or removed."""
        self.cards: Mapping[str, ModelCard] = list_cards(self._folders)
        self._loaded = {name: student for name, student in self._loaded.items() if self.cards.get(name) == student.card}

    def names(self) -> list[str]:
        """Names of all models that can be used, sorted."""
        return list(self.cards)

    def card(self, name: str) -> ModelCard:
        """Find the card of a model (`core.models.cards.find_card`). Raises ModelError."""
        return find_card(name, self.cards)

    def load(self, name: str) -> Student:
        """Load a model, if it is not loaded yet, and check its weights. Raises ModelError."""
        card = self.card(name)
        if card.name not in self._loaded:
            self._loaded[card.name] = load_student(card)
        return self._loaded[card.name]


def load_student(card: ModelCard) -> Student:
    """Build the network of a card and load its weights, checked by hash, name and shape. Raises ModelError."""
    card.check_weights()
    config, grid, intensity, refinement = parse_tables(card)
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


def parse_tables(card: ModelCard) -> tuple[CascadeConfig, GridSettings, IntensityNormalization, RefinementSettings]:
    """Build the settings of a card's tables network, grid, intensity and refinement. Raises ModelError."""
    config, grid = _parse_table(CascadeConfig, "network", card), _parse_table(GridSettings, "grid", card)
    intensity = _parse_table(IntensityNormalization, "intensity", card)
    refinement = _parse_table(RefinementSettings, "refinement", card)
    _check_numbers(config, grid, refinement, card)
    return config, grid, intensity, refinement


def _parse_table(kind: type[Config], key: str, card: ModelCard) -> Config:
    """Build a settings value from a table of the card. Raises ModelError with the file and the wrong key.

    A card can set the plain fields of the value; groups of fields are the same for all models.
    """
    values = getattr(card, key)
    known = {name: hint for name, hint in get_type_hints(kind).items() if hint in _WANTED}
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
    """Raise ModelError for numbers with which no registration could run."""
    for key, good, wanted in (
        ("network.head", config.head in ("half", "full"), "half or full"),
        ("network.squarings", 0 <= config.squarings <= 12, "a number from 0 to 12"),
        ("network.bound_voxels", config.bound_voxels > 0, "a number above 0"),
        ("grid.spacing_mm", 0.001 <= grid.spacing_mm <= 100, "a number from 0.001 to 100"),
        ("grid.min_voxels", 0 < grid.min_voxels <= 1024, "a number from 1 to 1024"),
        ("grid.multiple", grid.multiple > 0 and grid.multiple % STRIDE == 0, f"a multiple of {STRIDE}"),
        ("grid.max_voxels", grid.max_voxels >= (2 * grid.multiple) ** 3, "the cube of twice `multiple`, or more,"),
        ("grid.margin_voxels", grid.margin_voxels >= 0, "0 or more"),
        ("grid.max_growth_percent", 0 <= grid.max_growth_percent <= 100, "a number from 0 to 100"),
        ("grid.max_voxels", grid.max_voxels <= 1024**3, "at most the cube of 1024"),
        ("refinement.spacing_mm", 0 <= refinement.spacing_mm <= 100, "a number from 0 to 100"),
        ("refinement.update_voxels", refinement.update_voxels >= 0.7, "0.7 or more"),
        ("refinement.elastic_voxels", 0 <= refinement.elastic_voxels <= 4, "a number from 0 to 4"),
        ("refinement.window_voxels", 1 <= refinement.window_voxels <= 6, "a number from 1 to 6"),
        ("refinement.coarse_steps", 1 <= refinement.coarse_steps <= 200, "a number from 1 to 200"),
        ("refinement.coarsest", refinement.coarsest in (1, 2, 4, 8), "1, 2, 4 or 8"),
        ("refinement.finest", 0.25 <= refinement.finest <= 1, "a number from 0.25 to 1"),
        ("refinement.min_headers_similarity", refinement.min_headers_similarity >= 0, "0 or more"),
        ("refinement.multimodal_update_voxels", refinement.multimodal_update_voxels >= 0.7, "0.7 or more"),
        (
            "refinement.multimodal_elastic_voxels",
            0 <= refinement.multimodal_elastic_voxels <= 4,
            "a number from 0 to 4",
        ),
    ):
        if not good:
            raise ModelError(f"{card.file}: {key}: {wanted} is needed.")


def _is_a(value: object, kind: Any) -> bool:
    if kind == WholeNumbers:
        return isinstance(value, list) and all(_is_a(item, int) for item in value)
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind is float:
        return isinstance(value, (int, float)) and abs(value) < math.inf
    return isinstance(value, kind)
