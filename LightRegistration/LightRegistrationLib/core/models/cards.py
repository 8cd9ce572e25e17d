"""Model cards: the description of a model, read and checked without torch, so that Slicer lists models at once.

A model is a folder: its name is the model's, `card.json` describes it, `weights.safetensors` holds the weights.

Required keys of a card: `title`, `modality` (`MRI`, `CT` or `any`) and `summary`, for the user; `sha256` of the weights
file; three tables: `network` (fields of `core.network.cascade.CascadeConfig`), `grid` (fields of
`core.network.settings.GridSettings`) and `intensity` (fields of `core.network.intensity.IntensityNormalization`).

Optional keys: the table `refinement` (the plain fields of `core.refinement.settings.RefinementSettings`); `covers`, the
images that the model is for (`core.models.coverage`; a model without it is used only if it is chosen by name);
`weights_of`, the name of another model whose weights file this one shares (`sha256` is then that of the shared file);
`license` and `training.steps`, shown in lists. All other keys (data, results, limits ...) are kept as written and shown
with the card. Fields that a table leaves out have their defaults; a model with an unknown field is refused on loading.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import InputError, ModelError
from ..files.plain_file import hash_file, read_plain_text
from .coverage import MODALITIES, Coverage, parse_coverages

BUNDLED_MODELS_FOLDER = Path(__file__).resolve().parents[3] / "Resources" / "Models"
FOLDER_VARIABLE = "LIGHTREG_MODELS"
CARD_FILE = "card.json"
WEIGHTS_FILE = "weights.safetensors"
_TEXTS = ("title", "summary", "sha256")
_TABLES = ("network", "grid", "intensity")


@dataclass(frozen=True)
class ModelCard:
    """A model's card; the module's docstring explains the keys.

    folder: of the model. details: the keys that are only shown, as written. weights_folder: with `weights_of`, the
    folder of the model that has the weights file.
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
    covers: tuple[Coverage, ...] = ()
    refinement: Mapping[str, Any] = field(default_factory=dict)
    weights_of: str | None = None
    weights_folder: Path | None = None

    @property
    def file(self) -> Path:
        """The path of the card."""
        return self.folder / CARD_FILE

    @property
    def weights_file(self) -> Path:
        """The path of the weights."""
        return (self.weights_folder or self.folder) / WEIGHTS_FILE

    @property
    def is_bundled(self) -> bool:
        """Whether the model ships with the software."""
        return self.folder.parent == BUNDLED_MODELS_FOLDER

    def check_weights(self) -> None:
        """Raise ModelError unless the weights file exists and has the SHA-256 of the card."""
        advice = "install the extension again" if self.is_bundled else "add the model again"
        try:
            found = hash_file(self.weights_file)
        except InputError as error:
            raise ModelError(f"Model '{self.name}': {str(error).removesuffix('.')}; {advice}.") from error
        if found != self.sha256:
            raise ModelError(
                f"Model '{self.name}': {self.weights_file} is damaged or was exchanged (SHA-256 {found[:12]}…, "
                f"the card says {self.sha256[:12]}…); {advice}."
            )


@dataclass(frozen=True)
class Cards(Mapping[str, ModelCard]):
    """The cards of all models, by name, sorted.

    usable: the content of the mapping. damaged: the reason why a model cannot be used, by name; these are not in the
    mapping, but looking one up raises ModelError with the reason.
    """

    usable: Mapping[str, ModelCard]
    damaged: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> ModelCard:
        if name in self.damaged:
            raise ModelError(self.damaged[name])
        return self.usable[name]

    def __contains__(self, name: object) -> bool:
        return name in self.usable

    def __iter__(self) -> Iterator[str]:
        return iter(self.usable)

    def __len__(self) -> int:
        return len(self.usable)


def read_card(folder: Path) -> ModelCard:
    """Read the card of a model folder. Raises ModelError with the file and the wrong key."""
    file = folder / CARD_FILE
    try:
        text = read_plain_text(file, "card")
    except InputError as error:
        raise ModelError(str(error)) from error
    try:
        values = json.loads(text)
    except (RecursionError, ValueError) as error:
        raise ModelError(f"{file}: cannot be read as a model card ({error}).") from error
    return parse_card(values, folder)


def parse_card(values: Any, folder: Path) -> ModelCard:
    """Make the card of a model folder from what is in card.json. Raises ModelError with the file and the wrong key."""
    file = folder / CARD_FILE
    _check_keys(values, file)
    values = dict(values)
    covers = parse_coverages(values.get("covers", []), file)
    known = {key: values.pop(key) for key in (*_TEXTS, *_TABLES, "modality")}
    return ModelCard(
        name=folder.name,
        folder=folder,
        details=values,
        covers=covers,
        refinement=values.get("refinement", {}),
        weights_of=values.get("weights_of"),
        **known,
    )


def _check_keys(values: Any, file: Path) -> None:
    if not isinstance(values, dict):
        raise ModelError(f"{file}: cannot be read as a model card (it is not a JSON object).")
    missing = [key for key in ("title", "modality", "summary", "sha256", *_TABLES) if key not in values]
    if missing:
        raise ModelError(f"{file}: the model card lacks {', '.join(missing)}.")
    for key in (*_TEXTS, *(["weights_of"] if "weights_of" in values else [])):
        if not isinstance(values[key], str) or not values[key]:
            raise ModelError(f"{file}: {key}: text is needed.")
    for key in (*_TABLES, *(["refinement"] if "refinement" in values else [])):
        if not isinstance(values[key], dict):
            raise ModelError(f"{file}: {key}: a table is needed.")
    if values["modality"] not in MODALITIES:
        raise ModelError(f"{file}: modality: one of {', '.join(MODALITIES)} is needed.")
    if not re.fullmatch("[0-9a-f]{64}", values["sha256"]):
        raise ModelError(f"{file}: sha256: the 64 hexadecimal digits of the weights file's SHA-256 are needed.")


def get_user_models_folder() -> Path:
    """Return the folder of the user's own models; the environment variable LIGHTREG_MODELS replaces it."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "LightRegistration" / "Models"


def get_model_folders() -> tuple[Path, ...]:
    """Return the folders that are searched for models: the bundled models, then the user's own."""
    return BUNDLED_MODELS_FOLDER, get_user_models_folder()


def list_cards(folders: tuple[Path, ...] | None = None) -> Cards:
    """List the cards of all models in the folders (default: `get_model_folders`); a later folder takes precedence.

    A card that cannot be used is listed as damaged and does not affect the others. Folders that begin with a dot are
    skipped.
    """
    usable: dict[str, ModelCard] = {}
    damaged: dict[str, str] = {}
    for folder in get_model_folders() if folders is None else folders:
        for file in sorted(folder.glob(f"[!.]*/{CARD_FILE}")):
            name = file.parent.name
            usable.pop(name, None)
            damaged.pop(name, None)
            try:
                usable[name] = read_card(file.parent)
            except ModelError as error:
                damaged[name] = str(error)
    return _resolve_all_shared_weights(dict(sorted(usable.items())), damaged)


def _resolve_all_shared_weights(usable: dict[str, ModelCard], damaged: dict[str, str]) -> Cards:
    resolved: dict[str, ModelCard] = {}
    for name, card in usable.items():
        try:
            resolved[name] = resolve_shared_weights(card, Cards(usable, damaged))
        except ModelError as error:
            damaged[name] = str(error)
    return Cards(resolved, dict(sorted(damaged.items())))


def resolve_shared_weights(card: ModelCard, cards: Cards) -> ModelCard:
    """Set the weights folder of a card with `weights_of`. Raises ModelError if that model cannot be used for it."""
    if card.weights_of is None:
        return card
    where = f"{card.file}: weights_of: the model '{card.weights_of}'"
    if card.weights_of in cards.damaged:
        raise ModelError(f"{where} is damaged ({cards.damaged[card.weights_of]})")
    if card.weights_of not in cards or card.weights_of == card.name:
        raise ModelError(f"{where} is not installed; add it first, or give this model a weights file.")
    other = cards[card.weights_of]
    if other.weights_of is not None:
        raise ModelError(f"{where} itself has the weights of '{other.weights_of}'; name that one.")
    return replace(card, weights_folder=other.folder)


def find_card(name: str, cards: Mapping[str, ModelCard]) -> ModelCard:
    """Find the card of a model; for `auto` any card, since the choice needs the volumes (`core.models.selection`).

    Raises ModelError with the known names, or with the reason why the model is damaged.
    """
    damaged = cards.damaged if isinstance(cards, Cards) else {}
    if name in damaged:
        raise ModelError(damaged[name])
    if not cards:
        raise ModelError(next(iter(damaged.values()), "No model is installed; install the extension again."))
    if name != "auto" and name not in cards:
        raise ModelError(f"Unknown model '{name}': use auto or one of {', '.join(cards)}.")
    return next(iter(cards.values())) if name == "auto" else cards[name]
