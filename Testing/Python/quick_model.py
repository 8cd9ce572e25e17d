"""The bundled brain model on a coarse grid: it deforms like the bundled one, in a tenth of the time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from LightRegistrationLib.core.models.cards import BUNDLED_MODELS_FOLDER

NAME = "quick"
SOURCE = BUNDLED_MODELS_FOLDER / "brain-mri"


def add_quick_model(folder: Path) -> None:
    """Write the model into a folder of models; `auto` never takes it."""
    target = folder / NAME
    target.mkdir()
    shutil.copy(SOURCE / "weights.safetensors", target)
    card = json.loads((SOURCE / "card.json").read_text(encoding="utf-8"))
    del card["covers"]
    card["title"] = "Coarse grid, for tests"
    card["grid"]["spacing_mm"] = card["refinement"]["spacing_mm"] = 5.0
    (target / "card.json").write_text(json.dumps(card), encoding="utf-8")
