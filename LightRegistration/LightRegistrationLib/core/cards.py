"""Model cards: what a model is, read and checked without torch, so that Slicer can list models at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ModelError

DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / "Resources" / "Models"
CARD_FILE = "card.json"
WEIGHTS_FILE = "weights.safetensors"


@dataclass(frozen=True)
class ModelCard:
    """A model's card.

    name, title, modality (`MRI` or `CT`), summary: for the list. network, grid, intensity: how the student is built and
    fed (see `core.cascade.CascadeConfig`, `GridRule`, `IntensityRule`). sha256: of the weights file. details: the rest
    (data, license, steps, seed, results, limits), as written.
    """

    name: str
    title: str
    modality: str
    summary: str
    sha256: str
    network: Mapping[str, Any]
    grid: Mapping[str, Any]
    intensity: Mapping[str, Any]
    folder: Path
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def weights_file(self) -> Path:
        """Where the weights are."""
        return self.folder / WEIGHTS_FILE

    def check_weights(self) -> None:
        """Raise ModelError unless the weights file is there and is the one that the card describes."""
        if not self.weights_file.is_file():
            raise ModelError(f"Model '{self.name}': {self.weights_file} is missing; install the extension again.")
        found = hashlib.sha256(self.weights_file.read_bytes()).hexdigest()
        if found != self.sha256:
            raise ModelError(
                f"Model '{self.name}': {self.weights_file} is damaged or was exchanged (SHA-256 {found[:12]}…, "
                f"the card says {self.sha256[:12]}…); install the extension again."
            )


def read_card(folder: Path) -> ModelCard:
    """Read the card of a model folder. Raises ModelError that names the file and what is wrong with it."""
    file = folder / CARD_FILE
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ModelError(f"{file}: cannot be read as a model card ({error}).") from error
    required = ("title", "modality", "summary", "sha256", "network", "grid", "intensity")
    missing = [key for key in required if key not in values]
    if missing:
        raise ModelError(f"{file}: the model card lacks {', '.join(missing)}.")
    known = {key: values.pop(key) for key in required}
    return ModelCard(name=folder.name, folder=folder, details=values, **known)


def list_cards(folders: tuple[Path, ...] = (DEFAULT_FOLDER,)) -> dict[str, ModelCard]:
    """The cards of all models in the folders, by name, sorted; a later folder's model replaces an earlier one's."""
    found: dict[str, ModelCard] = {}
    for folder in folders:
        for file in sorted(folder.glob(f"*/{CARD_FILE}")):
            found[file.parent.name] = read_card(file.parent)
    return dict(sorted(found.items()))


def find_card(name: str, cards: Mapping[str, ModelCard]) -> ModelCard:
    """The card of a model; `auto` is the first one. Raises ModelError that lists the known names."""
    if not cards:
        raise ModelError("No model is installed; install the extension again.")
    if name == "auto":
        return next(iter(cards.values()))
    if name not in cards:
        raise ModelError(f"Unknown model '{name}': use auto or one of {', '.join(cards)}.")
    return cards[name]
