"""Turn a training state into a model folder: half-precision safetensors weights and a card with their hash."""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from ..core.cards import CARD_FILE, WEIGHTS_FILE, list_cards
from ..core.models import load_student
from .configuration import AnyStudentConfig, TeacherTrainingConfig, load_config


def export_model(state_file: Path, config: AnyStudentConfig, folder: Path) -> Path:
    """Write weights and card of a trained student to `folder`/<name>; results of an earlier card are not kept.

    Raises InputError (ModelError) if what was written does not load again.
    """
    state = torch.load(state_file, weights_only=True)
    weights = save({name: tensor.half().contiguous() for name, tensor in state["student"].items()})
    target = folder / config.name
    target.mkdir(parents=True, exist_ok=True)
    (target / WEIGHTS_FILE).write_bytes(weights)
    card = build_card(config, state["step"], state["seconds"], weights)
    (target / CARD_FILE).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    load_student(list_cards((folder,))[config.name])
    return target


def build_card(config: AnyStudentConfig, steps: int, seconds: float, weights: bytes) -> dict[str, Any]:
    """The card of a student after `steps` steps of its configuration."""
    return {
        **config.card,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "network": config.student.to_dict(),
        "grid": config.grid,
        "intensity": config.intensity,
        "training": {
            "configuration": f"training/configs/{config.name}.toml",
            "steps": steps,
            "steps_planned": sum(stage.steps for stage in config.stages),
            "cpu_seconds_one_thread": round(seconds),
            "seed": config.seed,
            "stages": [asdict(stage) for stage in config.stages],
        },
    }


def main() -> None:
    """Command line: export the state of a training run as a model folder."""
    parser = argparse.ArgumentParser(description="Export a trained student as a model folder (weights and card).")
    parser.add_argument("config", type=Path)
    parser.add_argument("state", type=Path, help="state.pt of the training run")
    parser.add_argument("--models", type=Path, required=True, help="folder of models, for example Resources/Models")
    arguments = parser.parse_args()
    config = load_config(arguments.config)
    if isinstance(config, TeacherTrainingConfig):
        parser.error(f"{arguments.config}: a teacher is used in training only; export the student that it taught.")
    print(export_model(arguments.state, config, arguments.models))


if __name__ == "__main__":
    main()
